"""What every tuning must do."""

from __future__ import annotations

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
    """The promises of ``mftkit.Tuning``, tried on a checkpoint of a tiny model."""

    config: ClassVar[Mapping[str, Any] | None] = None
    """The tiny model's config.json; None: one is made of a family of transformers."""
    adapter: ClassVar[type[ModelAdapter]] = AnyAdapter

    @contextmanager
    def checkpoint(self) -> Iterator[Path]:
        """A directory with the model that is tuned."""
        adapter = self.adapter(self.adapter.Options())
        config = config_for(adapter) if self.config is None else dict(self.config)
        with tempfile.TemporaryDirectory() as directory:
            base = Path(directory) / "base"
            from_random(adapter, config).save_pretrained(base)
            yield base

    def tuned(self, base: Path) -> tuple[Any, nn.Module]:
        """A fresh tuning, and what it makes of the checkpoint's model: always the same."""
        tuning, adapter = self.make(), self.adapter(self.adapter.Options())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = from_disk(adapter, base, load_options=tuning.load_options(torch.float32))
            return tuning, stop_training(tuning.apply(model, adapter))

    def test_some_parameters_train(self) -> None:
        """A gradient reaches parameters that are to be trained, and no other; a step changes the logits."""
        with self.checkpoint() as base:
            tuning, model = self.tuned(base)
            trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
            require(bool(trained), "no parameter is to be trained: apply sets requires_grad")
            before = logits(tuning.base_model(model))
            _train(tuning, model)
            reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
            require(bool(reached), "no gradient reaches a parameter that is to be trained")
            require(reached <= trained, f"a gradient reaches frozen {sorted(reached - trained)[:3]}")
            moved = not torch.equal(logits(tuning.base_model(model)), before)
            require(moved, "training steps do not change what base_model gives")

    def test_base_model(self) -> None:
        """``base_model`` gives the transformers model, the tuned parts in place."""
        from transformers import PreTrainedModel

        with self.checkpoint() as base:
            tuning, model = self.tuned(base)
            found = tuning.base_model(model)
            require(isinstance(found, PreTrainedModel), f"base_model gives a {type(found).__name__}")
            require(bool(torch.isfinite(logits(found)).all()), "its logits are not finite")

    def test_state_round_trip(self) -> None:
        """What ``state_dict`` gives, through a checkpoint, makes a fresh model the trained one."""
        with self.checkpoint() as base:
            tuning, model = self.tuned(base)
            _train(tuning, model)
            state = tuning.state_dict(model)
            odd = [name for name, tensor in state.items() if not isinstance(tensor, torch.Tensor)]
            require(not odd, f"state_dict: {', '.join(odd[:3])} of no tensor")
            other, fresh = self.tuned(base)
            other.load_state_dict(fresh, saved(state))
            off = _off(logits(other.base_model(fresh)), logits(tuning.base_model(model)))
            require(off == 0, f"logits differ by {off:.3g} after state_dict and load_state_dict")

    def test_export_loads(self) -> None:
        """What ``export`` writes is loaded by transformers (an adapter with peft), and gives the same logits."""
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
            require(off <= 1e-4, f"what was exported gives logits that differ by {off:.3g}")
            adapter = (directory / "adapter_config.json").exists()
            written = "an adapter" if adapter else "a whole model"
            require(adapter == tuning.saves_adapter, f"saves_adapter is wrong: export writes {written}")


def _train(tuning: Any, model: nn.Module, steps: int = 2) -> None:
    """Two steps, since a low-rank tuning's first changes one of its factors alone."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        found = tuning.base_model(model)(input_ids=inputs(), use_cache=False).logits
        found[0, :-1].float().log_softmax(-1).gather(1, inputs()[0, 1:, None]).mean().neg().backward()
        optimizer.step()


def _off(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())
