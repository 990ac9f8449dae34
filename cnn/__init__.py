"""A CNN on NumPy or CuPy."""
