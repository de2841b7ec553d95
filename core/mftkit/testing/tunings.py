"""Checks of every tuning."""

from __future__ import annotations

import math
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from mftkit.models.eval_contexts import stop_training
from mftkit.testing.assertions import require
from mftkit.testing.balancers import saved
from mftkit.testing.conformance import Conformance
from mftkit.testing.tiny import AnyAdapter, config_for, from_disk, from_random, inputs, logits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from mftkit.interfaces.model import ModelAdapter


class TuningConformance(Conformance):
    """Checks of ``mftkit.Tuning`` on a checkpoint of a tiny model."""

    config: ClassVar[Mapping[str, Any] | None] = None
    """The tiny model's config.json; None: one is made for a family of transformers."""
    adapter: ClassVar[type[ModelAdapter]] = AnyAdapter

    @contextmanager
    def checkpoint(self) -> Iterator[Path]:
        """Provide a directory with the model to tune."""
        adapter = self.adapter(self.adapter.Options())
        config = config_for(adapter) if self.config is None else dict(self.config)
        with tempfile.TemporaryDirectory() as directory:
            base = Path(directory) / "base"
            from_random(adapter, config).save_pretrained(base)
            yield base

    def tuned(self, base: Path) -> tuple[Any, nn.Module]:
        """Return a new tuning and the checkpoint's model with it applied, with a fixed seed."""
        tuning, adapter = self.make(), self.adapter(self.adapter.Options())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = from_disk(adapter, base, load_options=tuning.load_options(torch.float32))
            return tuning, stop_training(tuning.apply(model, adapter))

    def test_default_learning_rate(self) -> None:
        """``default_learning_rate`` is a number above 0."""
        rate = self.make().default_learning_rate
        valid = isinstance(rate, int | float) and 0 < rate < math.inf
        require(valid, f"default_learning_rate must be a number above 0, not {rate!r}")

    def test_some_parameters_train(self) -> None:
        """Gradients reach trainable parameters only, and training steps change the logits."""
        with self.checkpoint() as base:
            tuning, model = self.tuned(base)
            trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
            require(bool(trained), "no parameter has requires_grad: apply must set it")
            before = logits(tuning.base_model(model))
            _train(tuning, model)
            reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
            require(bool(reached), "no gradient reaches a trainable parameter")
            require(
                reached <= trained, f"a gradient reaches frozen parameters: {sorted(reached - trained)[:3]}"
            )
            moved = not torch.equal(logits(tuning.base_model(model)), before)
            require(moved, "training steps do not change the logits of base_model")

    def test_base_model(self) -> None:
        """``base_model`` returns the transformers model with the tuned parts in it."""
        from transformers import PreTrainedModel

        with self.checkpoint() as base:
            tuning, model = self.tuned(base)
            found = tuning.base_model(model)
            require(
                isinstance(found, PreTrainedModel),
                f"base_model returns a {type(found).__name__}, not a PreTrainedModel",
            )
            require(bool(torch.isfinite(logits(found)).all()), "the logits of base_model are not finite")

    def test_state_round_trip(self) -> None:
        """Loading ``state_dict`` from a checkpoint turns a new model into the trained one."""
        with self.checkpoint() as base:
            tuning, model = self.tuned(base)
            _train(tuning, model)
            state = tuning.state_dict(model)
            odd = [name for name, tensor in state.items() if not isinstance(tensor, torch.Tensor)]
            require(not odd, f"state_dict holds values that are not tensors: {', '.join(odd[:3])}")
            other, fresh = self.tuned(base)
            other.load_state_dict(fresh, saved(state))
            off = _off(logits(other.base_model(fresh)), logits(tuning.base_model(model)))
            require(off == 0, f"logits differ by {off:.3g} after state_dict and load_state_dict")

    def test_export_loads(self) -> None:
        """The output of ``export`` is loaded by transformers (with peft for an adapter) and gives the same logits."""
        from transformers import AutoModelForCausalLM

        with self.checkpoint() as base:
            tuning, model = self.tuned(base)
            _train(tuning, model)
            directory = base.parent / "export"
            directory.mkdir()
            tuning.export(model, directory, str(base))
            options = {
                "dtype": torch.float32,
                **(tuning.load_options(torch.float32) if tuning.saves_adapter else {}),
            }
            loaded = AutoModelForCausalLM.from_pretrained(directory, **options)
            off = _off(logits(stop_training(loaded)), logits(tuning.base_model(model)))
            require(off <= 1e-4, f"logits of the exported model differ by {off:.3g}")
            adapter = (directory / "adapter_config.json").exists()
            written = "an adapter" if adapter else "a whole model"
            require(
                adapter == tuning.saves_adapter,
                f"saves_adapter is {tuning.saves_adapter}, but export writes {written}",
            )


def _train(tuning: Any, model: nn.Module, steps: int = 2) -> None:
    """Train; two steps by default, since the first step of a low-rank tuning changes only one of its factors."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        found = tuning.base_model(model)(input_ids=inputs(), use_cache=False).logits
        found[0, :-1].float().log_softmax(-1).gather(1, inputs()[0, 1:, None]).mean().neg().backward()
        optimizer.step()


def _off(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())
