"""Sources that run in the sandboxes. They import only the standard library and each other, by bare names."""
