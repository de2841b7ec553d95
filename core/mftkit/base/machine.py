"""The cores and the memory that this process may use."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes; None where it is not known."""

    total_bytes: int | None
    """As much as a container allows, where there is one."""
    available_bytes: int | None


def cores() -> int:
    """Number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path = CGROUP) -> float | None:
    """Cores' worth of time that a container allows; None without a limit."""
    limit, _, period = _text(root / "cpu.max").partition(" ")
    return int(limit) / int(period) if limit.isdigit() and period.isdigit() else None


def memory(root: Path = CGROUP) -> Memory:
    """The machine's main memory, or the share of it that a container allows."""
    lines = dict(line.partition(":")[::2] for line in _text(Path("/proc/meminfo")).splitlines())
    total, available = (_kibibytes(lines.get(key, "")) for key in ("MemTotal", "MemAvailable"))
    limit, used = _text(root / "memory.max"), _text(root / "memory.current")
    if limit.isdigit() and used.isdigit():
        total = min(int(limit), total or int(limit))
        left = max(0, int(limit) - int(used))
        available = left if available is None else min(left, available)
    return Memory(total, available)


def nvidia_driver() -> bool:
    """Return True if there is an NVIDIA driver."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def _kibibytes(text: str) -> int | None:
    number = text.removesuffix("kB").strip()
    return int(number) * 1024 if number.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
