"""The data path, from files to memory-mapped samples of tokens."""
