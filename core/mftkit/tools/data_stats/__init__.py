"""``mft data``: counts over data files, and some of their rows."""
