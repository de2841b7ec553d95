"""Which executor runs programs: the one that is named, or the strongest that works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import mftkit
from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import executors, hookspecs, installed
from mftkit.plugins.kinds import KINDS
from mftkit_registry import Registry

if TYPE_CHECKING:
    from fixture_types import Install

STAND_INS = """
import mftkit

class Base(mftkit.Executor):
    class Options(mftkit.Options):
        broken: str | None = None
    def unavailable(self):
        return self.options.broken
    def run(self, program, limits):
        return mftkit.Execution("exited", 0, "", "", 0.0)

class Strong(Base):
    strength, isolated = 9, True
    def unavailable(self):
        import os
        return os.environ.get("STRONG_IS")

class Fair(Base):
    strength, isolated = 5, True
    def unavailable(self):
        import os
        return os.environ.get("FAIR_IS")

class Weak(Base):
    strength, isolated = 1, False
    def unavailable(self):
        import os
        return os.environ.get("WEAK_IS")

@mftkit.hookimpl
def register_executors(register):
    for name, cls in (("weak", Weak), ("strong", Strong), ("fair", Fair)):
        register(name, cls, summary="s")
    register("heavy", "module_that_is_not_there:Executor", summary="s")
"""


@pytest.fixture(autouse=True)
def stand_ins(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        "executors", {"executors": "stand_in_executors"}, {"stand_in_executors": STAND_INS}, group="mft-x"
    )
    loaded = Registry.load(KINDS, [hookspecs], group="mft-x")
    monkeypatch.setattr(installed, "registry", lambda: loaded)
    monkeypatch.delenv(executors.WEAK, raising=False)


def chosen(name: str = "auto") -> tuple[str, list[str]]:
    notes: list[str] = []
    made: Any = executors.choose_executor(ComponentRef(name=name), notes.append)
    return type(made).__name__, notes


def test_auto_takes_the_strongest_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen() == ("Strong", ["programs run in strong"])
    monkeypatch.setenv("STRONG_IS", "not installed")
    assert chosen() == ("Fair", ["programs run in fair"])
    assert chosen("fair") == ("Fair", ["programs run in fair"])


def test_bounds_that_are_not_kept_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mftkit.Executor, "not_kept", lambda _self: ["the network", "files"])
    assert chosen("fair")[1] == ["programs run in fair; not bounded here: the network, files"]


def test_a_weak_one_is_refused_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONG_IS", "not installed")
    monkeypatch.setenv("FAIR_IS", "no engine")
    with pytest.raises(
        mftkit.MftError, match=r"(?s)weak, which isolates weakly.*strong \(not installed\)"
    ) as caught:
        chosen()
    assert "--allow-weak-isolation" in str(caught.value)
    with pytest.raises(mftkit.MftError, match="--allow-weak-isolation"):
        chosen("weak")
    monkeypatch.setenv(executors.WEAK, "1")
    name, [note] = chosen()
    assert name == "Weak"
    assert note.startswith("programs run in weak, which isolates weakly; not available: ")
    assert "strong (not installed)" in note
    assert "fair (no engine)" in note
    monkeypatch.setenv(executors.WEAK, "0")
    with pytest.raises(mftkit.MftError, match="isolates weakly"):
        chosen()


def test_where_none_works_each_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STRONG", "FAIR", "WEAK"):
        monkeypatch.setenv(f"{name}_IS", f"{name} is ill")
    with pytest.raises(mftkit.MftError, match="cannot be run in isolation on this machine") as caught:
        chosen()
    for reason in ("strong (STRONG is ill)", "fair (FAIR is ill)", "weak (WEAK is ill)", "heavy ("):
        assert reason in str(caught.value)
    with pytest.raises(mftkit.MftError, match=r"this machine: fair \(FAIR is ill\)$"):
        chosen("fair")
