"""``mft spec new``: from data files and a model to a commented spec that runs."""
