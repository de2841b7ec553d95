"""LoRA (arXiv 2106.09685): y = W x + (alpha / rank) B A x, with W frozen; implemented by peft."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

from pydantic import Field, field_validator

import mftkit
from mftkit import (
    JsonObject,  # pydantic reads the annotation at run time
    without_peft_noise,
)
from mftkit_plugins.tunings.fields import check_fields
from mftkit_plugins.tunings.targets import (
    AUTO,
    LoraTargets,
    automatic,
    check_targets,
    check_whole_modules,
)

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from peft import LoraConfig, PeftModel
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class LoraOptions(mftkit.Options):
    """Options of both tunings that train low-rank adapters."""

    rank: int = Field(default=64, ge=1)
    """Rank of the adapters."""
    alpha: int | float = Field(default=32, gt=0)
    """The output of an adapter is multiplied by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of an adapter's inputs that is dropped during training."""
    targets: str | list[str] = AUTO
    """Modules that get an adapter: "auto" (the model adapter's choice, which includes experts if dropout is 0), names
    or the ends of names, or a regular expression."""
    lora: JsonObject = Field(default_factory=dict)
    """Other fields of peft's LoraConfig, passed on: use_dora, use_rslora, modules_to_save, ..."""

    @field_validator("targets")
    @classmethod
    def _some(cls, targets: str | list[str]) -> str | list[str]:
        if not targets:
            raise ValueError('must name modules, or be "auto"')
        return targets

    @field_validator("lora")
    @classmethod
    def _known(cls, given: JsonObject) -> JsonObject:
        check_fields(given)
        return given


class Lora(mftkit.Tuning):
    """Trains low-rank adapters in float32 on a frozen base."""

    Options = LoraOptions
    options: LoraOptions
    saves_adapter = True
    freezes_base = True
    default_learning_rate = 2e-4

    def __init__(self, options: LoraOptions, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self._notes: list[str] = []

    def apply(self, model: PreTrainedModel, adapter: mftkit.ModelAdapter) -> nn.Module:
        """Return the model inside peft's, with adapters; raise MftError if peft cannot add them."""
        with without_peft_noise():
            return self._applied(model, adapter)

    def _applied(self, model: PreTrainedModel, adapter: mftkit.ModelAdapter) -> nn.Module:
        import torch
        from peft import get_peft_model

        given = self.options.targets
        targets = (
            automatic(adapter, model, self._can_adapt_parameters) if given == AUTO else LoraTargets(given)
        )
        check_targets(targets.modules, model)
        check_whole_modules(self.options.lora, model)
        try:
            with warnings.catch_warnings(record=True) as caught:  # a copy of a tied embedding, for one
                warnings.simplefilter("always", UserWarning)
                tuned = get_peft_model(model, self._config(targets))
        except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            cause = " ".join(str(error).split())[:400]
            raise mftkit.MftError(f"tuning: peft cannot add adapters to these targets: {cause}") from error
        self._notes = [*targets.notes, *_notes_of(caught)]
        for parameter in tuned.parameters():
            if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
                parameter.data = parameter.data.float()  # 16-bit numbers would lose small updates
        _leave_casts_to_autocast(tuned)
        return cast("nn.Module", tuned)

    @property
    def _can_adapt_parameters(self) -> bool:
        """Whether peft can adapt parameters outside of linear modules with these options."""
        other = ("use_dora", "lora_bias", "target_parameters", "fan_in_fan_out")
        return not self.options.dropout and not any(self.options.lora.get(key) for key in other)

    def _config(self, targets: LoraTargets) -> LoraConfig:
        from peft import LoraConfig

        options = self.options
        parameters = {"target_parameters": targets.parameters} if targets.parameters else {}
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=options.rank,
            lora_alpha=cast("int", options.alpha),  # declared int, but peft only multiplies by it
            lora_dropout=options.dropout,
            target_modules=targets.modules,
            **{**parameters, **options.lora},
        )

    def notes(self, model: nn.Module) -> list[str]:  # noqa: ARG002
        """Return notes on layers that "auto" does not adapt, and what peft warned of."""
        return self._notes

    def base_model(self, model: nn.Module) -> PreTrainedModel:
        """Return the model inside peft's, whose layers are the adapted ones."""
        return cast("PreTrainedModel", cast("PeftModel", model).get_base_model())

    def state_dict(self, model: nn.Module) -> dict[str, Tensor]:
        """Return what is trained: adapters, and copies of entire modules (``modules_to_save``)."""
        return {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}

    def load_state_dict(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Restore what is trained, in place."""
        import torch

        own = dict(model.named_parameters())
        with torch.no_grad():
            for name, tensor in state.items():
                own[name].copy_(tensor)

    def export(self, model: nn.Module, directory: Path, base: str | None) -> None:
        """Write the adapter in peft's own format, with the name of its base."""
        tuned = cast("PeftModel", model)
        tuned.peft_config[tuned.active_adapter].base_model_name_or_path = base
        # The base's embedding is never resized under an adapter, so it need not be saved.
        tuned.save_pretrained(str(directory), save_embedding_layers=False)


def _leave_casts_to_autocast(tuned: nn.Module) -> None:
    """Keep peft from casting each layer's input to the adapter's float32 under autocast, which casts it back.

    The products are the same, dropout reads and writes half as much, and two copies of each input are not made. peft
    itself does so for 4-bit layers.
    """
    from peft.tuners.lora import Linear

    for layer in tuned.modules():
        if type(layer) is Linear and not layer.lora_variant:
            vars(layer)["_cast_input_dtype"] = _cast


def _cast(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    import torch

    return inputs if torch.is_autocast_enabled(inputs.device.type) else inputs.to(dtype)


def _notes_of(caught: list[warnings.WarningMessage]) -> list[str]:
    """Return peft's warnings as notes for the plan, each once; deprecations are no concern of a user."""
    messages = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
    return list(dict.fromkeys(f"tuning: {message}" for message in messages))
