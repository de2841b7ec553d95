"""Merges whole models, file by file and tensor by tensor, in float32 or wider."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from mftkit.tools.merging.methods import wide
from mftkit.tools.merging.task_vectors import Merge
from mftkit.tools.merging.weight_files import WeightFiles, write_like

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from mftkit.tools.merging.options import MergeOptions


class WholeModels:
    """The task vectors of models on disk."""

    def __init__(self, start: WeightFiles, models: Sequence[WeightFiles]) -> None:
        self._start, self._models = start, models
        self.names = [name for name in models[0].names if models[0].tensor(name).is_floating_point()]
        self.count = len(models)

    def vector(self, name: str, model: int) -> Tensor:
        """A model's tensor minus that of the start."""
        return wide(self._models[model].tensor(name)) - wide(self._start.tensor(name))


def merge_whole(
    models: Sequence[Path], start: Path | None, options: MergeOptions, target: Path, seed: int
) -> None:
    """Write the weights of the merged model into ``target``, in the dtypes and files of the first model.

    Args:
        models: directories of models that have the same tensors.
        start: directory of the weights that all of them started from; None for their average.
        options: the method.
        target: an existing directory.
        seed: decides what dare drops.

    Raises MftError for models that do not fit together.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(WeightFiles(model)) for model in models]
        first, begun = opened[0], None if start is None else stack.enter_context(WeightFiles(start))
        for other in (*opened[1:], *([begun] if begun else [])):
            other.check_like(first)
        if begun is None:
            assert options.is_average, "other methods need the start"

            def merged(name: str) -> Tensor:
                if not first.tensor(name).is_floating_point():
                    return first.tensor(name)
                total = wide(first.tensor(name))
                for other in opened[1:]:
                    total = total + wide(other.tensor(name))
                return total / len(opened)
        else:
            vectors = WholeModels(begun, opened)
            merge, changing = Merge(vectors, options, seed), set(vectors.names)

            def merged(name: str) -> Tensor:
                if name not in changing:
                    return first.tensor(name)
                return wide(begun.tensor(name)) + merge.update(name)

        for file in sorted(models[0].glob("*.safetensors")):
            write_like(file, target / file.name, merged)
