"""The plan of a run's resources: memory of each device, arithmetic and time of a step, size of a checkpoint."""
