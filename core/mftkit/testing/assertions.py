"""How a suite reports failures and warnings; it works without pytest."""

from __future__ import annotations

import warnings


class ConformanceError(AssertionError):
    """A component violates the interface of its kind."""


class ConformanceWarning(UserWarning):
    """A likely oversight in a component that breaks nothing."""


def require(condition: bool, message: str) -> None:
    """Raise ConformanceError with ``message`` unless the condition holds."""
    if not condition:
        raise ConformanceError(message)


def advise(advice: str) -> None:
    """Warn of a likely oversight that breaks nothing."""
    warnings.warn(advice, ConformanceWarning, stacklevel=3)
