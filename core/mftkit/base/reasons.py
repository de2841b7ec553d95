"""The message of a library's error in one line."""

from __future__ import annotations

from mftkit.base.credentials import without_secrets
from mftkit.base.formatting import shortened

LONGEST = 400
"""Characters of a message that are shown."""


def reason(error: BaseException) -> str:
    """The message of a library's error in one line: its first two lines, without the lists of values after them."""
    if isinstance(error, KeyError):  # its text is only the key
        return f"unknown key {shortened(str(error), LONGEST)}"
    lines = [line.strip() for line in without_secrets(str(error)).splitlines() if line.strip()]
    return shortened(" ".join(lines[:2]) or type(error).__name__, LONGEST)


def whole_reason(error: BaseException) -> str:
    """All lines of an error's message in one line."""
    return shortened(" ".join(without_secrets(str(error)).split()) or type(error).__name__, LONGEST)
