"""``mft affinity``: which tasks help and which fight each other, by the angles between their gradients."""
