"""``mft merge``: an adapter into its full-precision base, as a plain transformers checkpoint."""

from __future__ import annotations

import gc
import json
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.comparing import compare_logits, tried_logits
from mftkit.files import new_directory, temporary
from mftkit.interfaces.model import LoadRequest
from mftkit.models import check_vocabulary, read_config, select_adapter
from mftkit.models.config import ADAPTER_CONFIG, dtype_of, reason
from mftkit.models.vocabulary import load_tokenizer
from mftkit.peft_noise import without_peft_noise
from mftkit.reporter import Reporter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.interfaces.model import ModelAdapter


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


@dataclass(frozen=True)
class _Source:
    """An adapter, and the run that made it."""

    adapter: Path
    run: Path | None
    config: dict[str, Any]
    model: dict[str, Any]
    """The ``model`` section of the run's spec; empty without a run."""

    @property
    def base(self) -> str:
        """The run's own base, wherever the run was moved to, or else what the adapter names."""
        if self.run is not None and (self.run / "base").is_dir():
            return str(self.run / "base")
        named = self.config.get("base_model_name_or_path")
        if not named:
            raise MftError(f"{self.adapter / ADAPTER_CONFIG} names no base (base_model_name_or_path)")
        return str(named)


def merge(run: Path, output: Path, reporter: Reporter | None = None) -> Merged:
    """Merge the adapter of a run into its base, on the CPU and in the base's own dtype.

    What is written is read again, and its logits compared with those of base and adapter.

    Args:
        run: a run directory, or a directory with a PEFT adapter.
        output: the directory to write; it must not exist, or be empty.
        reporter: told what is being done.

    Raises:
        MftError: there is nothing to merge, or it cannot be merged, or not written there.
    """
    reporter = reporter or Reporter()
    source = _find(run.expanduser().absolute())
    output = output.expanduser().resolve()
    _check_output(output, source)
    adapter, request = _base(source, reporter)
    reporter.note(
        f"merging {source.adapter} into {request.path} ({str(request.dtype).removeprefix('torch.')})"
    )
    model, tokenizer = _load_base(source, adapter, request)
    tokenizer = load_tokenizer(str(source.adapter)) or tokenizer
    if tokenizer is not None:
        check_vocabulary(tokenizer, model)
    merged, before = _merged(source, model, reporter)
    _finish(merged, tokenizer)
    del model
    try:
        with new_directory(output) as partial:
            merged.save_pretrained(partial)
            if tokenizer is not None:
                tokenizer.save_pretrained(partial)
            del merged  # so that two models are never held at once
            gc.collect()
            after = tried_logits(adapter.load(replace(request, path=str(partial)))[0])
            difference, largest = compare_logits(before, after, request.dtype, _LOSSY)
    except BaseException:
        shutil.rmtree(temporary(output), ignore_errors=True)
        raise
    return Merged(output, source.base, difference, largest)


def _find(given: Path) -> _Source:
    if not given.is_dir():
        raise MftError(f"RUN: there is no directory {given}")
    run = next((at for at in (given, given.parent) if (at / "spec.json").is_file()), None)
    adapter = given / "model" if run == given else given
    if not (adapter / ADAPTER_CONFIG).is_file():
        if (adapter / "config.json").is_file():
            raise MftError(
                f"RUN: there is nothing to merge: {adapter} is a whole model already, without an adapter"
            )
        if run == given:
            raise MftError(
                f"RUN: {run} has no model/ yet: let the run finish first (mft run {run / 'spec.json'})"
            )
        raise MftError(
            f"RUN: {given} is neither a run directory nor a PEFT adapter: it has no {ADAPTER_CONFIG}"
        )
    if adapter.name != "model":
        run = run if run == given else None
    config = _json(adapter / ADAPTER_CONFIG)
    return _Source(adapter, run, config, _json(run / "spec.json").get("model", {}) if run else {})


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MftError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise MftError(f"{path} is damaged: it holds no object")
    return found


def _check_output(output: Path, source: _Source) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise MftError(f"--output: {output} exists and is not empty; give another directory")
    kept = [source.adapter, Path(source.base)]
    if source.run is not None:
        kept += [source.run / name for name in ("model", "base", "checkpoints")]
    for directory in kept:
        if directory.is_absolute() and output.is_relative_to(directory.resolve()):
            raise MftError(
                f"--output: {output} lies in {directory}, which is not touched; give another directory"
            )


def _base(source: _Source, reporter: Reporter) -> tuple[ModelAdapter, LoadRequest]:
    """What loads the base, and the request for it; a base that is missing, or quantised itself, is refused."""
    trust = bool(source.model.get("trust_remote_code", False))
    try:
        config = read_config(source.base, trust)
    except MftError as error:
        raise MftError(f"RUN: the base that {source.adapter} names is not to be had: {error}") from error
    if config.get("quantization_config"):
        raise MftError(
            f"RUN: the base {source.base} is quantised itself: merging needs its full-precision weights; "
            f"name them in {source.adapter / ADAPTER_CONFIG} (base_model_name_or_path)"
        )
    named = source.model.get("adapter", "auto")
    name, options = (named, {}) if isinstance(named, str) else (named["name"], named.get("options", {}))
    _, adapter = select_adapter(config, name, options, reporter)
    request = LoadRequest(
        path=source.base, config=config, dtype=dtype_of(config), attention="auto", trust_remote_code=trust
    )
    return adapter, request


def _load_base(
    source: _Source, adapter: ModelAdapter, request: LoadRequest
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
    try:
        return adapter.load(request)
    except MftError as error:
        raise MftError(f"RUN: the base that {source.adapter} names cannot be loaded: {error}") from error


def _merged(source: _Source, base: PreTrainedModel, reporter: Reporter) -> tuple[PreTrainedModel, Tensor]:
    """The merged model, layer by layer in the base's own memory; and the logits before."""
    kind = source.config.get("peft_type")
    with without_peft_noise():
        from peft import PeftModel

        try:
            tuned = PeftModel.from_pretrained(base, str(source.adapter))
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise MftError(f"RUN: the adapter in {source.adapter} does not load: {reason(error)}") from error
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
