"""Each plugin by itself: a bad one is a row with its reason, and hurts no other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fixture_types import Install, Load

GOOD = """
    from mftkit_registry import hookimpl
    from registry_test_host import Loss
    class Plain(Loss): pass
    @hookimpl
    def register_losses(register):
        register("plain", Plain, summary="plain loss")
"""
HEAD = "from mftkit_registry import hookimpl\n"
BAD = {
    "import error": (
        "import no_such_module_anywhere",
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
    ),
    "syntax error": ("def (", "SyntaxError"),
    "exit": ("raise SystemExit('go away')", "SystemExit: go away"),
    "base exception": ("raise GeneratorExit", "GeneratorExit"),
    "typo": (
        HEAD + "@hookimpl\ndef register_loses(register): ...",
        'unknown hook "register_loses": did you mean "register_losses"?',
    ),
    "typo in an event": (HEAD + "@hookimpl\ndef on_strat(run): ...", 'did you mean "on_start"?'),
    "no hook": ("x = 1", "has no hook"),
    "not marked": ("def register_losses(register): ...", "register_losses is not marked as a hook"),
    "unknown argument": (HEAD + "@hookimpl\ndef register_losses(registr): ...", "registr"),
    "wrapper": (HEAD + "@hookimpl(wrapper=True)\ndef on_end(run):\n    yield", "wrappers are not supported"),
    "hook raises": (
        HEAD + "@hookimpl\ndef register_losses(register): 1 / 0",
        "ZeroDivisionError: division by zero",
    ),
    "bad name": (
        HEAD + "@hookimpl\ndef register_losses(register): register('a b', 'm:C', summary='s')",
        "'a b' is not a valid name",
    ),
    "reserved name": (
        HEAD + "@hookimpl\ndef register_losses(register): register('auto', 'm:C', summary='s')",
        "is reserved: choose another name",
    ),
    "bad target": (
        HEAD + "@hookimpl\ndef register_losses(register): register('a', 'm.C', summary='s')",
        '"package.module:Class"',
    ),
    "no summary": (HEAD + "@hookimpl\ndef register_losses(register): register('a', 'm:C')", "summary"),
    "empty summary": (
        HEAD + "@hookimpl\ndef register_losses(register): register('a', 'm:C', summary=' ')",
        "summary must be one line",
    ),
    "twice": (
        HEAD
        + "@hookimpl\ndef register_losses(register):\n  for _ in 'ab': register('a', 'm:C', summary='s')",
        "registered twice",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plugin_is_a_row_and_hurts_no_other(case: str, install: Install, load: Load) -> None:
    source, reason = BAD[case]
    install(
        "bad-dist",
        {"a-bad": "bad_plugin_module"},
        {"bad_plugin_module": source},
        group="mft-test",
        version="0.3",
    )
    install(
        "good-dist", {"good": "good_plugin_module"}, {"good_plugin_module": GOOD}, group="mft-test", into="b"
    )
    registry = load()
    bad, good = registry.plugins
    assert (bad.status, bad.kind, bad.name, bad.distribution, bad.version) == (
        "error",
        "plugin",
        "a-bad",
        "bad-dist",
        "0.3",
    )
    assert bad.error is not None
    assert reason in bad.error
    assert "\n" not in bad.error
    assert (good.status, good.name, good.error) == ("ok", "plain", None)
    assert registry.get(registry.kind("loss"), "plain").resolve().__name__ == "Plain"


def test_a_plugin_registers_whole_or_not_at_all(install: Install, load: Load) -> None:
    source = HEAD + (
        "calls = []\n"
        "@hookimpl\ndef register_losses(register): register('first', 'm:C', summary='s')\n"
        "@hookimpl\ndef register_balancers(register): raise RuntimeError('half way')\n"
        "@hookimpl\ndef on_end(run): calls.append(run)\n"
    )
    install("half", {"half": "half_module"}, {"half_module": source}, group="mft-test")
    registry = load()
    assert registry.names(registry.kind("loss")) == ()
    assert [row.status for row in registry.plugins] == ["error"]
    assert registry.fire("on_end", run=1) == []
    assert sys.modules["half_module"].calls == []


def test_stdout_of_a_plugin_is_not_the_programs(
    install: Install, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        "loud",
        {"loud": "loud_module"},
        {"loud_module": "print('hello')\n" + GOOD.replace("\n    ", "\n")},
        group="mft-test",
    )
    assert load().names(load().kind("loss")) == ("plain",)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_blocked_is_never_imported(install: Install, load: Load, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    source = f"from pathlib import Path\nPath({str(trace)!r}).touch()\n" + HEAD
    install("nosy", {"nosy": "nosy_module"}, {"nosy_module": source}, group="mft-test")
    registry = load(blocked=["nosy"])
    assert not trace.exists()
    assert [(row.name, row.status) for row in registry.plugins] == [("nosy", "blocked")]
    load()
    assert trace.exists(), "the trace shows an import"


def test_a_blocked_name_that_matches_nothing_is_reported(install: Install, load: Load) -> None:
    install("good-dist", {"good": "good_plugin_module"}, {"good_plugin_module": GOOD}, group="mft-test")
    assert load(blocked=["good"]).warnings == []
    (warning,) = load(blocked=["god"]).warnings
    assert '"god"' in warning
    assert 'did you mean "good"?' in warning


def test_order_first_then_entry_point_then_distribution(install: Install, load: Load) -> None:
    plugin = HEAD + "@hookimpl\ndef on_end(run): ..."
    for letter, name in (("z", "Home.Dist"), ("a", "zz"), ("b", "aa")):
        module = f"order_{letter}"
        install(name, {letter: module}, {module: plugin}, group="mft-test", into=name)
    assert [row.name for row in load(first="home-dist").plugins] == ["z", "a", "b"]


def test_a_distribution_twice_on_the_path_counts_once(install: Install, load: Load) -> None:
    for site, version in (("old", "1.0"), ("new", "2.0")):
        install(
            "good-dist",
            {"good": "good_plugin_module"},
            {"good_plugin_module": GOOD},
            group="mft-test",
            into=site,
            version=version,
        )
    assert [(row.status, row.version) for row in load().plugins] == [("ok", "2.0")]


def test_what_an_import_would_not_get_is_not_there(install: Install, load: Load) -> None:
    point = {"good": "good_plugin_module"}
    install("good-dist", point, {"good_plugin_module": GOOD}, group="mft-test", into="old")
    install("good-dist", {}, group="mft-test", into="new", version="2.0")
    assert load().plugins == []


def test_a_plugin_that_registers_nothing_is_seen(install: Install, load: Load) -> None:
    source = HEAD + "@hookimpl\ndef register_losses(register): ..."
    install("empty-dist", {"empty": "empty_module"}, {"empty_module": source}, group="mft-test")
    assert [(row.name, row.status, row.summary) for row in load().plugins] == [
        ("empty", "ok", "registers nothing")
    ]


def test_a_damaged_list_of_entry_points(install: Install, load: Load) -> None:
    site = install("damaged", {}, group="mft-test")
    next(site.glob("*.dist-info/entry_points.txt")).write_text("[mft-test]\nno equals sign\n")
    install(
        "good-dist", {"good": "good_plugin_module"}, {"good_plugin_module": GOOD}, group="mft-test", into="b"
    )
    rows = {row.name: row for row in load().plugins}
    assert rows["damaged"].status == "error"
    assert (rows["damaged"].error or "").startswith("entry_points.txt")
    assert rows["plain"].status == "ok"


def test_metadata_without_a_name(install: Install, load: Load) -> None:
    site = install(
        "good-dist", {"good": "good_plugin_module"}, {"good_plugin_module": GOOD}, group="mft-test"
    )
    next(Path(site).glob("*.dist-info/METADATA")).write_text("Metadata-Version: 2.1\n")
    (row,) = load().plugins
    assert (row.name, row.status, row.distribution, row.version) == ("plain", "ok", "unknown", "unknown")
