"""Exit codes of the program that are not those of an exception (``MftError.exit_code``)."""

FAULT = 1
"""An internal error, or a training run that failed."""
INTERRUPTED = 130
SIGNALLED = 128
"""A command that a signal stopped exits with this plus the signal's number."""
