"""Hides messages of torch, peft and bitsandbytes that a user can do nothing about."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def without_peft_noise() -> Iterator[None]:
    """Use while they are imported and adapters are added: a user cannot fix what they warn about.

    bitsandbytes 0.50 misses a kernel that speeds up inference on the CPU; peft 0.21 uses a deprecated name of
    transformers.
    """
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    logger.addFilter(_is_useful)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
            # Reported once, in the plan of the run that makes such an adapter.
            warnings.filterwarnings("ignore", ".*ensure_weight_tying", UserWarning)
            yield
    finally:
        logger.removeFilter(_is_useful)


@contextmanager
def without_checkpoint_noise() -> Iterator[None]:
    """Use while layers under selective checkpointing are compiled: torch warns of operations in place, in any layer.

    They do no harm: see ``mftkit.models.selective_modes``.
    """
    logger = logging.getLogger("torch._higher_order_ops.wrap")
    logger.addFilter(_is_not_about_context)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_about_context)


def _is_not_about_context(record: logging.LogRecord) -> bool:
    return "context_fn is passed to torch.utils.checkpoint" not in record.getMessage()


def _is_useful(record: logging.LogRecord) -> bool:
    return "Failed to load CPU gemm_4bit_forward" not in record.getMessage()
