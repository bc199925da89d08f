"""Files of our own, and what is made of published ones."""
