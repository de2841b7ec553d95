"""The built-in components, registered through the same door as a stranger's."""
