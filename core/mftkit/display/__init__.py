"""The display of a run: its plan, its progress and its result.

rich is imported when something is drawn, so that commands that draw nothing start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.display.console import console_reporter

if TYPE_CHECKING:
    from mftkit.display.plan import plan_text

__all__ = ["console_reporter", "plan_text"]


def __getattr__(name: str) -> object:
    if name != "plan_text":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mftkit.display.plan import plan_text

    return plan_text
