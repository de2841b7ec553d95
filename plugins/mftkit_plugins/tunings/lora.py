"""LoRA (arXiv 2106.09685): y = W x + (alpha / rank) B A x, with W frozen; through peft."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, field_validator

import mftkit
from mftkit import without_peft_noise
from mftkit_plugins.tunings.fields import check_fields
from mftkit_plugins.tunings.targets import AUTO, LoraTargets, automatic, check_targets

if TYPE_CHECKING:
    from pathlib import Path

    from peft import LoraConfig, PeftModel
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class LoraOptions(mftkit.Options):
    """Of both tunings that train low-rank adapters."""

    rank: int = Field(default=64, ge=1)
    """Rank of the adapters."""
    alpha: int | float = Field(default=32, gt=0)
    """Their output is multiplied by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of an adapter's inputs that is dropped in training."""
    targets: str | list[str] = AUTO
    """Modules: "auto" (what the model adapter names; experts of a mixture where dropout is 0), names or their ends,
    or a regular expression."""
    lora: dict[str, Any] = Field(default_factory=dict)
    """Other fields of peft's LoraConfig, passed through: use_dora, use_rslora, modules_to_save, ..."""

    @field_validator("targets")
    @classmethod
    def _some(cls, targets: str | list[str]) -> str | list[str]:
        if not targets:
            raise ValueError('should name modules, or be "auto"')
        return targets

    @field_validator("lora")
    @classmethod
    def _known(cls, given: dict[str, Any]) -> dict[str, Any]:
        check_fields(given)
        return given


class Lora(mftkit.Tuning):
    """Trains low-rank adapters, float32, of a frozen base."""

    Options = LoraOptions
    options: LoraOptions
    saves_adapter = True
    freezes_base = True

    def __init__(self, options: LoraOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self._told: list[str] = []

    def apply(self, model: PreTrainedModel, adapter: mftkit.ModelAdapter) -> nn.Module:
        """The model inside peft's, adapters in place; MftError where peft cannot place them."""
        with without_peft_noise():
            return self._applied(model, adapter)

    def _applied(self, model: PreTrainedModel, adapter: mftkit.ModelAdapter) -> nn.Module:
        import torch
        from peft import get_peft_model

        wanted = self.options.targets
        places = automatic(adapter, model, self._plain) if wanted == AUTO else LoraTargets(wanted)
        check_targets(places.modules, model)
        self._told = places.notes
        try:
            tuned = get_peft_model(model, self._config(places))
        except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            told = " ".join(str(error).split())[:400]
            raise mftkit.MftError(f"tuning: peft cannot put an adapter there: {told}") from error
        for parameter in tuned.parameters():
            if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
                parameter.data = parameter.data.float()  # small updates are lost in narrow numbers
        return cast("nn.Module", tuned)

    @property
    def _plain(self) -> bool:
        """Whether peft can adapt parameters outside of linear modules with these options."""
        other = ("use_dora", "lora_bias", "target_parameters", "fan_in_fan_out")
        return not self.options.dropout and not any(self.options.lora.get(key) for key in other)

    def _config(self, places: LoraTargets) -> LoraConfig:
        from peft import LoraConfig

        options = self.options
        given = (
            {"target_parameters": places.parameters, **options.lora} if places.parameters else options.lora
        )
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=options.rank,
            lora_alpha=cast("int", options.alpha),  # peft multiplies by it, and takes fractions
            lora_dropout=options.dropout,
            target_modules=places.modules,
            **given,
        )

    def notes(self, model: nn.Module) -> list[str]:  # noqa: ARG002
        """What "auto" left as it is."""
        return self._told

    def base_model(self, model: nn.Module) -> PreTrainedModel:
        """The model inside peft's: its layers are the adapted ones."""
        return cast("PreTrainedModel", cast("PeftModel", model).get_base_model())

    def state_dict(self, model: nn.Module) -> dict[str, Tensor]:
        """What is trained: adapters, and copies of whole modules (``modules_to_save``)."""
        return {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}

    def load_state_dict(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Restore what is trained, in place."""
        import torch

        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, tensor in state.items():
                own[name].copy_(tensor)

    def export(self, model: nn.Module, directory: Path, base: str | None) -> None:
        """Write the adapter in peft's own form, naming its base."""
        tuned = cast("PeftModel", model)
        tuned.peft_config[tuned.active_adapter].base_model_name_or_path = base
        # The base's embedding is never resized under an adapter, so it need not be saved.
        tuned.save_pretrained(str(directory), save_embedding_layers=False)
