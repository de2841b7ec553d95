"""Events of a run: every listener is called, with what it asks for; one that raises hurts no other."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fixture_types import Install, Load

SOURCE = """
from mftkit_registry import hookimpl
calls = []
@hookimpl
def on_start(run{more}):
    calls.append((run{more}))
    {then}
"""


def test_each_gets_the_arguments_it_names(install: Install, load: Load) -> None:
    install("a", {"a": "events_a"}, {"events_a": SOURCE.format(more="", then="")}, group="mft-test")
    install(
        "b",
        {"b": "events_b"},
        {"events_b": SOURCE.format(more=", extra", then="")},
        group="mft-test",
        into="b",
    )
    registry = load()
    assert registry.fire("on_start", run="R", extra="E") == []
    assert sys.modules["events_a"].calls == ["R"]
    assert sys.modules["events_b"].calls == [("R", "E")]
    assert [(row.kind, row.name, row.summary) for row in registry.plugins] == [
        ("callbacks", "a", "listens to on_start"),
        ("callbacks", "b", "listens to on_start"),
    ]


@pytest.mark.parametrize(
    ("then", "kind"), [("1 / 0", ZeroDivisionError), ("raise SystemExit(1)", SystemExit)]
)
def test_one_that_raises_is_returned_and_the_others_are_called(
    then: str, kind: type[BaseException], install: Install, load: Load
) -> None:
    install("a", {"a": "events_a"}, {"events_a": SOURCE.format(more="", then="")}, group="mft-test")
    install(
        "b", {"b": "events_b"}, {"events_b": SOURCE.format(more="", then=then)}, group="mft-test", into="b"
    )
    registry = load()
    ((plugin, error),) = registry.fire("on_start", run=1, extra=2)
    assert (plugin.name, plugin.distribution) == ("b", "b")
    assert isinstance(error, kind)
    assert sys.modules["events_a"].calls == [1]


def test_an_event_that_does_not_exist_is_a_fault_of_the_host(load: Load) -> None:
    with pytest.raises(ValueError, match="on_sart"):
        load().fire("on_sart")
