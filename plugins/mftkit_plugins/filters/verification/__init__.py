"""Running solutions with their tests."""
