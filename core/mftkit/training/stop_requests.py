"""What plugins ask of a run: to end it."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.interfaces.run_info import RunInfo


class Stop(IntEnum):
    """What ends a run early, in the order of precedence: all processes take the highest."""

    NONE = 0
    BY_CALLBACK = 1
    BY_SIGNAL = 2


class StopRequests:
    """Keeps the first request of a callback, in the process that calls them."""

    def __init__(self) -> None:
        self.stopped_by: str | None = None
        """Who asked, and why: "callback NAME: REASON"."""

    def info_for(self, owner: str, run: RunInfo) -> RunInfo:
        """The run as ``owner`` sees it, whose ``stop`` comes here."""

        def request(reason: str) -> None:
            if self.stopped_by is None:
                self.stopped_by = f"{owner}: {reason}"

        return replace(run, request_stop=request)
