"""``mft spec check``: everything about a spec that can be known without reading weights or training."""
