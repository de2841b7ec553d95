"""Reports of the program while it works: the reporter, listeners to a run, and the messages that they receive."""
