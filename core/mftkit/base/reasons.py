"""The message of a library's error in one line."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """The message of a library's error in one line: its first two lines, without the lists of values after them."""
    if isinstance(error, KeyError):  # its text is only the key
        return f"unknown key {error}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(error).__name__
    return text if len(text) <= 400 else text[:397] + "..."
