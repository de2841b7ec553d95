"""What the processes of a run know of each other's failures: the first one ends all of them, with its reason.

A process that fails while another waits for its tensors would leave that one waiting for as long as the collective
operation allows, half an hour by default, and then with a message about a closed connection.
"""

from __future__ import annotations

import faulthandler
import json
import os
import secrets
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch.distributed as dist

from mftkit.reporting.listener import Listener
from mftkit.training.failure_hub import Failure, FailureHub, keep_alive, lost, read_notice
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from mftkit.base.json_types import JsonObject
    from mftkit.processes import Processes
    from mftkit.reporting.lines import EvaluationLine, RollbackLine, TrainLine, ValidLine
    from mftkit.reporting.outcome import Outcome

GRACE = 5.0
"""Seconds that a process has to end by itself after another one has failed."""
ENDING = 15.0
"""Seconds that it has once it ends by itself."""
CONNECT = 30.0
"""Seconds to connect to the main process."""
FRAMES = 6
"""Calls that a message about a process that hangs names."""
NOTICES = "MFT_LAUNCHER_NOTICES"
"""The variable that names the directory where the launcher leaves notices about processes that ended."""
_WAITING = ("torch/distributed/", "torch/autograd/", "mftkit/processes.py")
"""Files whose calls wait for the other processes."""


class FailureExchange:
    """One process's part in it: reports its failure, learns of the others', and ends this process if it must.

    Enter it as soon as the processes have found each other. A process by itself exchanges nothing, unless there is a
    watchdog.
    """

    def __init__(
        self,
        processes: Processes,
        warn: Callable[[str], None],
        *,
        watchdog: float | None = None,
    ) -> None:
        """``watchdog``: seconds without the end of a step after which the run has failed; None: any number."""
        self._processes, self._warn, self._watchdog = processes, warn, watchdog
        self._name = f"PID {os.getpid()} on {socket.gethostname()}"
        self._main_name = ""
        notices = os.environ.get(NOTICES)
        self._notices = Path(notices) if notices else None
        self._thread = threading.get_ident()
        self._hub: FailureHub | None = None
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()
        self._is_known, self._is_closed = threading.Event(), threading.Event()
        self._is_ending = False
        self._failure: Failure | None = None
        self.main_is_lost = False
        """Whether the main process, which writes for all, was killed."""
        self.on_forced_end: Callable[[Failure], None] = lambda failure: warn(failure.text)
        """Called in another thread before this process is ended, because the training hangs."""

    @property
    def rank(self) -> int:
        """The number of this process."""
        return self._processes.rank

    @property
    def has_failed(self) -> bool:
        """Whether this process or another one has failed, so that nothing can be agreed on any more."""
        return self._is_ending or self._is_known.is_set()

    def __enter__(self) -> Self:
        if self._processes.count > 1 or self._watchdog is not None:
            self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._is_ending:
            cause = error if isinstance(error, Exception) else None
            first = self.report(
                f"{type(error).__name__}: {error}", getattr(error, "exit_code", 1), error=cause
            )
            if cause is not None and first.rank != self.rank and _is_lost_connection(cause):
                self._close()
                consequence = MftError(first.text)
                consequence.exit_code = first.exit_code
                raise consequence from error
        self._close()

    def _close(self) -> None:
        self._is_closed.set()
        if self._watchdog is not None:
            faulthandler.cancel_dump_traceback_later()
        self._send({"kind": "goodbye"})
        if self._hub is not None:
            self._hub.close()
        if self._connection is not None:
            self._connection.close()

    def report(self, text: str, exit_code: int = 1, *, error: BaseException | None = None) -> Failure:
        """Report that this process ends, and why; returns the failure that came first, which may be another one's.

        ``error`` is what was raised here: a lost connection is the consequence of another process's failure.
        """
        self._is_ending = True
        own = Failure(self._processes.rank, text, exit_code)
        is_consequence = error is not None and _is_lost_connection(error)
        self._send(
            {
                "kind": "failed",
                "text": text,
                "exit_code": exit_code,
                "is_consequence": is_consequence,
            }
        )
        if self._connection is not None:  # if it is closed, that is known in a moment
            self._is_known.wait(GRACE)
        first = self._failure
        return own if first is None or first.rank == own.rank else first

    def advance(self, step: int, *, is_over: bool = False) -> None:
        """Report progress to the watchdog; it watches from the first report on, until ``is_over``."""
        if self._watchdog is None:
            return
        self._send({"kind": "progress", "step": step, "is_over": is_over})
        if is_over:
            faulthandler.cancel_dump_traceback_later()
        elif sys.__stderr__ is not None:
            # Code that holds the interpreter stops every thread of Python's: this one is the system's. The main process
            # is the first to be ended by it, so that the others can still record it.
            slack = (2 if self._processes.is_main else 6) * GRACE
            faulthandler.dump_traceback_later(self._watchdog + slack, exit=True, file=sys.__stderr__)

    def _connect(self) -> None:
        host = os.environ.get("MASTER_ADDR", "127.0.0.1") if self._processes.count > 1 else "127.0.0.1"
        is_local = host in ("127.0.0.1", "localhost")
        offer: tuple[int, str, str] | None = None
        if self._processes.is_main:
            with suppress(OSError):
                server = socket.create_server(("127.0.0.1" if is_local else "", 0))
                offer = server.getsockname()[1], secrets.token_hex(16), self._name
                self._hub = FailureHub(server, offer[1], self._processes.count, self._watchdog, self._notices)
                self._hub.start()
        offer = self._processes.from_main(offer)
        try:
            if offer is None:
                raise OSError("no port is free")
            port, token, self._main_name = offer
            at = "127.0.0.1" if is_local or self._processes.is_main else host
            connection = socket.create_connection((at, port), CONNECT)
        except OSError as error:
            self._warn(
                f"process {self._processes.rank} cannot exchange failures with the others ({error}): if one fails, "
                "the others may wait for it for as long as a collective operation allows"
            )
            return
        connection.settimeout(None)
        keep_alive(connection)
        self._connection = connection
        self._send({"token": token, "rank": self._processes.rank, "place": self._name})
        threading.Thread(target=self._listen, name="mftkit failure exchange", daemon=True).start()

    def _send(self, message: JsonObject) -> bool:
        if self._connection is None:
            return False
        try:
            with self._sending:
                self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return False
        return True

    def _listen(self) -> None:
        assert self._connection is not None, "started once it is there"
        with suppress(OSError, ValueError), self._connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                message: dict[str, Any] = json.loads(line)
                if message["kind"] == "goodbye":
                    return
                if message["kind"] == "failure":
                    self._learn(Failure(message["rank"], message["text"], message["exit_code"]))
                if message["kind"] == "where":
                    stack = _stack(self._thread)
                    self._send({"kind": "stack", "stack": stack[0], "is_waiting": stack[1]})
        if not self._is_closed.is_set() and self._failure is None:
            self.main_is_lost = True
            notice = self._main_notice()
            self._learn(lost(0, self._processes.count, self._main_name, notice))

    def _main_notice(self) -> JsonObject | None:
        for _ in range(10 if self._notices is not None else 0):
            if (notice := read_notice(self._notices, 0)) is not None:
                return notice
            self._is_closed.wait(0.1)
        return None

    def _learn(self, failure: Failure) -> None:
        if self._failure is None:
            self._failure = failure
            self._is_known.set()
            threading.Thread(target=self._end, args=(failure,), daemon=True).start()

    def _end(self, failure: Failure) -> None:
        """End this process if it does not end by itself: it may wait for one that is not there any more."""
        if self._is_closed.wait(GRACE) or (self._is_ending and self._is_closed.wait(ENDING)):
            return
        timer = threading.Timer(GRACE, os._exit, (failure.exit_code,))  # whatever happens below
        timer.daemon = True
        timer.start()
        with suppress(Exception):
            self.on_forced_end(failure)
        os._exit(failure.exit_code)


