"""From a path or a hub id to a model that is ready to train: config, adapter, weights, tokenizer, checks.

The names are imported when they are used: an adapter is chosen by its config without importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mftkit.models.config import read_config
    from mftkit.models.model_checks import (
        check_head,
        check_independence,
        check_isolation,
        isolation_problem,
    )
    from mftkit.models.pad_token import choose_pad
    from mftkit.models.selection import select_adapter

__all__ = [
    "check_head",
    "check_independence",
    "check_isolation",
    "choose_pad",
    "isolation_problem",
    "read_config",
    "select_adapter",
]

_MODULES = {
    "check_head": "model_checks",
    "check_independence": "model_checks",
    "check_isolation": "model_checks",
    "choose_pad": "pad_token",
    "isolation_problem": "model_checks",
    "read_config": "config",
    "select_adapter": "selection",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
