"""Files of weights of any origin, read without executing anything."""
