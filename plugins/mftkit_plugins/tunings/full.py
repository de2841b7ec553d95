"""Full fine-tuning: every parameter is trained, and the result is a full model."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import mftkit

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn
    from transformers import PreTrainedModel


class Full(mftkit.Tuning):
    """Trains every parameter."""

    exports_state = True
    default_learning_rate = 1e-5

    def apply(self, model: PreTrainedModel, adapter: mftkit.ModelAdapter) -> nn.Module:  # noqa: ARG002
        """Return the model with a gradient for every parameter."""
        return model.requires_grad_(True)

    def base_model(self, model: nn.Module) -> PreTrainedModel:
        """Return the model itself."""
        return cast("PreTrainedModel", model)

    def state_dict(self, model: nn.Module) -> dict[str, Tensor]:
        """Return every parameter and buffer once; tied ones are stored under their first name."""
        stored: dict[str, Tensor] = {}
        seen: set[int] = set()
        for name, tensor in model.state_dict(keep_vars=True).items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                stored[name] = tensor.detach().contiguous()
        return stored

    def load_state_dict(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Restore the state in place, so that tied parameters follow."""
        own = model.state_dict()
        for name, tensor in state.items():
            own[name].copy_(tensor)

    def export(self, model: nn.Module, directory: Path, base: str | None) -> None:  # noqa: ARG002
        """Write the model in transformers' own format."""
        self.base_model(model).save_pretrained(directory)
