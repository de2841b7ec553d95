"""What a training left behind, found and loaded: a whole model, or an adapter with its base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.base.quiet import without_peft_noise
from mftkit.base.reasons import reason
from mftkit.base.tokenizer_files import load_tokenizer
from mftkit.interfaces.model import LoadRequest
from mftkit.models.config import ADAPTER_CONFIG, dtype_of, read_config
from mftkit.models.selection import select_adapter
from mftkit.models.vocabulary import check_vocabulary
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter


@dataclass(frozen=True)
class Result:
    """A directory of weights, and the run that made them."""

    path: Path
    """The directory: a model, or a PEFT adapter."""
    run: Path | None
    config: dict[str, Any] | None
    """The adapter's own config; None for a whole model."""
    model: dict[str, Any]
    """The ``model`` section of the run's spec; empty without a run."""

    @property
    def base(self) -> str:
        """An adapter's base: the run's own, wherever the run was moved to, or else what the adapter names."""
        if self.run is not None and (self.run / "base").is_dir():
            return str(self.run / "base")
        named = (self.config or {}).get("base_model_name_or_path")
        if not named:
            raise MftError(f"{self.path / ADAPTER_CONFIG} names no base (base_model_name_or_path)")
        return str(named)


def find_result(given: Path) -> Result:
    """The result in a run directory (its ``model/``), or in a directory of weights, of a run or of none.

    Raises MftError where there is none, or none yet.
    """
    given = given.expanduser().absolute()
    if not given.is_dir():
        raise MftError(f"RUN: there is no directory {given}")
    run = _run_of(given)
    path = given / "model" if run == given else given
    section = read_json(run / "spec.json").get("model", {}) if run else {}
    if (path / ADAPTER_CONFIG).is_file():
        return Result(path, run, read_json(path / ADAPTER_CONFIG), section)
    if (path / "config.json").is_file():
        return Result(path, run, None, section)
    if run == given:
        raise MftError(
            f"RUN: {run} has no model/ yet: let the run finish first (mft run {run / 'spec.json'})"
        )
    if (given / "best.json").is_file():
        steps = sorted(entry.name for entry in given.iterdir() if entry.is_dir())
        raise MftError(f"RUN: {given} holds several results: name one of {', '.join(steps) or 'none'}")
    raise MftError(
        f"RUN: {given} is neither a run directory nor a PEFT adapter nor a model: it has no {ADAPTER_CONFIG} "
        "and no config.json"
    )


def adapter_and_request(
    result: Result, reporter: Reporter | None = None, adapter: ModelAdapter | None = None
) -> tuple[ModelAdapter, LoadRequest]:
    """What loads the full weights of a result (an adapter's: its base), and the request for them.

    ``adapter`` takes the place of the one that the run's spec names, or that fits.
    """
    trust = bool(result.model.get("trust_remote_code", False))
    source = str(result.path) if result.config is None else result.base
    try:
        config = read_config(source, trust)
    except MftError as error:
        if result.config is None:
            raise
        raise MftError(f"RUN: the base that {result.path} names is not to be had: {error}") from error
    if adapter is None:
        named = result.model.get("adapter", "auto")
        name, options = (named, {}) if isinstance(named, str) else (named["name"], named.get("options", {}))
        adapter = _chosen(config, name, options, reporter, whole=result.config is None)
    request = LoadRequest(
        path=source, config=config, dtype=dtype_of(config), attention="auto", trust_remote_code=trust
    )
    return adapter, request


def load_base(
    result: Result, adapter: ModelAdapter, request: LoadRequest
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
    """The model of ``request``, and the result's own tokenizer, or else the model's."""
    try:
        model, tokenizer = adapter.load(request)
    except MftError as error:
        if result.config is None:
            raise
        raise MftError(f"RUN: the base that {result.path} names cannot be loaded: {error}") from error
    if result.config is not None:
        tokenizer = load_tokenizer(str(result.path)) or tokenizer
    if tokenizer is not None:
        check_vocabulary(tokenizer, model)
    return model, tokenizer


def with_adapter(result: Result, base: PreTrainedModel) -> Any:
    """The base inside peft's model, the result's adapter in place."""
    with without_peft_noise():
        from peft import PeftModel

        try:
            return PeftModel.from_pretrained(base, str(result.path))
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise MftError(f"RUN: the adapter in {result.path} does not load: {reason(error)}") from error


def load_model(
    path: str | Path, adapter: str = "auto"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
    """The model in a directory or under a hub id, in its own dtype and in evaluation mode, and its tokenizer.

    A directory with a PEFT adapter gives the model that it was trained on, with the adapter in place (peft's
    ``PeftModel``). The tokenizer is None where the checkpoint has none. No code of the checkpoint's is run.

    Args:
        path: a checkpoint, a run's ``model/``, or a hub id.
        adapter: what loads it; "auto": what fits it best, or for a run's adapter what the run's spec names.

    Raises:
        MftError: it cannot be loaded whole.
    """
    directory = Path(path).expanduser()
    if (directory / ADAPTER_CONFIG).is_file() and not (directory / "config.json").is_file():
        result = find_result(directory)
        named = None if adapter == "auto" else select_adapter(read_config(result.base), adapter)[1]
        model, tokenizer = load_base(result, *adapter_and_request(result, adapter=named))
        model = with_adapter(result, model)
    else:
        config = read_config(str(path))
        _, chosen = select_adapter(config, adapter)
        source = str(directory) if directory.is_dir() else str(path)
        request = LoadRequest(path=source, config=config, dtype=dtype_of(config), attention="auto")
        model, tokenizer = chosen.load(request)
        if tokenizer is not None:
            check_vocabulary(tokenizer, model)
    model.train(False)
    return model, tokenizer


def load_result(
    given: Path, reporter: Reporter | None = None
) -> tuple[ModelAdapter, Any, PreTrainedTokenizerBase]:
    """Adapter, model in evaluation mode (an adapter in place on its base) and tokenizer of a result.

    Raises MftError for what cannot be loaded whole, and where there is no tokenizer.
    """
    result = find_result(given)
    adapter, request = adapter_and_request(result, reporter)
    model, tokenizer = load_base(result, adapter, request)
    if tokenizer is None:
        raise MftError(f"RUN: {result.path} has no tokenizer files, and text cannot be read without")
    loaded: Any = model if result.config is None else with_adapter(result, model)
    loaded.eval()
    return adapter, loaded, tokenizer


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; MftError for one that is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MftError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise MftError(f"{path} is damaged: it holds no object")
    return found


def _run_of(given: Path) -> Path | None:
    """The run of a directory: itself, or the one that it is the model or a best step of."""
    places = [given]
    if given.name == "model":
        places.append(given.parent)
    if given.parent.name == "best":
        places.append(given.parent.parent)
    return next((place for place in places if (place / "spec.json").is_file()), None)


def _chosen(
    config: dict[str, Any], name: str, options: dict[str, Any], reporter: Reporter | None, *, whole: bool
) -> ModelAdapter:
    """The adapter of the run; for a whole model that a run has converted, one that knows what it is now."""
    if whole and name != "auto":
        try:
            return select_adapter(config, name, options, reporter)[1]
        except MftError:
            return select_adapter(config, reporter=reporter)[1]
    return select_adapter(config, name, options, reporter)[1]
