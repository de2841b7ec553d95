"""A run on the disk: its directory, checkpoints and metrics, with their readers."""
