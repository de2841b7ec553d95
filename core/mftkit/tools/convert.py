"""``mft convert``: a checkpoint in a family's own layout, written in the native one."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.base.atomic_files import new_directory
from mftkit.interfaces.model import LoadRequest
from mftkit.models import check_vocabulary, read_config, select_adapter
from mftkit.models.config import dtype_of, stored_dtype
from mftkit.models.generation_config import fix_generation_config
from mftkit.models.loading import check_code
from mftkit.models.logits_check import compare_logits, tried_logits
from mftkit.reporting.reporter import Reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Converted:
    """A converted checkpoint, and how near it is to the original as it loads."""

    path: Path
    architecture: str
    difference: float
    """Largest difference of a logit."""
    largest: float
    """Largest logit, in size."""


def convert(path: str, output: Path, reporter: Reporter | None = None, adapter: str = "auto") -> Converted:
    """Write the native form of a checkpoint that is otherwise converted at each load, in its own dtype.

    What is written is read again, and its logits compared with those of the original.

    Args:
        path: a directory or a hub id.
        output: the directory to write; it must not exist, or be empty.
        reporter: told what is being done.
        adapter: what converts it.

    Raises:
        MftError: it is native already, or cannot be converted, or not written there.
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
    _check_output(output, path)
    chosen.describe(config, None, reporter)
    directory = Path(path).expanduser()
    source = str(directory) if directory.is_dir() else path
    dtype = dtype_of(config)
    if not (config.get("dtype") or config.get("torch_dtype")):  # not all families' configs name one
        dtype = stored_dtype(source) or dtype
    request = LoadRequest(path=source, config=config, dtype=dtype, attention="auto")
    model, tokenizer = chosen.load(request)
    before = tried_logits(model)
    architecture = type(model).__name__
    if contradiction := fix_generation_config(model):
        reporter.warn(contradiction)
    told = f"the converted model's logits differ from those of {path}, and nothing was written"
    with new_directory(output) as partial:
        _write(model, tokenizer, partial)
        del model  # so that two models are never held at once
        gc.collect()
        again = replace(request, path=str(partial), config=read_config(str(partial)))
        after = tried_logits(chosen.load(again)[0])
        difference, largest = compare_logits(before, after, dtype, told)
    kept = "with its tokenizer" if tokenizer is not None else "without a tokenizer, as there was none"
    reporter.note(
        f"{path} was converted by {name} to {architecture} ({str(dtype).removeprefix('torch.')}), {kept}"
    )
    return Converted(output, architecture, difference, largest)


def _write(model: Any, tokenizer: PreTrainedTokenizerBase | None, directory: Path) -> None:
    if tokenizer is not None:
        check_vocabulary(tokenizer, model)
        tokenizer.save_pretrained(directory)
    model.save_pretrained(directory)


def _check_output(output: Path, path: str) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise MftError(f"--output: {output} exists and is not empty; give another directory")
    source = Path(path).expanduser()
    if source.is_dir() and output.is_relative_to(source.resolve()):
        raise MftError(f"--output: {output} lies in {path}, which is not touched; give another directory")
