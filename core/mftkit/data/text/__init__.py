"""Turns rows into text with a loss mask: chat formats, templates, encoding."""
