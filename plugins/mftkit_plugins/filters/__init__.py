"""The built-in data filters."""
