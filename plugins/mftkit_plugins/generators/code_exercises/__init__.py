"""Exercises and their solutions from a list of topics (MFTCoder, figure 2, single turn)."""
