"""A run that is there already: what is said of it, what is refused, and how it is resumed."""
