"""Merges trained models of one start into one: averages, TIES and DARE, of whole models and of low-rank adapters."""
