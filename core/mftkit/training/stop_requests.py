"""What plugins ask of a run: to end it."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.interfaces.run_info import RunInfo


class Request(IntEnum):
    """What a process asks all of them for after a step; all take the highest. A stop saves, too."""

    NOTHING = 0
    SAVE = 1
    STOP_BY_CALLBACK = 2
    STOP_BY_SIGNAL = 3


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
