"""What a library's error says, put into one line."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """What a library's error says, in one line: its first two, without lists of all that would be right."""
    if isinstance(error, KeyError):  # whose text is the key alone
        return f"nothing is known under {error}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(error).__name__
    return text if len(text) <= 400 else text[:397] + "..."