class Progress(Listener):
    """Reports the progress of a run to the watchdog."""

    name = "the watchdog"

    def __init__(self, exchange: FailureExchange) -> None:
        self._exchange = exchange
        self._step = 0

    def _advance(self, step: int) -> None:
        self._step = step
        self._exchange.advance(step)

    def started(self, step: int) -> None:
        """Begin to watch."""
        self._advance(step)

    def step_ended(self, step: int, line: TrainLine | None) -> None:  # noqa: ARG002
        """Report it."""
        self._advance(step)

    def validated(self, line: ValidLine) -> None:
        """Report it."""
        self._advance(line.step)

    def evaluated(self, line: EvaluationLine) -> None:
        """Report it."""
        self._advance(line.step)

    def saved(self, step: int, path: Path) -> None:  # noqa: ARG002
        """Report that there is progress: the checkpoint is of an earlier step, and was written in the background."""
        self._advance(self._step)

    def rolled_back(self, line: RollbackLine) -> None:
        """Report it."""
        self._advance(line.to)

    def ended(self, outcome: Outcome) -> None:
        """Watch no longer."""
        self._exchange.advance(outcome.step, is_over=True)


def _is_lost_connection(error: BaseException) -> bool:
    """Return True for what a process gets to see when another one is gone."""
    text = str(error)
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in ("gloo", "NCCL", "closed by peer"))
    )


def _stack(thread: int) -> tuple[list[str], bool]:
    """The calls of a thread, innermost first, and whether it waits for other processes."""
    frame = sys._current_frames().get(thread)
    calls = traceback.extract_stack(frame)[::-1] if frame is not None else []
    own = [call for call in calls if not any(sign in call.filename for sign in ("torch/", "contextlib.py"))]
    is_waiting = bool(calls) and any(sign in calls[0].filename for sign in _WAITING)
    return [f"{Path(call.filename).name}:{call.lineno} {call.name}" for call in own[:FRAMES]], is_waiting
