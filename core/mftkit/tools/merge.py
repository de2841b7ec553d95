"""``mft merge``: merge a PEFT adapter into its full-precision base, as a plain transformers checkpoint."""

from __future__ import annotations

import gc
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory, temporary
from mftkit.interfaces.model import LoadRequest
from mftkit.models.checkpoint_output import check_output
from mftkit.models.config import ADAPTER_CONFIG, read_config
from mftkit.models.example_prompt import example_prompt
from mftkit.models.generation_config import fix_generation_config
from mftkit.models.logits_check import compare_logits, sample_logits
from mftkit.models.merging import merge_adapter
from mftkit.models.saving import unwrapped
from mftkit.models.stray_adapter import has_stray_adapter, how_to_use
from mftkit.models.vocabulary import guard_vocabulary
from mftkit.reporting.reporter import Reporter
from mftkit.runs.record import read_run
from mftkit.runs.reference import find_weights
from mftkit.runs.reference_loading import open_reference
from mftkit.tools.model_card.card import step_of, write_card
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.interfaces.model import ModelAdapter
    from mftkit.runs.reference import Weights
    from mftkit.runs.source import Source


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
    run: str | Path, output: Path, reporter: Reporter | None = None, adapter: ModelAdapter | None = None
) -> Merged:
    """Merge an adapter into its base, on the CPU and in the base's own dtype.

    The result is read back, and its logits are compared with those of base and adapter.

    Args:
        run: a reference to an adapter: a run directory (its result, or the newest checkpoint if it has not finished),
            RUN@STEP, RUN@last, RUN@best, RUN@best:TASK, or a directory with a PEFT adapter.
        output: the directory to write; it must not exist, or be empty.
        reporter: receives progress notes and warnings.
        adapter: the model adapter that loads the base; None: the one that the run's spec names, or else the best match.

    Raises:
        MftError: there is nothing to merge, or it cannot be merged, or ``output`` cannot be written.
    """
    reporter = reporter or Reporter()
    weights = find_weights(run)
    _check_whole_model(weights)
    output = output.expanduser().resolve()
    check_output(output, _read_only(weights))
    source = open_reference(run, reporter, adapter)
    _check_source(source)
    request = source.request
    reporter.note(f"merging {source.place} into {request.path} ({str(request.dtype).removeprefix('torch.')})")
    tokenizer = source.tokenizer()
    base = source.load_base(tokenizer)
    if tokenizer is not None:
        guard_vocabulary(tokenizer, base)
    merged, before = merge_adapter(source.attach(base), reporter)
    if contradiction := fix_generation_config(merged):
        reporter.warn(contradiction)
    _set_pad_token(merged, tokenizer)
    del base
    try:
        with new_directory(output) as partial:
            with unwrapped():
                merged.save_pretrained(partial)
            if tokenizer is not None:
                tokenizer.save_pretrained(partial)
            del merged  # so that two models are never in memory at once
            gc.collect()
            written = LoadRequest(
                str(partial),
                read_config(str(partial)),
                request.dtype,
                "auto",
                trust_remote_code=request.trust_remote_code,
            )
            after = sample_logits(source.adapter.load(written)[0])
            difference, largest = compare_logits(before, after, request.dtype, _LOSSY)
            _write_card(weights, partial, tokenizer)
    except BaseException:
        shutil.rmtree(temporary(output), ignore_errors=True)
        raise
    return Merged(output, str(request.path), difference, largest)


def _write_card(weights: Weights, place: Path, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Write the model card, if the adapter is of a run."""
    if weights.run is None:
        return
    step = weights.step if weights.step is not None else weights.in_checkpoint
    if step is None and weights.result is not None:
        step = step_of(weights.result.path, read_run(weights.run))
    if step is not None:
        write_card(weights.run, place, step, example_prompt(tokenizer), is_merged=True)


def _check_whole_model(weights: Weights) -> None:
    """Refuse weights that are a whole model, without loading anything."""
    found = weights.result
    if found is None or found.config is not None:
        return
    if has_stray_adapter(found.path):
        raise MftError(
            f"RUN: nothing to merge: {found.path} is a whole model, and the {ADAPTER_CONFIG} beside it is not part of "
            f"it. {how_to_use(found.path)}"
        )
    raise MftError(f"RUN: nothing to merge: {found.path} is already a full model, without an adapter")


def _check_source(source: Source) -> None:
    """Refuse what has no adapter, and an adapter whose base is quantized."""
    if not source.is_adapter:
        raise MftError(f"RUN: nothing to merge: {source.place} holds a full model, without an adapter")
    if source.request.config.get("quantization_config"):
        raise MftError(
            f"RUN: the base {source.request.path} is itself quantized: merging needs its full-precision weights; "
            f"name them in {source.place}/{ADAPTER_CONFIG} (base_model_name_or_path)"
        )


def _read_only(weights: Weights) -> list[Path]:
    """Return the directories that merging reads; a base may also be a hub id, which is no path."""
    directories = [] if weights.result is None else [weights.result.path, Path(weights.result.base)]
    if weights.run is not None:
        directories += [weights.run / name for name in ("model", "base", "best", "checkpoints", "tokenizer")]
    return [directory for directory in directories if directory.is_absolute()]


def _set_pad_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Name the pad token that the adapter was trained with in the model's configs."""
    if tokenizer is not None and tokenizer.pad_token_id is not None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        if model.generation_config is not None:
            model.generation_config.pad_token_id = tokenizer.pad_token_id
