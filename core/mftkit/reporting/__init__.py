"""What the program reports while it works: the reporter, and the messages that it receives."""
