"""Runs first inside the isolation: gives up rights, sets limits, then becomes the program.

Its source is passed to an interpreter with ``-c``, so that no file of this package has to be readable there. It imports
only the standard library. ``argv[1]`` is a JSON object:

- ``command``, ``directory``: the command to become, and its working directory.
- ``files``: length in bytes of a JSON object {path: text} on standard input, before the program's own input.
- ``limits``: {name of a resource: number}.
- ``uid``: the user to become, or null.
- ``supervise``: null, or {``lifeline``: a descriptor or null, ``seconds``}: stay as the program's parent, and leave no
  process behind when the program ends, when the lifeline closes (the process that held its other end has died), or
  after the seconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from typing import TypedDict

PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
NOT_STARTED = 127
AGAIN = 0.02
"""Seconds between two attempts to kill."""
ROUNDS = 200
"""Attempts to find and kill processes before giving up."""


class Supervision(TypedDict):
    """See the module's docstring."""

    lifeline: int | None
    seconds: float


class Config(TypedDict):
    """See the module's docstring."""

    command: list[str]
    directory: str
    files: int
    limits: dict[str, int]
    uid: int | None
    supervise: Supervision | None


def enter(config: Config) -> None:
    """Become the program; does not return."""
    if config["uid"] is not None:
        os.setgroups([])
        os.setgid(config["uid"])
        os.setuid(config["uid"])
    os.chdir(config["directory"])
    for path, text in json.loads(_exactly(config["files"]) or "{}").items():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # no rights by sudo and the like
    for name, number in config["limits"].items():
        resource.setrlimit(getattr(resource, name), (number, number))
    try:
        os.execvp(config["command"][0], config["command"])
    except OSError as error:
        sys.stderr.write(f"{config['command'][0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(NOT_STARTED)


def _exactly(number: int) -> str:
    parts = []
    while number > 0:
        part = os.read(0, number)
        if not part:
            break
        parts.append(part)
        number -= len(part)
    return b"".join(parts).decode()


def supervise(config: Config, supervision: Supervision) -> int:
    """Run the program as a child. Return its exit code, or 128 plus the number of the signal that ended it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of the program become our children
    child = os.fork()
    if child == 0:
        if supervision["lifeline"] is not None:
            os.close(supervision["lifeline"])
        os.setsid()
        enter(config)
    code = _wait(child, config["uid"], supervision)
    _leave_none(config["uid"])
    return code


def _wait(child: int, uid: int | None, supervision: Supervision) -> int:
    ended = os.pidfd_open(child)
    watched = [ended] if supervision["lifeline"] is None else [ended, supervision["lifeline"]]
    until = time.monotonic() + supervision["seconds"]
    ready: list[int] = []
    while not ready and time.monotonic() < until:
        ready = select.select(watched, [], [], max(0.0, until - time.monotonic()))[0]
    while ended not in ready:  # repeatedly: it may not have changed its user yet
        _kill([child], uid)
        ready = select.select([ended], [], [], AGAIN)[0]
    _, status = os.waitpid(child, 0)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _leave_none(uid: int | None) -> None:
    """Kill what the program left behind, including processes in other sessions."""
    if os.getpid() == 1:  # the first process of a namespace, which ends with it
        return
    empty = 0
    for _ in range(ROUNDS):
        found = _descendants()
        if uid is not None or found:
            _kill(found, uid)
        _reap()
        # Twice: a process whose parent ends during the search has no parent at that moment.
        empty = 0 if found else empty + 1
        if empty > 1:
            return


def _kill(pids: list[int], uid: int | None) -> None:
    """Kill processes. If the program has its own user, kill all processes of that user, as that user: this process may
    not have the right to.
    """
    if uid is None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return
    killer = os.fork()
    if killer == 0:
        try:
            os.setuid(uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(killer, 0)


def _descendants() -> list[int]:
    parents, ended = {}, set()
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:  # noqa: PTH123
                    state, parent = file.read().rpartition(")")[2].split()[:2]
            except OSError:  # the process has ended
                continue
            parents[int(name)] = int(parent)
            if state in "ZX":
                ended.add(int(name))
    found, ours = [], {os.getpid()}
    while more := [pid for pid, parent in parents.items() if parent in ours and pid not in ours]:
        found += more
        ours.update(more)
    return [pid for pid in found if pid not in ended]


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    given: Config = json.loads(sys.argv[1])
    if given["supervise"] is None:
        enter(given)
    else:
        os._exit(supervise(given, given["supervise"]))
