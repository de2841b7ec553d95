"""New tasks from a few seed tasks (Self-Instruct, arXiv 2212.10560)."""
