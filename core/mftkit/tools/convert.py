"""``mft convert``: write a checkpoint in a family's own layout in transformers' layout."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory
from mftkit.interfaces.model import LoadRequest
from mftkit.models import read_config, select_adapter
from mftkit.models.checkpoint_output import check_output
from mftkit.models.config import checkpoint_dtype
from mftkit.models.generation_config import fix_generation_config
from mftkit.models.loading import check_code
from mftkit.models.logits_check import compare_logits, sample_logits
from mftkit.models.saving import unwrapped
from mftkit.models.stray_adapter import warn_stray_adapter
from mftkit.models.vocabulary import describe_surplus
from mftkit.reporting.reporter import Reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Converted:
    """A converted checkpoint, and how close it is to the original as loaded."""

    path: Path
    architecture: str
    difference: float
    """Largest absolute difference of a logit."""
    largest: float
    """Largest absolute logit."""


def convert(path: str, output: Path, reporter: Reporter | None = None, adapter: str = "auto") -> Converted:
    """Write the native form of a checkpoint that is otherwise converted on each load, in its own dtype.

    The result is read back, and its logits are compared with those of the original.

    Args:
        path: a directory or a hub id.
        output: the directory to write; it must not exist, or be empty.
        reporter: receives progress notes and warnings.
        adapter: the model adapter that converts it.

    Raises:
        MftError: it is already native, or cannot be converted, or ``output`` cannot be written.
    """
    reporter = reporter or Reporter()
    config = read_config(path)
    name, chosen = select_adapter(config, adapter, reporter=reporter)
    if not chosen.converts(config):
        check_code(path, config, trust=False)
        raise MftError(
            f"PATH: {path} (model type {config.get('model_type')!r}) needs no conversion: transformers has its "
            "architecture; use it as it is"
        )
    output = output.expanduser().resolve()
    directory = Path(path).expanduser()
    check_output(output, [directory] if directory.is_dir() else [])
    warn_stray_adapter(path, reporter)
    chosen.describe(config, None, reporter)
    source = str(directory) if directory.is_dir() else path
    dtype = checkpoint_dtype(config, source)
    request = LoadRequest(path=source, config=config, dtype=dtype, attention="auto")
    model, tokenizer = chosen.load(request)
    if tokenizer is not None and (surplus := describe_surplus(tokenizer, model)):
        reporter.warn(surplus)
    before = sample_logits(model)
    architecture = type(model).__name__
    if contradiction := fix_generation_config(model):
        reporter.warn(contradiction)
    failure = f"the converted model's logits differ from those of {path}, and nothing was written"
    with new_directory(output) as partial:
        _write(model, tokenizer, partial)
        del model  # so that two models are never in memory at once
        gc.collect()
        native = replace(request, path=str(partial), config=read_config(str(partial)))
        after = sample_logits(chosen.load(native)[0])
        difference, largest = compare_logits(before, after, dtype, failure)
    extent = "with its tokenizer" if tokenizer is not None else "without a tokenizer, because it has none"
    reporter.note(
        f"{path} was converted by {name} to {architecture} ({str(dtype).removeprefix('torch.')}), {extent}"
    )
    return Converted(output, architecture, difference, largest)


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, directory: Path) -> None:
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
    with unwrapped():
        model.save_pretrained(directory)
