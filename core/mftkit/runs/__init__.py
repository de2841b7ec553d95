"""What a run leaves on disk: its directory, checkpoints, metrics, and how they are read back."""
