"""The lowest layer: atomic files, JSON, number formatting, the machine. Imports no torch."""
