"""``mft doctor``: what it tells, and what it calls slow or broken."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mftkit.base import machine
from mftkit.base.machine import Memory
from mftkit.cli import main
from mftkit.tools import doctor
from mftkit.tools.doctor import Cores, Device, Disk, Torch

if TYPE_CHECKING:
    from fixture_types import Install, Mft


def test_the_whole_report(mft: Mft, install: Install, tmp_path: Path) -> None:
    site = install(
        "broken-dist", {"broken": "broken_plugin"}, {"broken_plugin": "import nothing_of_this_name"}
    )
    cache = tmp_path / "cache" / "not yet"
    environment = {"MFT_BLOCK_PLUGINS": "losses", "MFT_CACHE": str(cache)}
    done = mft("doctor", "--json", sites=(site,), **environment)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    import torch

    assert report["packages"]["torch"] == torch.__version__
    assert report["broken"] == []
    assert report["torch"]["devices"][-1]["type"] == "cpu"
    assert report["torch"]["devices"][-1]["bfloat16"] is False
    assert report["disk"]["cache"] == {
        "path": str(cache), "size_bytes": 0, "writable": True,
        "free_bytes": pytest.approx(report["disk"]["current directory"]["free_bytes"], rel=0.5),
    }  # fmt: skip
    assert not cache.exists()
    assert report["memory"]["total_bytes"] > report["memory"]["available_bytes"] > 0
    status = {row["entry_point"]: (row["status"], row["error"]) for row in report["plugins"]}
    assert status["losses"] == ("blocked", "blocked by MFT_BLOCK_PLUGINS")
    assert "nothing_of_this_name" in status["broken"][1]
    assert status["balancers"] == ("ok", None)


def test_for_a_person(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    (cache / "tokens").mkdir(parents=True)
    (cache / "tokens" / "rows").write_bytes(bytes(3 << 20))
    monkeypatch.setenv("MFT_CACHE", str(cache))
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert f"cache              {cache}: " in output
    assert "holds 3.0 MiB" in output
    assert "\ndevice             cpu, " in output
    assert "OMP_WAIT_POLICY=ACTIVE" in output
    assert "tensorboard " in output


def test_a_program_without_torch_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "broken             torch cannot be imported: ModuleNotFoundError" in output
    assert "\ndevice" not in output


def slow(**changes: Any) -> list[str]:
    """What is slow on a machine without a fault, but for ``changes``."""
    place = Disk("somewhere", 10 * 2**40, writable=True)
    facts: dict[str, Any] = {
        "torch": Torch("CPU", 4, [Device("cpu", "x", bfloat16=False)]),
        "processor": Cores(4, None),
        "free": Memory(2**40, 2**39),
        "disk": {"cache": place, "current directory": place},
    }
    return doctor.find_slow(**(facts | changes))


GPU = Device("cuda", "New", bfloat16=True)
OLD_GPU = Device("cuda", "Old", bfloat16=False)


@pytest.mark.parametrize(
    ("changes", "environment", "problems"),
    [
        ({}, {}, ["no accelerator"]),
        ({"torch": Torch("CUDA 1", 4, [GPU])}, {}, []),
        ({"torch": Torch("CUDA 1", 4, [OLD_GPU])}, {}, ["Old has no bfloat16"]),
        ({"processor": Cores(8, None)}, {}, ["no accelerator", "torch uses 4 of 8 cores"]),
        ({"processor": Cores(8, 1.5)}, {}, ["no accelerator", "torch starts 4 threads, but only 2 can"]),
        (
            {"processor": Cores(1, None)},
            {},
            ["no accelerator", "only one core", "torch starts 4 threads"],
        ),
        ({}, {"TOKENIZERS_PARALLELISM": "false"}, ["no accelerator", "TOKENIZERS_PARALLELISM"]),
        (
            {"free": Memory(1, 1)},
            {},
            ["no accelerator", "only 0.0 GiB of memory"],
        ),
        (
            {"disk": {"cache": Disk("x", 2**30, writable=True)}},
            {},
            ["no accelerator", "only 1.0 GiB are free on the disk of the cache"],
        ),
    ],
)
def test_what_is_slow(
    changes: dict[str, Any], environment: dict[str, str], problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TOKENIZERS_PARALLELISM", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(doctor, "nvidia_driver", lambda: False)
    found = slow(**changes)
    assert [line.startswith(start) for line, start in zip(found, problems, strict=True)] == [True] * len(
        problems
    ), found


def test_a_driver_without_a_build_for_it_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "nvidia_driver", lambda: True)
    assert any("torch is built for the CPU: install" in line for line in slow())


def test_a_containers_limits_count(tmp_path: Path) -> None:
    assert machine.quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert machine.quota(tmp_path) == 1.5
    (tmp_path / "memory.max").write_text(str(3 << 20))
    (tmp_path / "memory.current").write_text(str(1 << 20))
    assert machine.memory(tmp_path) == Memory(3 << 20, 2 << 20)


def test_a_missing_requirement_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor,
        "requires",
        lambda _name: ["no-such-one>=2", "older; python_version < '3'", 'pytest>=8; extra == "test"'],
    )
    needed, optional = doctor.packages()
    assert needed == {"no-such-one": None}
    assert optional["test"].keys() == {"pytest"}
    assert importlib.metadata.version("pytest") == optional["test"]["pytest"]
