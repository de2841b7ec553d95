"""Find and load what a training left: a full model, or an adapter with its base."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mftkit.base.json_files import read_json_object
from mftkit.base.tokenizer_files import load_tokenizer
from mftkit.interfaces.model import LoadRequest
from mftkit.models.adapter_loading import load_adapter
from mftkit.models.config import ADAPTER_CONFIG, dtype_of, read_config
from mftkit.models.selection import select_adapter
from mftkit.models.stray_adapter import is_adapter, warn_stray_adapter
from mftkit.models.vocabulary import guard_vocabulary
from mftkit.spec.local_plugins import select_plugins_of
from mftkit_registry import MftError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter


@dataclass(frozen=True)
class Result:
    """A directory of weights, and the run that made them."""

    path: Path
    """The directory: a full model or a PEFT adapter."""
    run: Path | None
    config: JsonObject | None
    """The PEFT adapter's config; None for a full model."""
    model: JsonObject
    """The ``model`` section of the run's spec; empty without a run."""
    written_at: str | None = None
    """Where the run was when it was trained, by its spec; None without a run."""

    @property
    def base(self) -> str:
        """The base of a PEFT adapter: the run's own, even if the run was moved, else the one that it names."""
        if self.run is not None and (self.run / "base").is_dir():
            return str(self.run / "base")
        named = (self.config or {}).get("base_model_name_or_path")
        if not named:
            raise MftError(
                f"{self.path / ADAPTER_CONFIG} names no base model: set base_model_name_or_path to its "
                "directory or hub id"
            )
        return self._moved_with_the_run(str(named))

    @property
    def base_revision(self) -> str | None:
        """The revision of an adapter's base on the hub, by the adapter's config; None: its main branch."""
        revision = (self.config or {}).get("revision")
        return None if revision is None or Path(self.base).is_dir() else str(revision)

    def _moved_with_the_run(self, base: str) -> str:
        """Return the place of a base that was moved together with the run; else the place that is named."""
        if self.run is None or self.written_at is None or not Path(base).is_absolute() or Path(base).exists():
            return base
        moved = os.path.normpath(self.run / os.path.relpath(base, self.written_at))
        return moved if Path(moved).is_dir() else base


def find_result(given: Path) -> Result:
    """Find the result in a run directory (its ``model/``), or in a directory of weights with or without a run.

    Raises MftError if there is none, or none yet.
    """
    given = given.expanduser().absolute()
    if not given.is_dir():
        raise MftError(f"RUN: there is no directory {given}")
    run = _run_of(given)
    path = given / "model" if run == given else given
    spec = read_json(run / "spec.json") if run else {}
    if run is not None:
        select_plugins_of(spec, run)
    section, written_at = spec.get("model", {}), spec.get("output")
    if is_adapter(path):
        return Result(path, run, read_json(path / ADAPTER_CONFIG), section, written_at)
    if (path / "config.json").is_file():
        return Result(path, run, None, section, written_at)
    if run == given:
        raise MftError(
            f"RUN: {run} has no model/ yet: let the run finish first (mft run {run / 'spec.json'})"
        )
    if (given / "best.json").is_file():
        steps = sorted(entry.name for entry in given.iterdir() if entry.is_dir())
        raise MftError(
            f"RUN: {given} contains several results; give the directory of one: {', '.join(steps) or 'none'}"
        )
    raise MftError(
        f"RUN: {given} is neither a run directory nor a PEFT adapter nor a model: it has no {ADAPTER_CONFIG} "
        "and no config.json"
    )


def adapter_and_request(
    result: Result, reporter: Reporter | None = None, model_adapter: ModelAdapter | None = None
) -> tuple[ModelAdapter, LoadRequest]:
    """Return the model adapter that loads the full weights of a result (for a PEFT adapter: its base), and the request.

    ``model_adapter`` replaces the one that the run's spec names or that matches.
    """
    trust = bool(result.model.get("trust_remote_code", False))
    source = str(result.path) if result.config is None else result.base
    revision = None if result.config is None else result.base_revision
    warn_stray_adapter(source, reporter)
    try:
        config = read_config(source, trust, revision=revision)
    except MftError as error:
        raise _about_base(result, error) from error
    if model_adapter is None:
        named = result.model.get("adapter", "auto")
        name, options = (named, {}) if isinstance(named, str) else (named["name"], named.get("options", {}))
        model_adapter = _select(result, config, name, options, reporter)
    request = LoadRequest(
        path=source,
        config=config,
        dtype=dtype_of(config),
        attention="auto",
        trust_remote_code=trust,
        revision=revision,
    )
    return model_adapter, request


