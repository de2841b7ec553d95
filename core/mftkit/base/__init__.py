"""What everything stands on: files written atomically, number formatting, the machine. Imports no torch."""
