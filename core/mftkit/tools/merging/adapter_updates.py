"""Merges low-rank adapters by the updates that they make, into a copy of their base."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from mftkit.base.quiet import without_peft_noise
from mftkit.models.generation_config import fix_generation_config
from mftkit.models.saving import unwrapped
from mftkit.models.vocabulary import guard_vocabulary
from mftkit.runs.reference_loading import open_reference
from mftkit.tools.merging.methods import wide
from mftkit.tools.merging.task_vectors import Merge
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from torch import Tensor
    from transformers import PreTrainedModel

    from mftkit.reporting.reporter import Reporter
    from mftkit.tools.merging.options import MergeOptions


class LowRankUpdates:
    """The updates s B A of several adapters on one base: the task vectors of its adapted weights."""

    def __init__(self, model: Any, adapters: Sequence[str]) -> None:
        """``model`` is peft's, with adapters of these names."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        self._adapters = adapters
        self.modules = {
            name: each for name, each in model.named_modules() if isinstance(each, BaseTunerLayer)
        }
        self.names, self.count = list(self.modules), len(adapters)

    def vector(self, name: str, model: int) -> Tensor:
        """The update that an adapter makes to the weight of a module."""
        module = cast("Any", self.modules[name])
        return wide(module.get_delta_weight(self._adapters[model]).detach())


def _check_not_tied(base: PreTrainedModel, updates: LowRankUpdates) -> None:
    """Raise MftError if an adapted weight is also another module's, which an update would change, too."""
    model = cast("Any", base)
    first, last = (
        getattr(end, "base_layer", end)
        for end in (model.get_input_embeddings(), model.get_output_embeddings())
    )
    if first is None or last is None or first.weight is not last.weight:
        return
    for name, module in updates.modules.items():
        if cast("Any", module).get_base_layer().weight is first.weight:
            raise MftError(
                f"the adapters change {name.rpartition('.')[2]}, whose weights the base shares between its embedding "
                "and its output layer, so they cannot be merged into it; merge by arithmetic, or leave this module out "
                "of the tuning's targets"
            )


def merge_updates(
    adapters: Sequence[Path], options: MergeOptions, target: Path, seed: int, reporter: Reporter
) -> None:
    """Write the base with the merged updates into ``target``, in the base's own dtype, with its tokenizer.

    The base is loaded once and changed weight by weight; the updates are made one at a time.

    Args:
        adapters: directories of adapters that are products, of the same base.
        options: the method.
        target: an existing directory.
        seed: decides what dare drops.
        reporter: receives notes on the base.

    Raises MftError if the base cannot be loaded, or is quantized.
    """
    source = open_reference(adapters[0], reporter)
    if source.request.config.get("quantization_config"):
        raise MftError(
            f"{adapters[0]}: the base {source.request.path} is itself quantized, so it cannot be merged"
        )
    tokenizer = source.tokenizer()
    base = source.load_base(tokenizer)
    if tokenizer is not None:
        guard_vocabulary(tokenizer, base)
    tuned = cast("Any", source.attach(base))
    names = [str(tuned.active_adapter)]
    with without_peft_noise(), torch.no_grad():
        for number, adapter in enumerate(adapters[1:], 2):
            names.append(f"model{number}")
            tuned.load_adapter(str(adapter), adapter_name=names[-1])
        updates = LowRankUpdates(tuned, names)
        _check_not_tied(base, updates)
        merge = Merge(updates, options, seed)
        for name, module in updates.modules.items():
            weight = cast("Any", module).get_base_layer().weight
            weight.copy_(wide(weight) + merge.update(name))
        merged: PreTrainedModel = tuned.unload()
    if contradiction := fix_generation_config(merged):
        reporter.warn(contradiction)
    with unwrapped():
        merged.save_pretrained(target)
    if tokenizer is not None:
        tokenizer.save_pretrained(target)
