"""Merges the results of several runs into one directory that can be loaded like any other."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory, write_json
from mftkit.base.json_files import read_json_object
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.models.result import find_result
from mftkit.runs.base_checkpoint import base_fingerprint
from mftkit.tools.merging.adapter_sums import check_products, concatenate
from mftkit.tools.merging.adapter_updates import merge_updates
from mftkit.tools.merging.options import MergeMethod
from mftkit.tools.merging.whole_models import merge_whole
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.models.result import Result
    from mftkit.reporting.reporter import Reporter
    from mftkit.tools.merging.options import MergeOptions

FILE = "merge.json"
_NOT_COPIED = {"README.md", FILE, ADAPTER_CONFIG}


@dataclass(frozen=True)
class ToMerge:
    """Models of one start, and how they are merged."""

    models: Sequence[Path]
    """Runs that have a result, or directories of models or adapters."""
    options: MergeOptions
    seed: int
    """Decides what dare drops."""

    def identity(self, output: Path) -> JsonObject:
        """What the result in ``output`` depends on: the method, and the weights by their checksums."""
        places = [find_result(model).path for model in self.models]
        return {
            **self.options.to_json(),
            "seed": self.seed if self.options.method is MergeMethod.DARE else None,
            "models": [
                {"path": os.path.relpath(place, output), "files": base_fingerprint(place)} for place in places
            ],
        }


def merge_models(
    given: ToMerge, output: Path, reporter: Reporter, write_start: Callable[[Path], None] | None = None
) -> bool:
    """Write the merged model into ``output``; False if it is there already, merged of the same.

    Low-rank adapters whose sum is taken become one adapter, whose update is exactly that sum; by other methods they are
    merged into a copy of their base.

    Args:
        given: what is merged.
        output: the directory, written beside and renamed.
        reporter: receives notes and warnings.
        write_start: writes the weights that whole models started from into a directory; they are not needed for an
            average.

    Raises MftError for models that cannot be merged.
    """
    identity = given.identity(output)
    if (output / FILE).is_file() and read_json_object(output / FILE) == identity:
        return False
    results = [find_result(model) for model in given.models]
    if any((one.config is None) != (results[0].config is None) for one in results):
        raise MftError(f"{results[0].path}: whole models and adapters cannot be merged with each other")
    with new_directory(output) as partial:
        if results[0].config is None:
            _merge_whole(given, results, partial, write_start)
        else:
            _merge_adapters(given, results, partial, reporter)
        write_json(partial / FILE, identity)
    return True


def _merge_whole(
    given: ToMerge,
    results: Sequence[Result],
    partial: Path,
    write_start: Callable[[Path], None] | None,
) -> None:
    _copy_beside(results[0].path, partial)
    start = None
    if not given.options.is_average:
        if write_start is None:
            raise MftError("merge: this method needs the weights that the models started from")
        start = partial / "start"
        start.mkdir()
        write_start(start)
    merge_whole([one.path for one in results], start, given.options, partial, given.seed)
    if start is not None:
        shutil.rmtree(start)


def _merge_adapters(given: ToMerge, results: Sequence[Result], partial: Path, reporter: Reporter) -> None:
    for one in results:
        check_products(one.path)
    _check_same_base(results)
    places = [one.path for one in results]
    if given.options.method is MergeMethod.ARITHMETIC:
        _copy_beside(places[0], partial)
        concatenate(places, given.options.factor(len(places)), results[0].base, partial)
    else:
        merge_updates(places, given.options, partial, given.seed, reporter)


def _check_same_base(results: Sequence[Result]) -> None:
    """Raise MftError for adapters of different bases."""
    first = results[0].base
    for one in results[1:]:
        if one.base != first and _weights(one.base) != _weights(first):
            raise MftError(
                f"{one.path}: its base {one.base} has other weights than {first}, and adapters of different bases "
                "cannot be merged"
            )


def _weights(base: str) -> object:
    """What the weights of a base are recognized by: its name, if they are not in a directory."""
    return base_fingerprint(Path(base)) if Path(base).is_dir() else base


def _copy_beside(source: Path, target: Path) -> None:
    """Copy what is beside the weights: config, tokenizer, generation settings."""
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".safetensors" and file.name not in _NOT_COPIED:
            shutil.copyfile(file, target / file.name)
