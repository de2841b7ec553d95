"""From samples to batches: which samples a step trains on, and how they are laid out in micro-batches."""
