"""Reads files and data sets into rows."""
