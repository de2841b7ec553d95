"""Finding components and kinds, what is said where there is none, and resolving targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mftkit_registry import BrokenComponentError, Registry, UnknownComponentError, UnknownKindError

if TYPE_CHECKING:
    from fixture_types import Install, Load

SOURCE = """
from mftkit_registry import hookimpl
from registry_test_host import Balancer, Loss
class Right(Loss):
    class Inner(Loss): pass
class Wrong: pass
@hookimpl
def register_losses(register):
    register("token-square", Right, summary=" squares ")
    register("by-string", "lookup_plugin:Right.Inner", summary="s")
    register("wrong-class", Wrong, summary="s")
    register("not-a-class", "lookup_plugin:SOMETHING", summary="s")
    register("missing", "lookup_plugin:Nothing", summary="s")
    register("exits", "lookup_exits:Nothing", summary="s")
SOMETHING = 3
"""


@pytest.fixture
def registry(install: Install, load: Load) -> Registry:
    modules = {"lookup_plugin": SOURCE, "lookup_exits": "import sys; sys.exit(3)"}
    install("dist", {"ours": "lookup_plugin"}, modules, group="mft-test", version="2.5")
    install("broken", {"broken": "lookup_broken"}, {"lookup_broken": "1 / 0"}, group="mft-test", into="b")
    return load()


def test_what_is_registered(registry: Registry) -> None:
    found = registry.get(registry.kind("loss"), "token-square")
    assert (found.kind, found.summary, found.distribution, found.version) == (
        "loss",
        "squares",
        "dist",
        "2.5",
    )
    assert found.resolve().__name__ == "Right"
    assert registry.get(registry.kind("loss"), "by-string").resolve().__qualname__ == "Right.Inner"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong-class", "lookup_plugin.Wrong is not a subclass of registry_test_host.Loss"),
        ("not-a-class", "is not a subclass"),
        ("missing", "AttributeError"),
        ("exits", "SystemExit: 3"),
    ],
)
def test_a_target_that_cannot_be_used(registry: Registry, name: str, reason: str) -> None:
    with pytest.raises(BrokenComponentError) as caught:
        registry.get(registry.kind("loss"), name).resolve()
    for part in (name, reason, "dist 2.5"):
        assert part in str(caught.value)


def test_an_unknown_name(registry: Registry) -> None:
    with pytest.raises(UnknownComponentError) as caught:
        registry.get(registry.kind("loss"), "Token_sqare")
    error = caught.value
    assert error.nearest == ("token-square",)
    assert error.installed == registry.names(registry.kind("loss"))
    for part in (
        '"Token_sqare"',
        'did you mean "token-square"?',
        '"by-string"',
        '"broken" of broken 1.0',
        "ZeroDivisionError",
    ):
        assert part in str(error)


@pytest.mark.parametrize("name", ["loss", "losses", "Loss", "LOSSES", "objective", "objectives"])
def test_spellings_of_a_kind(registry: Registry, name: str) -> None:
    assert registry.kind(name).name == "loss"


@pytest.mark.parametrize("name", ["task-balancer", "task_balancers", "Task Balancer", "balancers"])
def test_spellings_of_another(registry: Registry, name: str) -> None:
    assert registry.kind(name).name == "balancer"


def test_an_unknown_kind(registry: Registry) -> None:
    with pytest.raises(UnknownKindError, match='allowed: "loss", "balancer"; did you mean "loss"'):
        registry.kind("los")
