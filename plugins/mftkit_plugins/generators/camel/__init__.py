"""Conversations of two agents, a student and a teacher (CAMEL, arXiv 2303.17760)."""
