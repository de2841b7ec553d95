"""One owner for each name: a clash names both distributions, and everything else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mftkit_registry import ConflictError

if TYPE_CHECKING:
    from fixture_types import Install, Load


def plugin(*names: str, default: bool = False, kind: str = "loss") -> str:
    base = {"loss": "Loss", "balancer": "Balancer"}[kind]
    plural = {"loss": "losses", "balancer": "balancers"}[kind]
    lines = "".join(f"    register({name!r}, C, summary='s', default={default})\n" for name in names)
    return (
        "from mftkit_registry import hookimpl\n"
        f"from registry_test_host import {base}\nclass C({base}): pass\n"
        f"@hookimpl\ndef register_{plural}(register):\n{lines}"
    )


def test_one_component_name_claimed_twice(install: Install, load: Load) -> None:
    install(
        "dist-one",
        {"one": "clash_one"},
        {"clash_one": plugin("same", "mine")},
        group="mft-test",
        version="1.1",
    )
    install(
        "dist-two", {"two": "clash_two"}, {"clash_two": plugin("same", "theirs")}, group="mft-test", into="b"
    )
    registry = load()
    with pytest.raises(ConflictError) as caught:
        registry.get(registry.kind("loss"), "same")
    for part in ("dist-one 1.1", "dist-two 1.0", "MFT_BLOCK_PLUGINS=one or two", '"same"'):
        assert part in str(caught.value)
    assert [(row.name, row.status) for row in registry.plugins] == [
        ("same", "conflict"),
        ("mine", "ok"),
        ("same", "conflict"),
        ("theirs", "ok"),
    ]
    assert registry.names(registry.kind("loss")) == ("mine", "theirs")
    assert registry.get(registry.kind("loss"), "theirs").distribution == "dist-two"


def test_blocking_one_of_them_resolves_it(install: Install, load: Load) -> None:
    install("dist-one", {"one": "clash_one"}, {"clash_one": plugin("same")}, group="mft-test")
    install("dist-two", {"two": "clash_two"}, {"clash_two": plugin("same")}, group="mft-test", into="b")
    registry = load(blocked=["one"])
    assert registry.get(registry.kind("loss"), "same").distribution == "dist-two"


def test_one_name_in_two_kinds_is_no_clash(install: Install, load: Load) -> None:
    install("dist-one", {"one": "clash_one"}, {"clash_one": plugin("same")}, group="mft-test")
    install(
        "dist-two",
        {"two": "clash_two"},
        {"clash_two": plugin("same", kind="balancer")},
        group="mft-test",
        into="b",
    )
    assert [row.status for row in load().plugins] == ["ok", "ok"]


def test_one_entry_point_name_in_two_distributions(install: Install, load: Load) -> None:
    install("dist-one", {"same": "clash_one"}, {"clash_one": plugin("a")}, group="mft-test")
    install("dist-two", {"same": "clash_two"}, {"clash_two": plugin("b")}, group="mft-test", into="b")
    first, second = load().plugins
    assert (first.name, first.status, first.distribution) == ("a", "ok", "dist-one")
    assert (second.name, second.status, second.distribution) == ("same", "error", "dist-two")
    assert "dist-one 1.0" in str(second.error)
    assert "dist-two 1.0" in str(second.error)


def test_one_module_under_two_entry_points(install: Install, load: Load) -> None:
    install("dist-one", {"a": "clash_one", "b": "clash_one"}, {"clash_one": plugin("x")}, group="mft-test")
    first, second = load().plugins
    assert (first.name, first.status) == ("x", "ok")
    assert second.status == "error"
    assert '"a"' in str(second.error)
    registry = load()
    assert registry.get(registry.kind("loss"), "x").entry_point == "a", "the innocent first owner stays"


def test_two_defaults(install: Install, load: Load) -> None:
    install("dist-one", {"one": "clash_one"}, {"clash_one": plugin("a", default=True)}, group="mft-test")
    registry = load()
    assert registry.default(registry.kind("loss")) == "a"
    assert registry.default(registry.kind("balancers")) is None
    install(
        "dist-two", {"two": "clash_two"}, {"clash_two": plugin("b", default=True)}, group="mft-test", into="b"
    )
    registry = load()
    assert registry.get(registry.kind("loss"), "a").distribution == "dist-one", "by name, both can be used"
    with pytest.raises(ConflictError, match=r"dist-one 1\.0.*dist-two 1\.0.*name one in the spec"):
        registry.default(registry.kind("loss"))
    assert [row.status for row in registry.plugins] == ["conflict", "conflict"]
    assert registry.warnings == []

    registry = load(first="dist-one")
    assert registry.default(registry.kind("loss")) == "a", "that of the program itself wins"
    assert [(row.name, row.status, row.default) for row in registry.plugins] == [
        ("a", "ok", True),
        ("b", "ok", False),
    ]
    (warning,) = registry.warnings
    assert warning == (
        'dist-two 1.0 (entry point "two") claims the default loss for "b"; the default stays "a" of dist-one. '
        'To use "b", name it in the spec'
    )
