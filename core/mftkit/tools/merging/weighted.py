"""A model in memory whose weights become weighted sums of those of several models, again and again.

With weights w of models m_1 ... m_n, a whole model becomes sum of w_i m_i, and a low-rank adapter the one whose update
is sum of w_i s_i B_i A_i. Nothing is written, and the next weights start from the models again, so no rounding adds up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

from mftkit.runs.reference_loading import load_reference
from mftkit.tools.merging.adapter_sums import blocks, in_memory
from mftkit.tools.merging.methods import wide
from mftkit.tools.merging.weight_files import WeightFiles
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from torch import Tensor, nn

    from mftkit.reporting.reporter import Reporter


class Tensors(Protocol):
    """The tensors of a model by the names that they have in memory."""

    def tensor(self, name: str) -> Tensor:
        """A tensor in its own dtype."""


class WeightedModel(Protocol):
    """A model in memory that can be given weights of the models that it is merged of."""

    def use(self, weights: Sequence[float]) -> None:
        """Make it the sum of the models times ``weights``."""


class WeightedWhole:
    """A whole model. The models' tensors are read one at a time, and summed in float32 or wider on its own device."""

    def __init__(
        self, module: nn.Module, models: Sequence[Path], stack: ExitStack, reporter: Reporter
    ) -> None:
        """``stack`` closes the files. Raises MftError for models that do not have the tensors of ``module``."""
        opened = [stack.enter_context(WeightFiles(model)) for model in models]
        for other in opened[1:]:
            other.check_like(opened[0])
        groups = _floating(module)
        named = _names(groups, set(opened[0].names))
        self._models: list[Tensors]
        if (
            named is None
        ):  # names in files are others than in memory, as for fused experts: loading translates them
            self._models = [_Loaded(model, reporter) for model in models]
            named = [names[0] for names in groups]
        else:
            self._models = list(opened)
        state = module.state_dict()
        self._targets = {name: state[names[0]] for name, names in zip(named, groups, strict=True)}

    def use(self, weights: Sequence[float]) -> None:
        """Make it the sum of the models times ``weights``."""
        with torch.no_grad():
            for name, target in self._targets.items():
                total: Tensor | None = None
                for weight, model in zip(weights, self._models, strict=True):
                    if weight:
                        part = wide(model.tensor(name).to(target.device)) * weight
                        total = part if total is None else total.add_(part)
                assert total is not None, "some weight is not 0"
                target.copy_(total)


class WeightedAdapter:
    """An adapter that has the matrices of several below and beside each other: weights scale the rows of its A."""

    def __init__(self, model: nn.Module, adapters: Sequence[Path]) -> None:
        """``model`` is peft's, with the adapter that ``concatenate`` made of ``adapters`` with weight 1."""
        active = str(cast("Any", model).active_adapter)
        parameters = dict(model.named_parameters())
        self._parts: list[tuple[Tensor, Tensor, list[int]]] = []
        for name, ranks in blocks(adapters).items():
            parameter = parameters[in_memory(name, active)]
            self._parts.append((parameter, parameter.detach().clone(), ranks))

    def use(self, weights: Sequence[float]) -> None:
        """Make its update the sum of the adapters' updates times ``weights``."""
        with torch.no_grad():
            for parameter, unweighted, ranks in self._parts:
                by_row = torch.tensor(list(weights), dtype=torch.float64).repeat_interleave(
                    torch.tensor(ranks)
                )
                parameter.copy_(wide(unweighted) * by_row.to(unweighted.device, torch.float32)[:, None])


class _Loaded:
    """The tensors of a model that was loaded into memory."""

    def __init__(self, path: Path, reporter: Reporter) -> None:
        self._path = path
        self._state: Mapping[str, Tensor] = load_reference(path, reporter).model.state_dict()

    def tensor(self, name: str) -> Tensor:
        """A tensor in its own dtype."""
        if name not in self._state:
            raise MftError(f"{self._path} has no tensor {name}, so it cannot be merged with the others")
        return self._state[name]


def _floating(module: nn.Module) -> list[list[str]]:
    """The names of the module's floating-point tensors; names of one tensor, such as of tied weights, together."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            groups.setdefault((tensor.data_ptr(), tensor.shape, tensor.device), []).append(name)
    return list(groups.values())


def _names(groups: Sequence[Sequence[str]], in_files: set[str]) -> list[str] | None:
    """The name of each tensor in the files; None if one of them has none."""
    found = [next((name for name in names if name in in_files), None) for names in groups]
    known = [name for name in found if name is not None]
    return known if len(known) == len(found) else None
