"""Running of answers by executors."""
