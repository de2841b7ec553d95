"""A package for another version gets one message that names it, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import mftkit
from mftkit.cli import main
from mftkit.cli.entry import _missing_method
from mftkit.plugins import hookspecs, installed, kinds
from mftkit.plugins.compatibility import interface_differences
from mftkit.plugins.ownership import plugin_of_error, plugin_of_object
from mftkit.tools.run import describe_error
from mftkit.training.balancing import weights_of
from mftkit.training.loss_checks import check_loss
from mftkit_registry import BrokenComponentError, Registry

OLD = """
import mftkit

@mftkit.hookimpl
def register_balancers(register):
    register("old", OldBalancer, summary="of an earlier version")
    register("short", Short, summary="returns a list")
    register("negative", Negative, summary="returns -1")
    register("fails", Fails, summary="raises")

class OldBalancer(mftkit.Balancer):
    def observe(self, step, train): ...

class Short(mftkit.Balancer):
    def weights(self):
        return [1.0]

class Negative(mftkit.Balancer):
    def weights(self):
        import torch
        return -torch.ones(2)

class Fails(mftkit.Balancer):
    def weights(self):
        raise KeyError("no such thing")
"""

if TYPE_CHECKING:
    from fixture_types import Install


@pytest.fixture
def load(install: Install, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The registry with one plugin package, beside the built-ins."""

    def loaded(source: Any, requires: Any = (), **more: Any) -> Any:
        install(
            "mft-old",
            {"old": "mft_old_plugin"},
            {"mft_old_plugin": source},
            group="mft-old",
            requires=requires,
        )
        registry = Registry.load(kinds.KINDS, [hookspecs], group="mft-old")
        monkeypatch.setattr(installed, "registry", lambda: registry)
        return registry

    return loaded


