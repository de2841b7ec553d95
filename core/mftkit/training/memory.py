"""The most memory that a process has used."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

if sys.platform != "win32":
    import resource

_STATUS = Path("/proc/self/status")


def peak_memory_bytes(device: torch.device) -> int:
    """The most bytes in use since this process started.

    On a GPU: what torch allocated there. Elsewhere: the process's peak resident set; 0 where the system does not
    report it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _peak_resident_set()


def _peak_resident_set() -> int:
    # Not getrusage on Linux: there a process inherits the peak of the one that started it.
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform != "win32":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return 0
