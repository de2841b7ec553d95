"""What every model adapter must do."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mftkit.models.native import attention_of
from mftkit.models.probes import check_head, check_isolation
from mftkit.testing.conformance import Conformance
from mftkit.testing.expectations import require
from mftkit.testing.tiny import config_for, from_disk, from_random, inputs, logits
from mftkit.training.collate import idle_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from mftkit.interfaces.component import TaskInfo


class ModelAdapterConformance(Conformance):
    """The promises of ``mftkit.ModelAdapter``, tried on a tiny model of its family from a random start."""

    config: ClassVar[Mapping[str, Any] | None] = None
    """A tiny model's config.json; None: one is made of a family of transformers that the adapter matches."""
    tasks: ClassVar[tuple[TaskInfo, ...]] = ()

    def family(self) -> dict[str, Any]:
        """The config that the adapter is tried on."""
        return config_for(self.make()) if self.config is None else dict(self.config)

    def model(self, **request: Any) -> PreTrainedModel:
        """A tiny model, from a random start."""
        return from_random(self.make(), self.family(), **request)

    def test_matches(self) -> None:
        """It matches its family by 1, 2 or 3, and no family that nobody knows."""
        adapter, config = self.make(), self.family()
        kept = copy.deepcopy(config)
        rank = adapter.matches(config)
        require(rank in (1, 2, 3), f"matches gives {rank!r} for {config}: 1 fallback, 2 family, 3 exact")
        require(config == kept, "matches changes the config")
        for other in ({}, {"model_type": "no-such-family"}, {"model_type": None}):
            require(
                adapter.matches(other) == 0, f"matches gives {adapter.matches(other)!r} for {other}, not 0"
            )

    def test_loads_in_the_dtype_asked(self) -> None:
        """``load`` gives the weights in ``request.dtype``, and no tokenizer where there is none."""
        for dtype in (torch.float32, torch.bfloat16):
            model = self.model(dtype=dtype)
            found = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
            require(found == {dtype}, f"weights in {found}, where {dtype} is asked for")

    def test_round_trip_through_a_checkpoint(self) -> None:
        """Saved, and loaded from the directory, it gives the same logits."""
        model = self.model()
        with tempfile.TemporaryDirectory() as directory:
            model.save_pretrained(directory)
            loaded = from_disk(self.make(), Path(directory))
            off = float((logits(loaded) - logits(model)).abs().max())
        require(off <= 1e-5, f"logits differ by {off:.3g} after saving and loading")

    def test_head(self) -> None:
        """Hidden states and head give the model's own logits."""
        check_head(self.make(), self.model())

    def test_outputs(self) -> None:
        """``last_hidden_state`` is [B, S, H] with a gradient, H as the head's; no auxiliary loss, or a scalar."""
        adapter, model = self.make(), self.model()
        batch = idle_batch(0)
        outputs = adapter.outputs(model, batch)
        shape, width = tuple(outputs.last_hidden_state.shape), adapter.head(model).weight.shape[1]
        require(
            shape == (*batch.input_ids.shape, width), f"last_hidden_state: {shape}, H of the head: {width}"
        )
        require(outputs.last_hidden_state.requires_grad, "no gradient reaches the hidden states")
        extra = adapter.auxiliary_loss(outputs)
        require(extra is None or extra.ndim == 0, "auxiliary_loss gives None or a scalar")

    def test_isolation(self) -> None:
        """Packed samples do not see each other, with each of ``isolating_attentions`` that can be had here."""
        for attention in self.make().isolating_attentions:
            if _can_be_had(attention):
                model = self.model(attention=attention)
                used = attention_of(model)
                require(used == attention, f"attention {attention} asked for, {used} loaded")
                check_isolation(self.make(), model)

    def test_lora_targets(self) -> None:
        """``lora_targets`` names linear modules that are there, so that a low-rank tuning finds them."""
        model = self.model()
        targets = self.make().lora_targets(model)
        require(bool(targets), "lora_targets is empty")
        for target in targets:
            named = [
                module
                for name, module in model.named_modules()
                if name == target or name.endswith(f".{target}")
            ]
            require(bool(named), f"lora_targets: no module is named {target}")
            odd = {type(module).__name__ for module in named if getattr(module, "weight", None) is None}
            require(not odd, f"lora_targets: {target} is no linear module but {', '.join(sorted(odd))}")

    def test_it_can_be_trained(self) -> None:
        """A gradient of the scored tokens reaches the decoder's weights."""
        adapter, model = self.make(), self.model()
        batch = idle_batch(0)
        ids = inputs()
        given = type(batch)(**{**vars(batch), "input_ids": ids})
        adapter.hidden_states(model, given).square().sum().backward()
        reached = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
        require(len(reached) > 1, f"a gradient reaches {', '.join(reached) or 'no parameter'}")


def _can_be_had(attention: str) -> bool:
    """Flash attention needs a graphics processor, and its own package: it is not tried here."""
    return not attention.startswith("flash")
