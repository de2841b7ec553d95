"""``mft doctor``: checks the installation and the machine."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from mftkit.cli.app import app
from mftkit.cli.console import json_result, result

if TYPE_CHECKING:
    from mftkit.tools.doctor import Disk, Findings, Torch
    from mftkit_registry import PluginRecord

BROKEN = 1


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False) -> None:
    """Check the installation and this machine.

    Shows versions, devices, plugins and disks, and what would make a run slow. Exits with 1 if the installation is
    broken.
    """
    from mftkit.tools.doctor import examine

    findings = examine()
    if as_json:
        json_result(findings.to_json())
    else:
        for line in lines(findings):
            result(line)
    if findings.broken:
        raise typer.Exit(BROKEN)


def lines(findings: "Findings") -> list[str]:
    """The findings as text, one fact per line."""
    cores, memory = findings.cores, findings.memory
    quota = "" if cores.quota is None else f" (the container allows {cores.quota:g})"
    return [
        _line("python", f"{findings.python}, {findings.executable}"),
        _line("platform", findings.platform),
        *(_torch(findings.torch) if findings.torch else []),
        _line("cores", f"{cores.usable}{quota}"),
        _line("memory", f"{_size(memory.available_bytes)} free of {_size(memory.total_bytes)}"),
        *(_line(name, _disk(disk)) for name, disk in findings.disk.items()),
        _versions("packages", findings.packages),
        *(_versions(f"extra {extra}", versions) for extra, versions in findings.optional.items()),
        *_plugins(findings.plugins),
        *(_line("slow", problem) for problem in findings.slow or ["nothing found"]),
        *(_line("broken", problem) for problem in findings.broken),
    ]


def _line(name: str, text: str) -> str:
    return f"{name:<18} {text}"


def _torch(torch: "Torch") -> list[str]:
    rows = [_line("torch", f"built for {torch.build}, {torch.threads} threads")]
    for device in torch.devices:
        facts = [device.type, device.name]
        if device.free_bytes is not None:
            facts.append(f"{_size(device.free_bytes)} free of {_size(device.memory_bytes)}")
        facts.append("bfloat16" if device.bfloat16 else "trains in float32")
        rows.append(_line("device", ", ".join(facts)))
    return rows


def _versions(title: str, versions: dict[str, str | None]) -> str:
    return _line(title, ", ".join(f"{name} {version or 'MISSING'}" for name, version in versions.items()))


def _disk(disk: "Disk") -> str:
    size = "" if disk.size_bytes is None else f", holds {_size(disk.size_bytes)}"
    writable = "" if disk.writable else ", NOT WRITABLE"
    return f"{disk.path}: {_size(disk.free_bytes)} free{size}{writable}"


def _plugins(rows: list["PluginRecord"]) -> list[str]:
    count = Counter(row.status for row in rows)
    return [
        _line("plugins", ", ".join(f"{number} {status}" for status, number in count.items()) or "none"),
        *(
            _line("plugin", f"{row.name} of {row.distribution} {row.version}: {row.error}")
            for row in rows
            if row.status != "ok"
        ),
    ]


def _size(size: int | None) -> str:
    """A number of bytes with its unit.

    >>> _size(1536 * 2**20), _size(None)
    ('1.5 GiB', 'unknown')
    """
    if size is None:
        return "unknown"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
