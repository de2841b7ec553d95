"""From a path or a hub id to a model that is ready to train: config, adapter, weights, tokenizer, checks."""

from mftkit.models.config import read_config
from mftkit.models.model_checks import check_head, check_independence, check_isolation
from mftkit.models.pad_token import choose_pad
from mftkit.models.selection import select_adapter

__all__ = [
    "check_head",
    "check_independence",
    "check_isolation",
    "choose_pad",
    "read_config",
    "select_adapter",
]
