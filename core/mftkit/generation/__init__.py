"""Generating answers: prompts as in training, and the stop tokens that training taught."""
