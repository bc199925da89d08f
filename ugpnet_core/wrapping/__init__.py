"""A network of someone else's, wrapped by naming its layer."""
