"""The engines that a plan compares."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.interfaces.sharding import ShardingOf


def engine_shardings() -> Mapping[str, ShardingOf]:
    """Each engine's name and sharding.

    Provisional: once engines are a kind of component, this asks the registry for their ``sharding``.
    """
    shardings: Mapping[str, ShardingOf] = importlib.import_module("mftkit_plugins.engines.sharding").SHARDINGS
    return shardings
