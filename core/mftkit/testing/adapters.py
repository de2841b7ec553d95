"""Checks of every model adapter."""

from __future__ import annotations

import copy
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mftkit.batches.collate import idle_batch
from mftkit.models.config import read_config
from mftkit.models.model_checks import check_head, check_isolation
from mftkit.models.native import attention_of
from mftkit.testing.adapter_training import check_chunked_head, check_router, check_rows, check_tunings, quiet
from mftkit.testing.assertions import advise, require
from mftkit.testing.conformance import Conformance
from mftkit.testing.tiny import config_for, from_disk, from_random, inputs, logits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor
    from transformers import PreTrainedModel

    from mftkit.interfaces.component import TaskInfo


EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""Keys of configs that say how many experts there are."""
NEAR = 1e-4
"""Largest difference of a logit in float32."""


class ModelAdapterConformance(Conformance):
    """Checks of ``mftkit.ModelAdapter``, on a tiny model of its family."""

    config: ClassVar[Mapping[str, Any] | None] = None
    """A tiny model's config.json, for a random start; None: of the first of ``families``, or one is made of a family
    of transformers that the adapter matches."""
    checkpoint: ClassVar[Path | None] = None
    """A tiny checkpoint to load in place of a random start: for a family whose checkpoints are converted."""
    attentions: ClassVar[tuple[str, ...] | None] = None
    """The attentions to try; None: all of the adapter's ``isolating_attentions`` that a CPU has."""
    router_loss: ClassVar[bool | None] = None
    """Whether there must be a router's loss; None: where there are experts and none, a warning tells."""
    tunings: ClassVar[Mapping[str, Mapping[str, Any]] | None] = None
    """Name and options of the tunings to try; None: all that are installed."""
    modes: ClassVar[Mapping[str, Mapping[str, Any]] | None] = None
    """Name and options of the tokenization modes to try; None: all that are installed."""
    plain_result: ClassVar[bool] = True
    """Whether transformers alone gives a saved model's logits: not where it lacks the architecture."""
    tasks: ClassVar[tuple[TaskInfo, ...]] = ()

    def family(self) -> dict[str, Any]:
        """The config that the adapter is tried on."""
        if self.checkpoint is not None:
            return read_config(str(self.checkpoint))
        adapter = self.make()
        if self.config is None:
            own = [dict(row.config) for row in adapter.families if adapter.matches(dict(row.config))]
            return own[0] if own else config_for(adapter)
        return dict(self.config)

    def model(self, **request: Any) -> PreTrainedModel:
        """A tiny model: the checkpoint's, or from a random start."""
        with quiet():
            if self.checkpoint is not None:
                return from_disk(self.make(), self.checkpoint, **request)
            return from_random(self.make(), self.family(), **request)

    @contextmanager
    def saved(self) -> Iterator[Path]:
        """A directory with the tiny model in it, as transformers saves it."""
        with tempfile.TemporaryDirectory() as directory:
            base = Path(directory) / "base"
            model = self.model()
            with quiet():
                model.save_pretrained(base)
            yield base

    def reference(self, base: Path) -> tuple[Tensor, Tensor]:
        """Token ids [1, n] and the logits [1, n, vocabulary] that they ought to give, by something independent.

        The class in transformers, loaded from ``saved``; where transformers lacks the architecture, the adapter
        itself. A converted family's suite may give the original's here.
        """
        from transformers import AutoModelForCausalLM

        if not self.plain_result:
            with quiet():
                return inputs(), logits(from_disk(self.make(), base))
        with quiet():
            plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        plain.train(False)
        return inputs(), logits(plain)

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

    def test_logits(self) -> None:
        """Its logits are those of the reference: of the class in transformers, or of the family's original."""
        model = self.model()
        with self.saved() as base, torch.no_grad():
            ids, expected = self.reference(base)
            off = float((model(input_ids=ids).logits.float() - expected).abs().max())
        require(off <= NEAR, f"logits differ by {off:.3g} from those of the reference")

    def test_round_trip_through_a_checkpoint(self) -> None:
        """Saved, and loaded from the directory, it gives the same logits."""
        model = self.model()
        with self.saved() as base, quiet():
            off = float((logits(from_disk(self.make(), base)) - logits(model)).abs().max())
        require(off <= 1e-5, f"logits differ by {off:.3g} after saving and loading")

    def test_head(self) -> None:
        """Hidden states and head give the model's own logits."""
        check_head(self.make(), self.model())

    def test_head_in_chunks(self) -> None:
        """Loss and gradients, the head applied in chunks, are those of the full logits."""
        check_chunked_head(self.make(), self.model())

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
        """Packed samples do not see each other, with each attention that can be had here, in each mode."""
        for attention in self.attentions or self.make().isolating_attentions:
            if _can_be_had(attention):
                model = self.model(attention=attention)
                used = attention_of(model)
                require(used == attention, f"attention {attention} asked for, {used} loaded")
                check_isolation(self.make(), model)
                check_rows(self.make(), model, self.modes)

    def test_router_loss(self) -> None:
        """A mixture of experts gives its router's loss, of real tokens alone, which reaches the routers."""
        adapter, model = self.make(), self.model()
        config = model.config.get_text_config()
        experts = max((getattr(config, key, None) or 0) for key in EXPERTS)
        given = adapter.auxiliary_loss(adapter.outputs(model, idle_batch(0)))
        if given is not None or self.router_loss:
            require(self.router_loss is not False, "a router's loss is given, where there ought to be none")
            check_router(adapter, model)
        elif experts and self.router_loss is None:
            advise(f"the config has {experts} experts, and auxiliary_loss gives None: nothing balances them")

    def test_it_trains_with_every_tuning_in_every_mode(self) -> None:
        """A few steps lower the loss; what is saved loads in transformers and peft alone; merged, it is the same."""
        with self.saved() as base:
            check_tunings(self.make(), base, self.tunings, self.modes, self.plain_result)

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
