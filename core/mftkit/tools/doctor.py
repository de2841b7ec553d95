"""What the program runs on: versions, devices, plugins, disk, and what of it would make a run slow."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from mftkit.base.machine import cores, memory, nvidia_driver, quota
from mftkit.data.made.storage import cache_root

DISTRIBUTION = "mftkit"
GIB = 2**30
LEAST_DISK, LEAST_MEMORY = 5 * GIB, 4 * GIB


def examine() -> dict[str, Any]:
    """Everything that ``mft doctor`` tells, as JSON has it; ``broken`` lists what stops the program."""
    broken: list[str] = []
    needed, optional = packages()
    broken += [
        f"{name} is not installed: pip install {DISTRIBUTION}"
        for name, found in needed.items()
        if found is None
    ]
    torch = describe_torch(broken)
    report: dict[str, Any] = {
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": platform.platform(),
        "packages": {DISTRIBUTION: installed(DISTRIBUTION), **needed},
        "optional": optional,
        "torch": torch,
        "cores": {"usable": cores(), "quota": quota()},
        "memory": memory(),
        "disk": {
            "cache": describe_place(cache_root(None), size=True),
            "current directory": describe_place(Path.cwd()),
        },
        "plugins": describe_plugins(),
        "broken": broken,
    }
    return {**report, "slow": slow(report)}


def packages() -> tuple[dict[str, str | None], dict[str, dict[str, str | None]]]:
    """Versions of what the program needs, and of what each extra of it brings; None where it is missing."""
    listed = [Requirement(line) for line in requires(DISTRIBUTION) or []]

    def versions(extra: str) -> dict[str, str | None]:
        wanted = [one.name for one in listed if one.marker is None or one.marker.evaluate({"extra": extra})]
        return {name: installed(name) for name in wanted}

    needed = versions("")
    extras = metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    brought = {
        extra: {name: found for name, found in versions(extra).items() if name not in needed}
        for extra in extras
    }
    return needed, brought


def installed(distribution: str) -> str | None:
    """The version that is installed, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def describe_torch(broken: list[str]) -> dict[str, Any] | None:
    """Torch's build, its threads, and the devices that it sees; None, and why, where it cannot be imported."""
    try:
        import torch
    except Exception as error:
        broken.append(f"torch cannot be imported: {type(error).__name__}: {error}")
        return None
    built_for = torch.version.cuda or getattr(torch.version, "hip", None)
    devices = [_cuda(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append({"type": "mps", "name": platform.machine(), "bfloat16": False})
    devices.append({"type": "cpu", "name": platform.processor() or platform.machine(), "bfloat16": False})
    build = f"{'ROCm' if getattr(torch.version, 'hip', None) else 'CUDA'} {built_for}" if built_for else "CPU"
    return {"build": build, "threads": torch.get_num_threads(), "devices": devices}


def _cuda(index: int) -> dict[str, Any]:
    import torch

    seen = torch.cuda.get_device_properties(index)
    with torch.cuda.device(index):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        free, total = torch.cuda.mem_get_info()
    return {
        "type": "cuda",
        "name": seen.name,
        "bfloat16": native,
        "memory_bytes": total,
        "free_bytes": free,
    }


def describe_place(path: Path, *, size: bool = False) -> dict[str, Any]:
    """A directory with the room on its disk, in bytes, and with ``size`` what lies in it."""
    standing = path.absolute()
    while not standing.exists():
        standing = standing.parent
    told: dict[str, Any] = {
        "path": str(path),
        "free_bytes": shutil.disk_usage(standing).free,
        "writable": os.access(standing, os.W_OK),
    }
    if size:
        told["size_bytes"] = sum(
            file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink()
        )
    return told


def describe_plugins() -> list[dict[str, Any]]:
    """The rows of ``mft plugins list``."""
    from mftkit.plugins.installed import registry

    return [asdict(row) for row in registry().plugins]


def slow(report: dict[str, Any]) -> list[str]:
    """What would make a run slow here, each with the way out."""
    told = [*_slow_torch(report), *_slow_processor(report)]
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() in ("0", "false", "off", "no", "n"):
        told.append("TOKENIZERS_PARALLELISM turns off tokenising on several cores: unset it")
    available = report["memory"]["available_bytes"]
    if available is not None and available < LEAST_MEMORY:
        told.append(f"only {available / GIB:.1f} GiB of memory are free: a run may swap, or be killed")
    for name, place in report["disk"].items():
        if place["free_bytes"] < LEAST_DISK:
            told.append(f"only {place['free_bytes'] / GIB:.1f} GiB are free on the disk of the {name}")
    return told


def _slow_torch(report: dict[str, Any]) -> list[str]:
    torch = report["torch"]
    if torch is None:
        return []
    devices = [device for device in torch["devices"] if device["type"] != "cpu"]
    if not devices and nvidia_driver() and torch["build"] == "CPU":
        return [
            "this machine has an NVIDIA driver, and torch is built for the CPU: install a build with CUDA"
        ]
    if not devices:
        return ["no accelerator: training runs on the CPU, in float32"]
    return [
        f"{device['name']} has no bfloat16: training runs in float32"
        for device in devices
        if not device["bfloat16"]
    ]


def _slow_processor(report: dict[str, Any]) -> list[str]:
    usable, allowed = report["cores"]["usable"], report["cores"]["quota"]
    threads = report["torch"]["threads"] if report["torch"] else None
    told = []
    room = usable if allowed is None else min(usable, max(1, round(allowed)))
    if room == 1:
        told.append("one core only: reading, tokenising and training take turns")
    if threads is not None and threads < room:
        told.append(f"torch uses {threads} of {room} cores: see OMP_NUM_THREADS and MKL_NUM_THREADS")
    if threads is not None and threads > room:
        told.append(
            f"torch starts {threads} threads, and {room} can run at a time: set OMP_NUM_THREADS={room}"
        )
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        told.append(
            "OMP_WAIT_POLICY=ACTIVE: threads that wait take the processor from those that work; unset it"
        )
    return told
