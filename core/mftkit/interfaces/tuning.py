"""The interface of a tuning: which parameters are trained, and what the result is."""

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
    """Turns a loaded model into one to train; in the spec ``{"method": name, **options}``."""

    saves_adapter: ClassVar[bool] = False
    """Whether ``export`` writes an adapter that names a base, rather than a whole model.

    The base is then a checkpoint as it was loaded: one from a random start, or converted on load, is
    written to ``base/`` first.
    """
    freezes_base: ClassVar[bool] = False
    """Whether the weights that were loaded stay as they are: they are then loaded in the dtype of the
    arithmetic (``model.dtype``), where trained ones are at least float32."""

    def load_options(self, dtype: torch.dtype) -> dict[str, Any]:  # noqa: ARG002
        """Keyword arguments for ``from_pretrained`` (quantisation); an empty dict for none.

        ``dtype`` is that of the arithmetic.
        """
        return {}

    @required
    def apply(self, model: PreTrainedModel, adapter: ModelAdapter) -> nn.Module:
        """The model to train, with ``requires_grad`` set.

        In a dry run it is called with a model on the "meta" device, which has shapes and no numbers.
        """
        raise NotImplementedError

    def notes(self, model: nn.Module) -> list[str]:  # noqa: ARG002
        """What whoever trains what ``apply`` gave should know, a sentence each, for the plan."""
        return []

    @required
    def base_model(self, model: nn.Module) -> PreTrainedModel:
        """The transformers model inside what ``apply`` gave, the tuned parts in place."""
        raise NotImplementedError

    @required
    def state_dict(self, model: nn.Module) -> dict[str, Tensor]:
        """What a checkpoint must hold to restore the model."""
        raise NotImplementedError

    def load_state_dict(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Restore what ``state_dict`` gave."""
        raise NotImplementedError

    @required
    def export(self, model: nn.Module, directory: Path, base: str | None) -> None:
        """Write the result, loadable without mftkit; ``base`` (a directory or a hub id) is what an adapter names."""
        raise NotImplementedError
