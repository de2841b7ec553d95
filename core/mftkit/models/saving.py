"""Writing a model with transformers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformers import modeling_utils

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


@contextmanager
def unwrapped() -> Iterator[None]:
    """Use around ``save_pretrained`` of a model that nothing wraps.

    transformers looks for the wrappers of all libraries that are installed, and imports these libraries for it, also
    those that the run does not use: 2.1 s of CPU time and a warning on the screen for one of them.
    """
    look = modeling_utils.unwrap_model

    def itself(model: nn.Module, recursive: bool = False) -> nn.Module:  # noqa: ARG001  # their signature
        return model

    modeling_utils.unwrap_model = itself  # type: ignore[assignment]  # theirs is overloaded
    try:
        yield
    finally:
        modeling_utils.unwrap_model = look
