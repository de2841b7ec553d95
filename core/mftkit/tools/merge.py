"""``mft merge``: an adapter into its full-precision base, as a plain transformers checkpoint."""

from __future__ import annotations

import gc
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory, temporary
from mftkit.base.quiet import without_peft_noise
from mftkit.base.reasons import reason
from mftkit.models.config import ADAPTER_CONFIG
from mftkit.models.generation_config import fix_generation_config
from mftkit.models.logits_check import compare_logits, tried_logits
from mftkit.models.result import Result, adapter_and_request, find_result, load_base, with_adapter
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
    """A merged checkpoint, and how near it is to base and adapter."""

    path: Path
    base: str
    difference: float
    """Largest difference of a logit."""
    largest: float
    """Largest logit, in size."""


def merge(
    run: Path, output: Path, reporter: Reporter | None = None, adapter: ModelAdapter | None = None
) -> Merged:
    """Merge the adapter of a run into its base, on the CPU and in the base's own dtype.

    What is written is read again, and its logits compared with those of base and adapter.

    Args:
        run: a run directory, or a directory with a PEFT adapter.
        output: the directory to write; it must not exist, or be empty.
        reporter: told what is being done.
        adapter: what loads the base; None: what the run's spec names, or else the one that fits.

    Raises:
        MftError: there is nothing to merge, or it cannot be merged, or not written there.
    """
    reporter = reporter or Reporter()
    source = _find(run)
    output = output.expanduser().resolve()
    _check_output(output, source)
    chosen, request = _base(source, reporter, adapter)
    reporter.note(f"merging {source.path} into {request.path} ({str(request.dtype).removeprefix('torch.')})")
    model, tokenizer = load_base(source, chosen, request)
    merged, before = _merged(source, model, reporter)
    if contradiction := fix_generation_config(merged):
        reporter.warn(contradiction)
    _finish(merged, tokenizer)
    del model
    try:
        with new_directory(output) as partial:
            merged.save_pretrained(partial)
            if tokenizer is not None:
                tokenizer.save_pretrained(partial)
            del merged  # so that two models are never held at once
            gc.collect()
            after = tried_logits(chosen.load(replace(request, path=str(partial)))[0])
            difference, largest = compare_logits(before, after, request.dtype, _LOSSY)
    except BaseException:
        shutil.rmtree(temporary(output), ignore_errors=True)
        raise
    return Merged(output, source.base, difference, largest)


def _find(given: Path) -> Result:
    found = find_result(given)
    if found.config is None:
        raise MftError(
            f"RUN: there is nothing to merge: {found.path} is a whole model already, without an adapter"
        )
    return found


def _check_output(output: Path, source: Result) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise MftError(f"--output: {output} exists and is not empty; give another directory")
    kept = [source.path, Path(source.base)]
    if source.run is not None:
        kept += [source.run / name for name in ("model", "base", "checkpoints")]
    for directory in kept:
        if directory.is_absolute() and output.is_relative_to(directory.resolve()):
            raise MftError(
                f"--output: {output} lies in {directory}, which is not touched; give another directory"
            )


def _base(
    source: Result, reporter: Reporter, adapter: ModelAdapter | None
) -> tuple[ModelAdapter, LoadRequest]:
    """What loads the base, and the request for it; a base that is missing, or quantised itself, is refused."""
    chosen, request = adapter_and_request(source, reporter, adapter)
    if request.config.get("quantization_config"):
        raise MftError(
            f"RUN: the base {source.base} is quantised itself: merging needs its full-precision weights; "
            f"name them in {source.path / ADAPTER_CONFIG} (base_model_name_or_path)"
        )
    return chosen, request


def _merged(source: Result, base: PreTrainedModel, reporter: Reporter) -> tuple[PreTrainedModel, Tensor]:
    """The merged model, layer by layer in the base's own memory; and the logits before."""
    kind = (source.config or {}).get("peft_type")
    tuned = with_adapter(source, base)
    with without_peft_noise():
        if not hasattr(tuned.base_model, "merge_and_unload"):
            raise MftError(
                f"RUN: an adapter of type {kind} cannot be merged: it changes no weights of the base"
            )
        try:
            before = tried_logits(tuned)
            with warnings.catch_warnings(record=True) as told:  # of a head that is tied no more, for one
                warnings.simplefilter("always", UserWarning)
                merged: PreTrainedModel = tuned.merge_and_unload(safe_merge=True)
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise MftError(f"RUN: this adapter of type {kind} cannot be merged: {reason(error)}") from error
    for warning in told:
        reporter.note(str(warning.message))
    return merged, before


def _finish(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """The configs name the adapter's pad token."""
    if tokenizer is not None and tokenizer.pad_token_id is not None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        if model.generation_config is not None:
            model.generation_config.pad_token_id = tokenizer.pad_token_id
