"""What the program reports while it works: the reporter, listeners to a run, and the messages that they receive."""
