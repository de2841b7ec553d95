from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from mftkit_registry import Kind, Registry

if TYPE_CHECKING:
    from fixture_types import Load


HOOKS = """
from mftkit_registry import hookspec

class Loss: pass
class Balancer: pass

@hookspec
def on_start(run, extra): ...
@hookspec
def on_end(run): ...
"""


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a registry of two kinds and two events; it sees only group "mft-test", not what is installed."""
    host = types.ModuleType("registry_test_host")
    exec(HOOKS, host.__dict__)
    monkeypatch.setitem(sys.modules, host.__name__, host)
    kinds = (
        Kind("loss", host.Loss, aliases=("objective",), reserved=("auto",)),
        Kind("balancer", host.Balancer, aliases=("task-balancer",)),
    )

    def loaded(**options: Any) -> Registry:
        return Registry.load(kinds, [host], group="mft-test", **options)

    return loaded
