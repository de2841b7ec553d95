"""``mft merge``: merge a PEFT adapter into its full-precision base, as a plain transformers checkpoint."""

from __future__ import annotations

import gc
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mftkit.base.atomic_files import new_directory, temporary
from mftkit.base.quiet import without_peft_noise
from mftkit.base.reasons import reason
from mftkit.models.checkpoint_output import check_output
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.models.generation_config import fix_generation_config
from mftkit.models.logits_check import compare_logits, sample_logits
from mftkit.models.result import Result, adapter_and_request, find_result, load_base, with_peft_adapter
from mftkit.models.stray_adapter import has_stray_adapter, how_to_use
from mftkit.reporting.reporter import Reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.interfaces.model import LoadRequest, ModelAdapter


_LOSSY = (
    "the merged model's logits differ from those of base and adapter: this adapter cannot be merged without "
    "loss, and nothing was written"
)


@dataclass(frozen=True)
class Merged:
    """A merged checkpoint, and how close it is to base and adapter."""

    path: Path
    base: str
    difference: float
    """Largest absolute difference of a logit."""
    largest: float
    """Largest absolute logit."""


def merge(
    run: Path, output: Path, reporter: Reporter | None = None, adapter: ModelAdapter | None = None
) -> Merged:
    """Merge the adapter of a run into its base, on the CPU and in the base's own dtype.

    The result is read back, and its logits are compared with those of base and adapter.

    Args:
        run: a run directory, or a directory with a PEFT adapter.
        output: the directory to write; it must not exist, or be empty.
        reporter: receives progress notes and warnings.
        adapter: the model adapter that loads the base; None: the one that the run's spec names, or else the best match.

    Raises:
        MftError: there is nothing to merge, or it cannot be merged, or ``output`` cannot be written.
    """
    reporter = reporter or Reporter()
    source = _find(run)
    output = output.expanduser().resolve()
    check_output(output, _read_only(source))
    chosen, request = _base(source, reporter, adapter)
    reporter.note(f"merging {source.path} into {request.path} ({str(request.dtype).removeprefix('torch.')})")
    model, tokenizer = load_base(source, chosen, request)
    merged, before = _merge_adapter(source, model, reporter)
    if contradiction := fix_generation_config(merged):
        reporter.warn(contradiction)
    _set_pad_token(merged, tokenizer)
    del model
    try:
        with new_directory(output) as partial:
            merged.save_pretrained(partial)
            if tokenizer is not None:
                tokenizer.save_pretrained(partial)
            del merged  # so that two models are never in memory at once
            gc.collect()
            after = sample_logits(chosen.load(replace(request, path=str(partial)))[0])
            difference, largest = compare_logits(before, after, request.dtype, _LOSSY)
    except BaseException:
        shutil.rmtree(temporary(output), ignore_errors=True)
        raise
    return Merged(output, source.base, difference, largest)


def _find(given: Path) -> Result:
    found = find_result(given)
    if found.config is None and has_stray_adapter(found.path):
        raise MftError(
            f"RUN: nothing to merge: {found.path} is a whole model, and the {ADAPTER_CONFIG} beside it is not part of "
            f"it. {how_to_use(found.path)}"
        )
    if found.config is None:
        raise MftError(f"RUN: nothing to merge: {found.path} is already a full model, without an adapter")
    return found


def _read_only(source: Result) -> list[Path]:
    """Return the directories that merging reads; a base may also be a hub id, which is no path."""
    directories = [source.path, Path(source.base)]
    if source.run is not None:
        directories += [source.run / name for name in ("model", "base", "checkpoints")]
    return [directory for directory in directories if directory.is_absolute()]


def _base(
    source: Result, reporter: Reporter, adapter: ModelAdapter | None
) -> tuple[ModelAdapter, LoadRequest]:
    """Return the model adapter for the base, and its request; raise MftError for a missing or quantized base."""
    chosen, request = adapter_and_request(source, reporter, adapter)
    if request.config.get("quantization_config"):
        raise MftError(
            f"RUN: the base {source.base} is itself quantized: merging needs its full-precision weights; "
            f"name them in {source.path / ADAPTER_CONFIG} (base_model_name_or_path)"
        )
    return chosen, request


def _merge_adapter(
    source: Result, base: PreTrainedModel, reporter: Reporter
) -> tuple[PreTrainedModel, Tensor]:
    """Return the merged model, which takes the base's memory layer by layer, and the logits before merging."""
    kind = (source.config or {}).get("peft_type")
    tuned = with_peft_adapter(source, base)
    with without_peft_noise():
        if not hasattr(tuned.base_model, "merge_and_unload"):
            raise MftError(
                f"RUN: an adapter of type {kind} cannot be merged: it changes no weights of the base"
            )
        try:
            before = sample_logits(cast("PreTrainedModel", tuned))  # peft passes calls on
            with warnings.catch_warnings(record=True) as caught:  # a head that is no longer tied, for one
                warnings.simplefilter("always", UserWarning)
                merged: PreTrainedModel = tuned.merge_and_unload(safe_merge=True)
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise MftError(f"RUN: this adapter of type {kind} cannot be merged: {reason(error)}") from error
    for warning in caught:
        reporter.note(str(warning.message))
    return merged, before


def _set_pad_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Name the pad token that the adapter was trained with in the model's configs."""
    if tokenizer is not None and tokenizer.pad_token_id is not None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        if model.generation_config is not None:
            model.generation_config.pad_token_id = tokenizer.pad_token_id
