"""Results: frozen values that show themselves, save and load."""
