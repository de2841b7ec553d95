"""Evaluation: rows, prompts, answers, verdicts, and numbers with intervals."""
