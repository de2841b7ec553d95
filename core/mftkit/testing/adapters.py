"""Checks of every model adapter."""

from __future__ import annotations

import copy
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mftkit.batches.collate import idle_batch
from mftkit.interfaces.model import VARLEN
from mftkit.models.config import read_config
from mftkit.models.model_checks import check_head, check_isolation, isolation_problem
from mftkit.models.native import attention_of
from mftkit.models.varlen_trial import use_varlen
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
"""Config keys that hold the number of experts."""
NEAR = 1e-4
"""Largest difference allowed between two float32 logits."""


class ModelAdapterConformance(Conformance):
    """Checks of ``mftkit.ModelAdapter``, on a tiny model of its family."""

    config: ClassVar[Mapping[str, Any] | None] = None
    """A tiny model's config.json, to initialize randomly. None: the config of the first of ``families``, or one made
    for a family of transformers that the adapter matches."""
    checkpoint: ClassVar[Path | None] = None
    """A tiny checkpoint to load instead of a random initialization: for a family whose checkpoints are converted."""
    attentions: ClassVar[tuple[str, ...] | None] = None
    """The attentions to check; None: all of the adapter's ``isolating_attentions`` that run on a CPU.
    (): the family does not keep packed samples apart, which is checked."""
    router_loss: ClassVar[bool | None] = None
    """Whether there must be a router loss; None: a model with experts but without router loss causes a warning."""
    tunings: ClassVar[Mapping[str, Mapping[str, Any]] | None] = None
    """Names and options of the tunings to check; None: all installed tunings."""
    modes: ClassVar[Mapping[str, Mapping[str, Any]] | None] = None
    """Names and options of the tokenization modes to check; None: all installed modes."""
    plain_result: ClassVar[bool] = True
    """Whether transformers alone can load a saved model; False if it lacks the architecture."""
    tasks: ClassVar[tuple[TaskInfo, ...]] = ()

    def family(self) -> dict[str, Any]:
        """Return the config that the adapter is checked on."""
        if self.checkpoint is not None:
            return read_config(str(self.checkpoint))
        adapter = self.make()
        if self.config is None:
            own = [dict(row.config) for row in adapter.families if adapter.matches(dict(row.config))]
            return own[0] if own else config_for(adapter)
        return dict(self.config)

    def model(self, **request: Any) -> PreTrainedModel:
        """Return a tiny model, from the checkpoint or randomly initialized."""
        with quiet():
            if self.checkpoint is not None:
                return from_disk(self.make(), self.checkpoint, **request)
            return from_random(self.make(), self.family(), **request)

    @contextmanager
    def saved(self) -> Iterator[Path]:
        """Provide a directory with the tiny model, as transformers saves it."""
        with tempfile.TemporaryDirectory() as directory:
            base = Path(directory) / "base"
            model = self.model()
            with quiet():
                model.save_pretrained(base)
            yield base

    def reference(self, base: Path) -> tuple[Tensor, Tensor]:
        """Return token ids [1, n] and their expected logits [1, n, vocabulary], computed independently.

        They come from the class in transformers, loaded from ``saved``, or from the adapter itself if transformers
        lacks the architecture. The suite of a converted family may return the logits of the original model here.
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
        """``matches`` returns 1, 2 or 3 for its family, and 0 for an unknown family."""
        adapter, config = self.make(), self.family()
        kept = copy.deepcopy(config)
        rank = adapter.matches(config)
        require(
            rank in (1, 2, 3),
            f"matches returns {rank!r} for {config}; it must return 1 (fallback), 2 (family) or 3 (exact)",
        )
        require(config == kept, "matches modifies the config")
        for other in ({}, {"model_type": "no-such-family"}, {"model_type": None}):
            require(
                adapter.matches(other) == 0, f"matches returns {adapter.matches(other)!r} for {other}, not 0"
            )

    def test_loads_in_the_dtype_asked(self) -> None:
        """``load`` returns the weights in ``request.dtype``, and no tokenizer if there is none."""
        for dtype in (torch.float32, torch.bfloat16):
            model = self.model(dtype=dtype)
            found = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
            require(found == {dtype}, f"weights have dtype {found}, expected {dtype}")

    def test_logits(self) -> None:
        """Its logits equal the reference: the class in transformers, or the original model of the family."""
        model = self.model()
        with self.saved() as base, torch.no_grad():
            ids, expected = self.reference(base)
            off = float((model(input_ids=ids).logits.float() - expected).abs().max())
        require(off <= NEAR, f"logits differ by {off:.3g} from those of the reference")

    def test_round_trip_through_a_checkpoint(self) -> None:
        """A model that is saved and loaded again gives the same logits."""
        model = self.model()
        with self.saved() as base, quiet():
            off = float((logits(from_disk(self.make(), base)) - logits(model)).abs().max())
        require(off <= 1e-5, f"logits differ by {off:.3g} after saving and loading")

    def test_head(self) -> None:
        """Hidden states and head together give the model's own logits."""
        check_head(self.make(), self.model())

    def test_head_in_chunks(self) -> None:
        """With the head applied in chunks, loss and gradients equal those of the full logits."""
        check_chunked_head(self.make(), self.model())

    def test_outputs(self) -> None:
        """``last_hidden_state`` is [B, S, H] with a gradient, H as in the head; auxiliary loss: None or a scalar."""
        adapter, model = self.make(), self.model()
        batch = idle_batch(0)
        outputs = adapter.outputs(model, batch)
        shape, width = tuple(outputs.last_hidden_state.shape), adapter.head(model).weight.shape[1]
        require(
            shape == (*batch.input_ids.shape, width),
            f"last_hidden_state has shape {shape}, but H of the head is {width}",
        )
        require(outputs.last_hidden_state.requires_grad, "no gradient reaches the hidden states")
        extra = adapter.auxiliary_loss(outputs)
        require(extra is None or extra.ndim == 0, "auxiliary_loss must return None or a scalar")

    def test_isolation(self) -> None:
        """Packed samples do not attend to each other, with each attention available here, in each mode."""
        if self.attentions == ():
            model = self.model()
            require(
                bool(isolation_problem(self.make(), model)),
                "attentions = () states that packed samples see each other, but they do not",
            )
            check_rows(self.make(), model, self.modes, packed=False)
        given = self.make().isolating_attentions if self.attentions is None else self.attentions
        for attention in given:
            if _is_available(attention):
                model = self.model(attention=attention)
                used = attention_of(model)
                require(used == attention, f"attention {attention} was requested, but {used} was loaded")
                check_isolation(self.make(), model)
                check_rows(self.make(), model, self.modes)

    def test_isolation_without_masks(self) -> None:
        """The same under "varlen", which a run uses where a model computes the same under it."""
        adapter, model = self.make(), self.model()
        if use_varlen(adapter, model, 0) == "":
            check_isolation(adapter, model)
            check_rows(adapter, model, self.modes)

    def test_router_loss(self) -> None:
        """A mixture of experts returns a router loss that ignores padding and whose gradient reaches the routers."""
        adapter, model = self.make(), self.model()
        config = model.config.get_text_config()
        experts = max((getattr(config, key, None) or 0) for key in EXPERTS)
        given = adapter.auxiliary_loss(adapter.outputs(model, idle_batch(0)))
        if given is not None or self.router_loss:
            require(
                self.router_loss is not False,
                "auxiliary_loss returns a router loss, but router_loss = False states that there is none",
            )
            check_router(adapter, model)
        elif experts and self.router_loss is None:
            advise(
                f"the config has {experts} experts, but auxiliary_loss returns None: nothing balances them"
            )

    def test_it_trains_with_every_tuning_in_every_mode(self) -> None:
        """A few steps lower the loss; transformers and peft alone load the result; merging it changes nothing."""
        with self.saved() as base:
            check_tunings(self.make(), base, self.tunings, self.modes, self.plain_result)

    def test_lora_targets(self) -> None:
        """``lora_targets`` names linear modules that exist in the model, so that a low-rank tuning finds them."""
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
            require(not odd, f"lora_targets: {target} is not a linear module but {', '.join(sorted(odd))}")

    def test_it_can_be_trained(self) -> None:
        """The gradient of scored tokens reaches the decoder's weights."""
        adapter, model = self.make(), self.model()
        batch = idle_batch(0)
        ids = inputs()
        given = type(batch)(**{**vars(batch), "input_ids": ids})
        adapter.hidden_states(model, given).square().sum().backward()
        reached = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
        require(len(reached) > 1, f"a gradient reaches only {', '.join(reached) or 'no parameter'}")


def _is_available(attention: str) -> bool:
    """Return True if a model can be loaded with the attention on a CPU. Flash attention needs a GPU."""
    return attention != VARLEN and not attention.startswith("flash")
