from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mftkit.plugins import hookspecs, installed
from mftkit.plugins.kinds import KINDS
from mftkit_registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from fixture_types import Install, Problems, SpecDict

STAND_INS = """
from enum import Enum
import mftkit
from mftkit.interfaces.component import is_required
from pydantic import BaseModel, Field
from types import FunctionType

def complete(component):
    for base in component.__mro__:
        for name, method in vars(base).items():
            if isinstance(method, FunctionType) and is_required(method):
                setattr(component, name, lambda self, *arguments: None)
    return component

@complete
class Square(mftkit.Loss):
    linear = True

class Inner(BaseModel, extra="forbid"):
    depth: int = 1

@complete
class Bent(mftkit.Loss):
    class Options(mftkit.Options):
        gamma: float = Field(2.0, ge=0)
        alpha: dict[str, float] | float = 1.0
        limit: float = float("inf")
        table: mftkit.SpecPath | None = None
        inner: Inner = Inner()

@complete
class Even(mftkit.Balancer):
    pass

@complete
class Given(mftkit.Balancer):
    reads_task_weights = True

@complete
class Rows(mftkit.TokenizationMode):
    class Options(mftkit.Options):
        scope: str = "all"

@complete
class Maker(mftkit.DataGenerator):
    class Options(mftkit.Options):
        count: int
        folder: mftkit.SpecPath = "made"

@complete
class Whole(mftkit.Tuning):
    pass

@complete
class Part(mftkit.Tuning):
    default_learning_rate = 2e-3

    class Options(mftkit.Options):
        rank: int = 8

@complete
class Board(mftkit.Tracker):
    pass

@complete
class Family(mftkit.ModelAdapter):
    class Options(mftkit.Options):
        strict: bool = True

@mftkit.hookimpl
def register_trackers(register):
    register("board", Board, summary="s")

@mftkit.hookimpl
def register_losses(register):
    register("square", Square, summary="s", default=True)
    register("bent", Bent, summary="s")
    register("heavy", "module_that_is_not_there:Loss", summary="s")

@mftkit.hookimpl
def register_balancers(register):
    register("even", Even, summary="s", default=True)
    register("given", Given, summary="s")

@mftkit.hookimpl
def register_tokenization_modes(register):
    register("rows", Rows, summary="s", default=True)

@mftkit.hookimpl
def register_task_formats(register):
    register("chat", "mftkit_plugins.task_formats.chat:Chat", summary="s", default=True)
    register("text", "mftkit_plugins.task_formats.text:Text", summary="s")

@mftkit.hookimpl
def register_data_generators(register):
    register("maker", Maker, summary="s")

@mftkit.hookimpl
def register_tunings(register):
    register("whole", Whole, summary="s", default=True)
    register("part", Part, summary="s")

@mftkit.hookimpl
def register_optimizers(register):
    register("adamw", "mftkit_plugins.optimizers.adamw:AdamW", summary="s", default=True)

@mftkit.hookimpl
def register_schedules(register):
    register("cosine", "mftkit_plugins.schedules.cosine:Cosine", summary="s", default=True)
    register("linear", "mftkit_plugins.schedules.linear:Linear", summary="s")

@mftkit.hookimpl
def register_model_adapters(register):
    register("family", Family, summary="s")
"""


@pytest.fixture
def stand_ins(install: Install, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A few components of every kind in place of what is installed."""
    install("stand-ins", {"stand-ins": "spec_stand_ins"}, {"spec_stand_ins": STAND_INS}, group="mft-stand-in")
    loaded = Registry.load(KINDS, [hookspecs], group="mft-stand-in")
    assert [row.error for row in loaded.plugins if row.status != "ok"] == []
    monkeypatch.setattr(installed, "registry", lambda: loaded)
    return loaded


def smallest(**more: Any) -> dict[str, Any]:
    """The shortest spec there is, and more."""
    return {
        "name": "x",
        "model": {"path": "org/model"},
        "tasks": [{"name": "a", "train": ["a.jsonl"]}],
        **more,
    }


@pytest.fixture
def spec_dict() -> SpecDict:
    return smallest


@pytest.fixture
def problems(stand_ins: Registry, tmp_path: Path) -> Problems:
    """What is wrong with a spec, a line each."""
    from mftkit.spec import SpecError, load_spec

    def found(data: dict[str, Any]) -> list[str]:
        with pytest.raises(SpecError) as caught:
            load_spec(data, directory=tmp_path)
        assert caught.value.exit_code == 2
        return [str(problem) for problem in caught.value.problems]

    return found
