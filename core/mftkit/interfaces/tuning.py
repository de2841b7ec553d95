"""The interface of a tuning: selects the trained parameters, and writes the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from mftkit.interfaces.model import ModelAdapter


@documented
class Tuning(Component[OptionsT]):
    """Prepares a loaded model for training; in the spec ``{"method": name, **options}``."""

    saves_adapter: ClassVar[bool] = False
    """Whether ``export`` writes an adapter that names a base, rather than a complete model.

    The base is then the checkpoint as it was loaded: a randomly initialized or converted one is written to
    ``base/`` first.
    """
    freezes_base: ClassVar[bool] = False
    """Whether the loaded weights stay unchanged: they are then loaded in the dtype of the arithmetic
    (``model.dtype``); trained ones are at least float32."""
    exports_state: ClassVar[bool] = False
    """Whether ``export`` is ``save_pretrained`` of ``base_model``, and ``state_dict`` has all tensors of that by their
    names. A run whose processes hold shards then writes its result tensor by tensor, without ``export``. It does not
    hold for a subclass with another ``export``."""
    default_learning_rate: ClassVar[float] = 1e-4
    """The peak learning rate of a spec that sets none."""

    def load_options(self, dtype: torch.dtype) -> dict[str, Any]:  # noqa: ARG002
        """Keyword arguments for ``from_pretrained`` (quantization); an empty dict for none.

        ``dtype`` is the dtype of the arithmetic.
        """
        return {}

    @required
    def apply(self, model: PreTrainedModel, adapter: ModelAdapter) -> nn.Module:
        """The model to train, with ``requires_grad`` set.

        In a dry run it is called with a model on the "meta" device, which has shapes but no values.
        """
        raise NotImplementedError

    def notes(self, model: nn.Module) -> list[str]:  # noqa: ARG002
        """Remarks for users who train the result of ``apply``, one sentence each, shown in the plan."""
        return []

    @required
    def base_model(self, model: nn.Module) -> PreTrainedModel:
        """The transformers model inside the result of ``apply``, with the tuned parts in place."""
        raise NotImplementedError

    @required
    def state_dict(self, model: nn.Module) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold to restore the model."""
        raise NotImplementedError

    def load_state_dict(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Restore what ``state_dict`` gave."""
        raise NotImplementedError

    @required
    def export(self, model: nn.Module, directory: Path, base: str | None) -> None:
        """Write the result, loadable without mftkit; an adapter names ``base`` (a directory or a hub id)."""
        raise NotImplementedError
