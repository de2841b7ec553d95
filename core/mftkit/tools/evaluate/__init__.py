"""``mft evaluate``: what a model can do with the rows that a spec names."""
