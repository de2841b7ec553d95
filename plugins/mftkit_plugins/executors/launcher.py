"""Runs first inside the isolation: gives up rights, sets limits, then becomes the program.

Its source is passed to an interpreter with ``-c``, so that no file of this package has to be readable there. It imports
only the standard library. ``argv[1]`` is a JSON object:

- ``command``, ``directory``: the command to become, and its working directory.
- ``files``: length in bytes of a JSON object {path: text} on standard input, before the program's own input.
- ``limits``: {name of a resource: number}.
- ``uid``: the user to become, or null.
- ``confined``: whether the program is kept by Landlock, as far as the kernel has it, from writing outside its
  directory, and from signals to and looking into processes that it has not started.
- ``filter``: the filter of system calls that the program gets, as instructions of four numbers, or null.
- ``mounts``: [[directory, options of a tmpfs]], made first, in order; needs a mount namespace and rights in it.
- ``supervise``: null, or {``lifeline``: a descriptor or null, ``seconds``, ``directories``, ``inodes``,
  ``memory_events``}: stay as the program's parent, and leave no process behind when the program ends, when the lifeline
  closes (the process that held its other end has died), after the seconds, when one of the directories, each a separate
  file system, holds more files than that, or when a file of a control group counts a process that was ended because the
  memory was used up.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from typing import TypedDict

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
MS_NOSUID, MS_NODEV = 2, 4
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""The same numbers on every machine."""
LANDLOCK_WRITES, LANDLOCK_SCOPES = 3, 6
"""Landlock's versions that know all ways of writing, and signals."""
WRITE_FILE = 1 << 1 | 1 << 14
WRITE = WRITE_FILE | sum(1 << bit for bit in range(4, 14))
"""Writing, truncating, removing, making and linking."""
SCOPES = 1 << 0 | 1 << 1
"""Abstract sockets and signals."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
NOT_STARTED = 127
OUT_OF_MEMORY = 193
"""Exit code, above those of signals, if a control group's memory was used up."""
AGAIN = 0.02
"""Seconds between two attempts to kill."""
COUNTED_EVERY = 0.1
"""Seconds between two looks at files and memory."""
ROUNDS = 200
"""Attempts to find and kill processes before giving up."""


class Supervision(TypedDict):
    """See the module's docstring."""

    lifeline: int | None
    seconds: float
    directories: list[str]
    inodes: int
    memory_events: list[str]


class Config(TypedDict):
    """See the module's docstring."""

    command: list[str]
    directory: str
    files: int
    limits: dict[str, int]
    uid: int | None
    confined: bool
    filter: list[list[int]] | None
    mounts: list[tuple[str, str]]
    supervise: Supervision | None


def enter(config: Config) -> None:
    """Become the program; does not return."""
    # Where memory is used up, the kernel ends the program, not its supervisor.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("1000")
    if config["uid"] is not None:
        os.setgroups([])
        os.setgid(config["uid"])
        os.setuid(config["uid"])
    os.chdir(config["directory"])
    for path, text in json.loads(_exactly(config["files"]) or "{}").items():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
    _prctl(
        PR_SET_PDEATHSIG, signal.SIGKILL
    )  # where something kills the supervisor; becoming a user would undo it
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)  # rights in a user namespace end with the launcher
    _prctl(PR_SET_NO_NEW_PRIVS, 1)  # no rights by sudo and the like
    if config["confined"]:
        _confine(config["directory"])
    if config["filter"] is not None:
        _filter(config["filter"])
    for name, number in config["limits"].items():
        resource.setrlimit(getattr(resource, name), (number, number))
    try:
        os.execvp(config["command"][0], config["command"])
    except OSError as error:
        sys.stderr.write(f"{config['command'][0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(NOT_STARTED)


def _prctl(option: int, *given: object) -> None:
    """Call prctl(2); a program does not run without what it asks for."""
    called = ctypes.CDLL(None, use_errno=True)
    if called.prctl(option, *given, *[0] * (4 - len(given))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def _filter(instructions: list[list[int]]) -> None:
    program = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    kept = ctypes.create_string_buffer(program)
    described = struct.pack("@HP", len(instructions), ctypes.addressof(kept))
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(described))


def landlock() -> int:
    """Return the version of Landlock; at most 0 if the kernel has none."""
    return int(ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _confine(directory: str) -> None:
    version = landlock()
    if version < LANDLOCK_WRITES:
        return
    kinds = struct.pack("=QQQ", WRITE, 0, SCOPES)[: 24 if version >= LANDLOCK_SCOPES else 8]
    rules = _called(LANDLOCK_CREATE_RULESET, kinds, ctypes.c_size_t(len(kinds)), 0)
    for place in (directory, *DEVICES):
        if os.path.exists(place):  # noqa: PTH110
            parent = os.open(place, os.O_PATH)
            allowed = WRITE if place == directory else WRITE_FILE
            _called(LANDLOCK_ADD_RULE, rules, 1, struct.pack("=Qi", allowed, parent), 0)
            os.close(parent)
    _called(LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _called(number: int, *given: object) -> int:
    called = ctypes.CDLL(None, use_errno=True)
    found = int(called.syscall(number, *given))
    if found < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}: {os.strerror(ctypes.get_errno())}")
    return found


def _mount(directory: str, options: str) -> None:
    os.makedirs(directory, exist_ok=True)  # noqa: PTH103 - it may be below the last one
    called = ctypes.CDLL(None, use_errno=True)
    if called.mount(b"tmpfs", directory.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{directory}: {os.strerror(number)}")


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
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of the program become our children
    for directory, options in config["mounts"]:
        _mount(directory, options)
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
    counts = supervision["directories"] or supervision["memory_events"]
    most = COUNTED_EVERY if counts else supervision["seconds"]
    ready: list[int] = []
    exceeded = 0
    while not ready and not exceeded and time.monotonic() < until:
        ready = select.select(watched, [], [], min(most, max(0.0, until - time.monotonic())))[0]
        exceeded = 0 if ended in ready else _exceeded(supervision)
    while ended not in ready:  # repeatedly: it may not have changed its user yet
        _kill([child], uid)
        ready = select.select([ended], [], [], AGAIN)[0]
    _, status = os.waitpid(child, 0)
    if exceeded:
        return exceeded
    if out_of_memory(supervision["memory_events"]):
        return OUT_OF_MEMORY
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _exceeded(supervision: Supervision) -> int:
    """Return the exit code that stands for an exceeded bound, or 0."""
    found = [os.statvfs(place) for place in supervision["directories"] if os.path.isdir(place)]  # noqa: PTH112
    if any(place.f_files - place.f_ffree > supervision["inodes"] for place in found):
        os.write(2, f"\nit makes more than {supervision['inodes']} files\n".encode())
        return 128 + signal.SIGXFSZ
    return OUT_OF_MEMORY if out_of_memory(supervision["memory_events"]) else 0


def out_of_memory(memory_events: list[str]) -> bool:
    """Whether a file of a control group counts a process that was ended because the memory was used up."""
    for path in memory_events:
        if os.path.exists(path):  # noqa: PTH110
            with open(path) as file:  # noqa: PTH123
                if any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in file):
                    return True
    return False


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
