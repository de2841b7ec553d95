"""A filter of system calls: without those whose memory belongs to no process, or that make namespaces.

Memory of memfd_create, System V and message queues is in no process's resident set, and a program that is root in a
user namespace can mount as large a tmpfs as it likes. The kernel applies the filter to the program and all that it
starts (seccomp(2)); nothing can take it off.
"""

from __future__ import annotations

import platform
from pathlib import Path

_UNCOUNTED = ("memfd_create", "memfd_secret", "shmget", "semget", "msgget", "mq_open", "io_uring_setup")
_OTHERS = ("setns", "add_key", "bpf", "perf_event_open")
_NUMBERS = {
    "x86_64": {
        "memfd_create": 319,
        "memfd_secret": 447,
        "shmget": 29,
        "semget": 64,
        "msgget": 68,
        "mq_open": 240,
        "io_uring_setup": 425,
        "setns": 308,
        "add_key": 248,
        "bpf": 321,
        "perf_event_open": 298,
        "clone": 56,
        "unshare": 272,
        "clone3": 435,
    },
    "aarch64": {
        "memfd_create": 279,
        "memfd_secret": 447,
        "shmget": 194,
        "semget": 190,
        "msgget": 186,
        "mq_open": 180,
        "io_uring_setup": 425,
        "setns": 268,
        "add_key": 217,
        "bpf": 280,
        "perf_event_open": 241,
        "clone": 220,
        "unshare": 97,
        "clone3": 435,
    },
}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_NAMESPACES = 0x7E020000
"""The flags CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_LOAD, _RETURN, _EQUAL, _AT_LEAST, _ANY_OF = 0x20, 0x06, 0x15, 0x35, 0x45
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050001, 0x00050026
Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


def available() -> bool:
    """Whether the kernel applies filters, and the numbers of this machine's calls are known."""
    return platform.machine() in _NUMBERS and Path("/proc/sys/kernel/seccomp/actions_avail").exists()


def filter_program() -> list[Instruction] | None:
    """Return the filter for this machine; None if it cannot be applied.

    Refused calls do not exist (ENOSYS), so that libraries take another way; clone3, whose flags a filter cannot read,
    is among them: the C library then uses clone.
    """
    if not available():
        return None
    numbers, architecture = _NUMBERS[platform.machine()], _ARCHITECTURE[platform.machine()]
    made: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        *_unless((_EQUAL, architecture), _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        *_if((_AT_LEAST, _X32), _ENOSYS),
    ]
    for name in (*_UNCOUNTED, *_OTHERS, "clone3"):
        made += _if((_EQUAL, numbers[name]), _ENOSYS)
    flags = [(_LOAD, 0, 0, _FIRST_ARGUMENT_AT), *_if((_ANY_OF, _NAMESPACES), _EPERM), (_RETURN, 0, 0, _ALLOW)]
    for name in ("clone", "unshare"):
        made += [(_EQUAL, 0, len(flags), numbers[name]), *flags]
    return [*made, (_RETURN, 0, 0, _ALLOW)]


def _if(test: tuple[int, int], result: int) -> list[Instruction]:
    return [(test[0], 0, 1, test[1]), (_RETURN, 0, 0, result)]


def _unless(test: tuple[int, int], result: int) -> list[Instruction]:
    return [(test[0], 1, 0, test[1]), (_RETURN, 0, 0, result)]