def test_an_old_balancer_is_refused_with_its_package_and_every_difference(
    load: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    load(OLD)
    with pytest.raises(BrokenComponentError) as caught:
        installed.build(kinds.BALANCER, "old", {})
    assert str(caught.value) == (
        'balancer "old" of mft-old 1.0 (entry point "old") does not fit the plugin interface of mftkit '
        f"{mftkit.__version__} (API {mftkit.API_VERSION}): weights() is missing; observe(step, train) is called as "
        "observe(step, train, valid). Update the package (pip install --upgrade mft-old), or fix "
        "mft_old_plugin.OldBalancer."
    )
    assert main(["plugins", "show", "balancer", "old"]) == 2
    assert "error: balancer" in capsys.readouterr().err


class Right(mftkit.Balancer):
    def weights(self) -> Any:
        return None


def balancer(**methods: Any) -> Any:
    return type("Made", (Right,), methods)


@pytest.mark.parametrize(
    ("methods", "difference"),
    [
        ({"prepare": lambda self, step: None}, "prepare(step) is called as prepare(step, train, valid)"),
        (
            {"prepare": lambda self, a, b, c, d: None},
            "prepare(a, b, c, d) is called as prepare(step, train, valid)",
        ),
        ({"prepare": lambda self, step, *, train, valid: None}, "prepare(step, train, valid) is called as"),
        ({"prepare": None}, "prepare is not a method"),
        (
            {"__init__": lambda self, options: None},
            "__init__(options) is called as __init__(options, tasks=...)",
        ),
    ],
)
def test_what_core_could_not_call(methods: Any, difference: Any) -> None:
    (found,) = interface_differences(balancer(**methods), mftkit.Balancer)
    assert found.startswith(difference)


@pytest.mark.parametrize(
    "methods",
    [
        {},
        {"prepare": lambda self, *losses: None},
        {"prepare": lambda self, s, t, v, more=None: None},
        {"prepare": staticmethod(lambda step, train, valid: None)},
        {"prepare": classmethod(lambda cls, step, train, valid: None)},
        {"prepare": print},
        {"__init__": lambda self, *given, **more: None},
        {"needs_validation": property(lambda self: 3)},
    ],
)
def test_what_core_can_call(methods: Any) -> None:
    assert interface_differences(balancer(**methods), mftkit.Balancer) == ()


def test_a_property_that_is_a_method() -> None:
    made = type("Made", (mftkit.DataGenerator,), {"rows": lambda self, context: [], "goal": lambda self: 3})
    assert interface_differences(made, mftkit.DataGenerator) == (
        "goal is a property: put @property above it",
    )


def test_all_built_ins_fit() -> None:
    for kind in kinds.KINDS:
        for name in installed.registry().names(kind):
            assert interface_differences(installed.component_class(kind, name), kind.interface) == ()


@pytest.mark.parametrize(
    ("requires", "refused"),
    [
        (["mftkit>=99"], "requires mftkit >=99, but mftkit {} is installed"),
        (["torch", "MFTkit<0.0.1"], "requires mftkit <0.0.1, but mftkit {} is installed"),
        (["mftkit>=0.0.1,<99"], None),
        (["mftkit"], None),
        (['mftkit>=99; extra == "test"'], None),
        (["no requirement at all !"], None),
    ],
)
def test_required_versions_are_compared_with_what_is_installed(
    load: Any, requires: Any, refused: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = load(OLD, requires)
    row = registry.plugins[0]
    if refused is None:
        assert row.status == "ok"
        return
    assert (row.status, row.kind, row.distribution) == ("error", "plugin", "mft-old")
    assert row.error.startswith(refused.format(mftkit.__version__))
    assert "pip install --upgrade mft-old mftkit" in row.error
    with pytest.raises(mftkit.MftError, match=r"mft-old 1\.0 \(requires mftkit .* is installed"):
        installed.build(kinds.BALANCER, "old", {})


def test_the_package_of_an_error_and_of_an_object(load: Any) -> None:
    load(OLD)
    made = installed.build(kinds.BALANCER, "fails", {})
    assert plugin_of_object(made) == '"old" (mft-old 1.0)'
    assert plugin_of_object(mftkit.Options()) is None
    with pytest.raises(KeyError) as caught:
        made.weights()
    assert plugin_of_error(caught.value) == '"old" (mft-old 1.0)'
    outer = RuntimeError("in core")
    outer.__cause__ = caught.value
    assert plugin_of_error(outer) == '"old" (mft-old 1.0)'
    assert (
        plugin_of_error(ExceptionGroup("several", [ValueError("x"), caught.value])) == '"old" (mft-old 1.0)'
    )
    assert plugin_of_error(ValueError("of nobody")) is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("short", r'but returned list\. Fix the plugin "old" \(mft-old 1\.0\)\.$'),
        ("negative", r"""otherwise fix the balancer's plugin "old" \(mft-old 1\.0\)\.$"""),
    ],
)
def test_a_message_about_a_balancer_names_its_package(load: Any, name: str, hint: str) -> None:
    load(OLD)
    with pytest.raises(mftkit.MftError, match=hint):
        weights_of(installed.build(kinds.BALANCER, name, {}), 2)


def test_a_message_about_a_loss_names_its_package(load: Any) -> None:
    source = """
import mftkit

@mftkit.hookimpl
def register_losses(register):
    register("wrong", Wrong, summary="returns a number")

class Wrong(mftkit.Loss):
    def statistics(self, tokens):
        return 1.0
    def task_losses(self, totals): ...
"""
    load(source)
    made = installed.build(kinds.LOSS, "wrong", {}, ())
    with pytest.raises(
        mftkit.MftError, match=r'Fix the plugin "old" \(mft-old 1\.0\), or choose another loss\.$'
    ):
        check_loss(made, 2)


def test_the_end_line_of_a_failed_run_names_the_package(load: Any) -> None:
    load(OLD)
    with pytest.raises(KeyError) as caught:
        installed.build(kinds.BALANCER, "fails", {}).weights()
    assert describe_error(caught.value) == "plugin \"old\" (mft-old 1.0) failed: KeyError: 'no such thing'"
    assert describe_error(ValueError("of nobody")) == "ValueError: of nobody"


def test_a_message_about_a_missing_method_names_its_package(load: Any) -> None:
    load(OLD)
    made = installed.build(kinds.BALANCER, "short", {})
    with pytest.raises(NotImplementedError) as caught:
        mftkit.Balancer.weights(made)
    message = _missing_method(caught.value)
    assert message is not None
    assert message.endswith('its interface requires; fix the plugin "old" (mft-old 1.0)')
