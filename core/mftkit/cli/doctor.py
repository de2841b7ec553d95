"""``mft doctor``: what the program runs on, and what would be slow."""

import json
from collections import Counter
from typing import Annotated, Any

import typer

from mftkit.cli.console import result

BROKEN = 1


def doctor(as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False) -> None:
    """Tell versions, devices, plugins, disk, and what would be slow; exits with 1 if the program is broken."""
    from mftkit.tools.doctor import examine

    report = examine()
    if as_json:
        result(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        for line in lines(report):
            result(line)
    if report["broken"]:
        raise typer.Exit(BROKEN)


def lines(report: dict[str, Any]) -> list[str]:
    """The report for a person, a fact a line."""
    cores, memory = report["cores"], report["memory"]
    quota = "" if cores["quota"] is None else f" (a container allows {cores['quota']:g})"
    return [
        _line("python", f"{report['python']['version']}, {report['python']['executable']}"),
        _line("platform", report["platform"]),
        *_torch(report["torch"]),
        _line("cores", f"{cores['usable']}{quota}"),
        _line("memory", f"{_size(memory['available_bytes'])} free of {_size(memory['total_bytes'])}"),
        *(_line(name, _place(place)) for name, place in report["disk"].items()),
        *_versions("packages", report["packages"]),
        *(line for extra, found in report["optional"].items() for line in _versions(f"extra {extra}", found)),
        *_plugins(report["plugins"]),
        *(_line("slow", told) for told in report["slow"] or ["nothing found"]),
        *(_line("broken", told) for told in report["broken"]),
    ]


def _line(name: str, text: str) -> str:
    return f"{name:<18} {text}"


def _torch(torch: dict[str, Any] | None) -> list[str]:
    if torch is None:
        return []
    told = [_line("torch", f"built for {torch['build']}, {torch['threads']} threads")]
    for device in torch["devices"]:
        facts = [device["type"], device["name"]]
        if "free_bytes" in device:
            facts.append(f"{_size(device['free_bytes'])} free of {_size(device['memory_bytes'])}")
        facts.append("bfloat16" if device["bfloat16"] else "trains in float32")
        told.append(_line("device", ", ".join(facts)))
    return told


def _versions(title: str, found: dict[str, str | None]) -> list[str]:
    return [_line(title, ", ".join(f"{name} {version or 'MISSING'}" for name, version in found.items()))]


def _place(place: dict[str, Any]) -> str:
    size = f", holds {_size(place['size_bytes'])}" if "size_bytes" in place else ""
    writable = "" if place["writable"] else ", CANNOT BE WRITTEN"
    return f"{place['path']}: {_size(place['free_bytes'])} free{size}{writable}"


def _plugins(rows: list[dict[str, Any]]) -> list[str]:
    count = Counter(row["status"] for row in rows)
    return [
        _line("plugins", ", ".join(f"{number} {status}" for status, number in count.items()) or "none"),
        *(
            _line("plugin", f"{row['name']} of {row['distribution']} {row['version']}: {row['error']}")
            for row in rows
            if row["status"] != "ok"
        ),
    ]


def _size(size: int | None) -> str:
    """Bytes as a person reads them.

    >>> _size(1536 * 2**20), _size(None)
    ('1.5 GiB', 'unknown')
    """
    if size is None:
        return "unknown"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
