"""How a suite says that something is not as it should be; without pytest, whose rewriting it does not need."""

from __future__ import annotations

import warnings


class ConformanceError(AssertionError):
    """A component does not do what its kind promises."""


class ConformanceWarning(UserWarning):
    """Something that its author may not have meant, and that breaks nothing."""


def require(kept: bool, promise: str) -> None:
    """Raises ConformanceError, saying which promise is broken and by what, unless ``kept``."""
    if not kept:
        raise ConformanceError(promise)


def advise(advice: str) -> None:
    """Warns of what the author may not have meant."""
    warnings.warn(advice, ConformanceWarning, stacklevel=3)
