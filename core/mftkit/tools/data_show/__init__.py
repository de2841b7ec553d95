"""``mft data show SPEC``: what the model reads of each task, token by token."""
