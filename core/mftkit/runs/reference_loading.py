"""From a reference to a model in memory: a result, a checkpoint of a run that may be unfinished, or a hub id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mftkit.models import result as results
from mftkit.models.config import is_hub_id
from mftkit.models.selection import select_adapter
from mftkit.runs.checkpoint_source import CheckpointSource
from mftkit.runs.reference import Weights, find_weights
from mftkit.runs.result_source import ResultSource
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.source import Source


class LoadedReference(NamedTuple):
    """A model in evaluation mode, and what belongs to it."""

    adapter: ModelAdapter
    model: PreTrainedModel
    """If an adapter is in place on a base, peft's ``PeftModel``."""
    tokenizer: PreTrainedTokenizerBase
    description: str
    """Where the weights are: a path or a hub id."""


def load_reference(
    reference: str | Path, reporter: Reporter | None = None, model_adapter: ModelAdapter | None = None
) -> LoadedReference:
    """Load the model that a reference stands for (see ``find_weights``), completely and in its own dtype.

    Args:
        reference: RUN, RUN@STEP, RUN@last, RUN@best, RUN@best:TASK, a directory of a model or an adapter, a hub id.
        reporter: receives notes and warnings.
        model_adapter: replaces the one that the run's spec names or that matches.

    Raises:
        MftError: there is nothing of the kind, it cannot be loaded completely, or it has no tokenizer.
    """
    source = open_reference(reference, reporter, model_adapter)
    tokenizer = source.tokenizer()
    if tokenizer is None:
        raise MftError(
            f"RUN: {source.place} has no tokenizer files, so it cannot read text; add its tokenizer"
        )
    return LoadedReference(source.adapter, source.load(tokenizer), tokenizer, source.place)


def load_model(
    path: str | Path, adapter: str = "auto"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
    """Load a model, in its own dtype and in evaluation mode, and its tokenizer.

    A PEFT adapter gives the model that it was trained on with the adapter in place (peft's ``PeftModel``). The
    tokenizer is None if there is none. The checkpoint's own code is never run.

    Args:
        path: a run directory (the result, or the newest checkpoint of an unfinished run), RUN@STEP, RUN@last,
            RUN@best, RUN@best:TASK, a directory with a model or a PEFT adapter, or a hub id, optionally with @REVISION.
        adapter: the model adapter to load it with. "auto": the best match; for a run's weights, the one that the run's
            spec names.

    Raises:
        MftError: it cannot be loaded completely.
    """
    if is_hub_id(str(path)) and "/" not in str(path) and not Path(path).exists():  # an old id such as "gpt2"
        return results.load_model(path, adapter)
    weights = find_weights(path, "path")
    if weights.result is None or weights.result.path != _absolute(path):
        named = None
        if adapter != "auto":
            named = select_adapter(open_weights(weights).request.config, adapter)[1]
        source = open_weights(weights, None, named)
        tokenizer = source.tokenizer()
        return source.load(tokenizer), tokenizer
    return results.load_model(path, adapter)


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def open_reference(
    reference: str | Path,
    reporter: Reporter | None = None,
    model_adapter: ModelAdapter | None = None,
    key: str = "RUN",
) -> Source:
    """Return how to load what a reference stands for; nothing but configs is read yet.

    Raises MftError for what cannot be found. A note says which checkpoint of an unfinished run is used.
    """
    weights = find_weights(reference, key)
    if weights.note and reporter is not None:
        reporter.note(f"{weights.text}: {weights.note}")
    return open_weights(weights, reporter, model_adapter)


def open_weights(
    weights: Weights, reporter: Reporter | None = None, model_adapter: ModelAdapter | None = None
) -> Source:
    """As ``open_reference``, for a reference that was found already."""
    if weights.is_checkpoint:
        return CheckpointSource(weights, reporter, model_adapter)
    return ResultSource(weights, reporter, model_adapter)
