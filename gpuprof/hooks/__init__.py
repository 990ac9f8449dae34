"""How layers are found, wrapped and unwrapped."""
