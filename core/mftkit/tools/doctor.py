"""Examines the installation and the machine: versions, devices, plugins, disks, and causes of slow runs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from mftkit.base.machine import Memory, cores, memory, nvidia_driver, quota
from mftkit.data.made.storage import cache_root
from mftkit.plugins.installed import registry

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit_registry import PluginRecord

DISTRIBUTION = "mftkit"
GIB = 2**30
LEAST_DISK, LEAST_MEMORY = 5 * GIB, 4 * GIB


@dataclass(frozen=True)
class Device:
    """A device that torch can train on."""

    type: str
    name: str
    bfloat16: bool
    """Whether it has bfloat16 arithmetic."""
    memory_bytes: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True)
class Torch:
    """The installed torch."""

    build: str
    threads: int
    devices: list[Device]


@dataclass(frozen=True)
class Cores:
    """The processor."""

    usable: int
    quota: float | None
    """Cores' worth of time that a container allows; None without a limit."""

    @property
    def parallel(self) -> int:
        """Number of threads that can run at the same time."""
        return self.usable if self.quota is None else min(self.usable, max(1, round(self.quota)))


@dataclass(frozen=True)
class Disk:
    """A directory and its disk."""

    path: str
    free_bytes: int
    writable: bool
    size_bytes: int | None = None
    """Size of what the directory holds, where that was asked for."""


@dataclass(frozen=True)
class Findings:
    """Everything that ``mft doctor`` reports."""

    python: str
    executable: str
    platform: str
    packages: dict[str, str | None]
    """Versions of what the program needs; None where it is missing."""
    optional: dict[str, dict[str, str | None]]
    """The same of what each extra installs."""
    torch: Torch | None
    """None where it cannot be imported."""
    cores: Cores
    memory: Memory
    disk: dict[str, Disk]
    plugins: list[PluginRecord]
    broken: list[str]
    """Problems that stop the program."""

    @property
    def slow(self) -> list[str]:
        """Causes of slow runs here, and how to fix them."""
        return find_slow(self.torch, self.cores, self.memory, self.disk)

    def to_json(self) -> JsonObject:
        """The findings as ``mft doctor --json`` prints them."""
        return {
            "python": {"version": self.python, "executable": self.executable},
            "platform": self.platform,
            "packages": self.packages,
            "optional": self.optional,
            "torch": self.torch
            and {**asdict(self.torch), "devices": [_given(d) for d in self.torch.devices]},
            "cores": asdict(self.cores),
            "memory": asdict(self.memory),
            "disk": {name: _given(disk) for name, disk in self.disk.items()},
            "plugins": [asdict(row) for row in self.plugins],
            "broken": self.broken,
            "slow": self.slow,
        }


def _given(value: Device | Disk) -> JsonObject:
    return {key: each for key, each in asdict(value).items() if each is not None}


def examine() -> Findings:
    """Look at everything that ``mft doctor`` reports."""
    needed, optional = packages()
    broken = [
        f"{name} is not installed: pip install {DISTRIBUTION}"
        for name, found in needed.items()
        if found is None
    ]
    return Findings(
        python=platform.python_version(),
        executable=sys.executable,
        platform=platform.platform(),
        packages={DISTRIBUTION: installed(DISTRIBUTION), **needed},
        optional=optional,
        torch=describe_torch(broken),
        cores=Cores(cores(), quota()),
        memory=memory(),
        disk={
            "cache": describe_disk(cache_root(None), size=True),
            "current directory": describe_disk(Path.cwd()),
        },
        plugins=registry().plugins,
        broken=broken,
    )


def packages() -> tuple[dict[str, str | None], dict[str, dict[str, str | None]]]:
    """Versions of what the program needs, and of what each of its extras installs; None for a missing one."""
    requirements = [Requirement(line) for line in requires(DISTRIBUTION) or []]

    def versions(extra: str) -> dict[str, str | None]:
        names = [
            one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": extra})
        ]
        return {name: installed(name) for name in names}

    needed = versions("")
    extras = metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    optional = {
        extra: {name: found for name, found in versions(extra).items() if name not in needed}
        for extra in extras
    }
    return needed, optional


def installed(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def describe_torch(broken: list[str]) -> Torch | None:
    """Torch's build, its threads and its devices; if it cannot be imported, None, and the reason in ``broken``."""
    try:
        import torch
    except Exception as error:
        broken.append(f"torch cannot be imported: {type(error).__name__}: {error}")
        return None
    hip = getattr(torch.version, "hip", None)
    built_for = torch.version.cuda or hip
    devices = [_cuda(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append(Device("mps", platform.machine(), bfloat16=False))
    devices.append(Device("cpu", platform.processor() or platform.machine(), bfloat16=False))
    build = f"{'ROCm' if hip else 'CUDA'} {built_for}" if built_for else "CPU"
    return Torch(build, torch.get_num_threads(), devices)


def _cuda(index: int) -> Device:
    import torch

    properties = torch.cuda.get_device_properties(index)
    with torch.cuda.device(index):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        free, total = torch.cuda.mem_get_info()
    return Device("cuda", properties.name, native, memory_bytes=total, free_bytes=free)


def describe_disk(path: Path, *, size: bool = False) -> Disk:
    """A directory with the room on its disk, and with ``size`` the size of what it holds."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    files = (file for file in path.rglob("*") if file.is_file() and not file.is_symlink()) if size else ()
    return Disk(
        path=str(path),
        free_bytes=shutil.disk_usage(existing).free,
        writable=os.access(existing, os.W_OK),
        size_bytes=sum(file.lstat().st_size for file in files) if size else None,
    )


def find_slow(torch: Torch | None, processor: Cores, free: Memory, disk: dict[str, Disk]) -> list[str]:
    """Causes of slow runs on this machine, and how to fix them."""
    found = [*_slow_devices(torch), *_slow_processor(torch, processor)]
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in ("0", "false", "off", "no", "n"):
        found.append("TOKENIZERS_PARALLELISM disables tokenizing on several cores: unset it")
    if free.available_bytes is not None and free.available_bytes < LEAST_MEMORY:
        found.append(
            f"only {free.available_bytes / GIB:.1f} GiB of memory are free: a run may swap or be killed; end other "
            "programs"
        )
    found += [
        f"only {place.free_bytes / GIB:.1f} GiB are free on the disk of the {name}: free some space"
        for name, place in disk.items()
        if place.free_bytes < LEAST_DISK
    ]
    return found


def _slow_devices(torch: Torch | None) -> list[str]:
    if torch is None:
        return []
    accelerators = [device for device in torch.devices if device.type != "cpu"]
    if not accelerators and nvidia_driver() and torch.build == "CPU":
        return [
            "this machine has an NVIDIA driver, but torch is built for the CPU: install a build with CUDA"
        ]
    if not accelerators:
        return ["no accelerator: training runs on the CPU, in float32"]
    return [
        f"{device.name} has no bfloat16: training runs in float32"
        for device in accelerators
        if not device.bfloat16
    ]


def _slow_processor(torch: Torch | None, processor: Cores) -> list[str]:
    room, found = processor.parallel, []
    if room == 1:
        found.append("only one core: reading, tokenizing and training take turns")
    if torch is not None and torch.threads < room:
        found.append(f"torch uses {torch.threads} of {room} cores: check OMP_NUM_THREADS and MKL_NUM_THREADS")
    if torch is not None and torch.threads > room:
        found.append(
            f"torch starts {torch.threads} threads, but only {room} can run at a time: set OMP_NUM_THREADS={room}"
        )
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        found.append("OMP_WAIT_POLICY=ACTIVE: waiting threads take the processor from working ones; unset it")
    return found
