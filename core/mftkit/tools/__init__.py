"""The commands' work: each tool stands on the engine and knows nothing of the others."""
