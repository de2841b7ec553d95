"""Stub."""
def write_page(output, size):
    pass