def load_weights(result: Result, model_adapter: ModelAdapter, request: LoadRequest) -> PreTrainedModel:
    """Load the model of ``request``; an error names the PEFT adapter whose base it is."""
    try:
        return model_adapter.load(request)[0]
    except MftError as error:
        raise _about_base(result, error) from error


def load_base(
    result: Result, model_adapter: ModelAdapter, request: LoadRequest
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
    """Load the model of ``request``, and the result's own tokenizer or else the model's."""
    try:
        model, tokenizer = model_adapter.load(request)
    except MftError as error:
        raise _about_base(result, error) from error
    if result.config is not None:
        tokenizer = load_tokenizer(str(result.path)) or tokenizer
    if tokenizer is not None:
        guard_vocabulary(tokenizer, model)
    return model, tokenizer


def _about_base(result: Result, error: MftError) -> MftError:
    """Say that an error is about the base that a PEFT adapter names."""
    if result.config is None:
        return error
    return MftError(f"RUN: cannot load the base model named by {result.path}: {error}")


def with_peft_adapter(result: Result, base: PreTrainedModel) -> PeftModel:
    """Return the base inside peft's model, with the result's adapter in place."""
    return load_adapter(base, result.path)


def _as_model(tuned: PeftModel) -> PreTrainedModel:
    """Type peft's model as the model inside it, to which it passes on every attribute that it lacks."""
    return cast("PreTrainedModel", tuned)


def load_model(
    path: str | Path, adapter: str = "auto"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
    """Load the model in a directory or under a hub id, in its own dtype and in evaluation mode, and its tokenizer.

    A directory with a PEFT adapter gives the model that it was trained on with the adapter in place (peft's
    ``PeftModel``). The tokenizer is None if the checkpoint has none. The checkpoint's own code is never run.

    Args:
        path: a checkpoint, a run's ``model/``, or a hub id.
        adapter: the model adapter to load it with. "auto": the best match; for the PEFT adapter of a run, the one
            that the run's spec names.

    Raises:
        MftError: it cannot be loaded completely.
    """
    directory = Path(path).expanduser()
    if is_adapter(directory):
        result = find_result(directory)
        base_config = partial(read_config, result.base, revision=result.base_revision)
        named = None if adapter == "auto" else select_adapter(base_config(), adapter)[1]
        base, tokenizer = load_base(result, *adapter_and_request(result, model_adapter=named))
        model = _as_model(with_peft_adapter(result, base))
    else:
        config = read_config(str(path))
        warn_stray_adapter(path)
        _, chosen = select_adapter(config, adapter)
        source = str(directory) if directory.is_dir() else str(path)
        request = LoadRequest(path=source, config=config, dtype=dtype_of(config), attention="auto")
        model, tokenizer = chosen.load(request)
        if tokenizer is not None:
            guard_vocabulary(tokenizer, model)
    model.train(False)
    return model, tokenizer


def read_json(path: Path) -> JsonObject:
    """Return the object in a JSON file that the program wrote; raise MftError if it is corrupt."""
    try:
        return read_json_object(path)
    except (OSError, ValueError) as error:
        raise MftError(f"{path} cannot be read: {error}") from error


def _run_of(given: Path) -> Path | None:
    """Return the run of a directory: the directory itself, or the run whose model or best step it is."""
    candidates = [given]
    if given.name == "model":
        candidates.append(given.parent)
    if given.parent.name == "best":
        candidates.append(given.parent.parent)
    return next((candidate for candidate in candidates if (candidate / "spec.json").is_file()), None)


def _select(
    result: Result, config: JsonObject, name: str, options: JsonObject, reporter: Reporter | None
) -> ModelAdapter:
    """Return the run's model adapter."""
    if result.config is None:
        return select_for_run(config, name, options, reporter)
    return select_adapter(config, name, options, reporter)[1]


def select_for_run(
    config: JsonObject, name: str, options: JsonObject, reporter: Reporter | None
) -> ModelAdapter:
    """Return the model adapter that a run's spec names, for a model that the run has made.

    A model that the run has converted may no longer match the adapter that the spec names for the original: then the
    best match is taken.
    """
    if name != "auto":
        try:
            return select_adapter(config, name, options, reporter)[1]
        except MftError:
            return select_adapter(config, reporter=reporter)[1]
    return select_adapter(config, name, options, reporter)[1]
