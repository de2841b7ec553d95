"""``mft mix search``: proportions of the tasks, chosen by merging models of single tasks instead of training."""
