"""Fill in the middle: texts with their middle moved to the end (Bavarian et al. 2022, arXiv 2207.14255)."""
