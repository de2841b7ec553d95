"""``mft affinity``: which tasks help and which conflict with each other, by the angles between their gradients."""
