"""From a reference to a model in memory: a result, a checkpoint of a run that may be unfinished, or a hub id."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from mftkit.base.json_files import read_json_object
from mftkit.base.reasons import reason
from mftkit.base.tokenizer_files import has_vocabulary, load_tokenizer
from mftkit.interfaces.model import LoadRequest
from mftkit.models import result as results
from mftkit.models.config import dtype_of, is_hub_id, read_config
from mftkit.models.pad_token import restore_pad
from mftkit.models.selection import select_adapter
from mftkit.models.vocabulary import guard_vocabulary
from mftkit.plugins import installed, kinds
from mftkit.runs.base_checkpoint import base_fingerprint
from mftkit.runs.checkpoint import MODEL, CheckpointError
from mftkit.runs.directory import RunDirectory
from mftkit.runs.reference import Weights, find_weights
from mftkit.spec import load_spec
from mftkit_registry import MftError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.interfaces.tuning import Tuning
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec


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
    if weights.is_checkpoint or (weights.result is not None and weights.result.path != _absolute(path)):
        named = None
        if adapter != "auto":
            named = select_adapter(open_weights(weights).request.config, adapter)[1]
        source = open_weights(weights, None, named)
        tokenizer = source.tokenizer()
        return source.load(tokenizer), tokenizer
    return results.load_model(weights.hub_id or path, adapter, weights.revision)


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


class Source(ABC):
    """Weights that can be loaded: a whole model, or a base and an adapter to attach to it."""

    weights: Weights
    place: str
    """Where the weights are."""
    adapter: ModelAdapter
    request: LoadRequest
    """Loads the model without the adapter, in its own dtype."""
    is_adapter: bool
    """Whether there is an adapter to attach to what ``request`` loads."""

    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Return the tokenizer, with the chat template of training; None if there is none."""

    @abstractmethod
    def tokenizer_place(self) -> str | None:
        """Return the directory or hub id of the tokenizer; None if it is beside the model that ``request`` loads."""

    @abstractmethod
    def load_base(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        dtype: torch.dtype | None = None,
        attention: str = "auto",
    ) -> PreTrainedModel:
        """Return the whole model, or the base of an adapter.

        ``dtype`` of the weights; None: their own.
        """

    def fingerprint(self) -> str | None:
        """Return what the weights are recognized by wherever they lie; None if only their files can say it."""
        return None

    @property
    def pinned(self) -> str:
        """The reference, with the step that it means now."""
        return self.place

    def config(self) -> JsonObject:
        """Return the config of the model that ``request`` loads."""
        return self.request.config

    def model_section(self) -> JsonObject:
        """Return the model that ``request`` loads, as the ``model`` section of a spec names it."""
        if self.request.path is None:
            return {"path": None, "config": self.request.config}
        return {"path": self.request.path, "revision": self.request.revision}

    @abstractmethod
    def attach(self, base: PreTrainedModel) -> nn.Module:
        """Return the base with the adapter in place."""

    def load(self, tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedModel:
        """Return the model with all that belongs to it, in evaluation mode."""
        model = self.load_base(tokenizer)
        if tokenizer is not None:
            guard_vocabulary(tokenizer, model)
        if self.is_adapter:
            model = cast(
                "PreTrainedModel", self.attach(model)
            )  # peft passes on every attribute that it lacks
        model.train(False)
        return model


class ResultSource(Source):
    """A directory with a whole model or a PEFT adapter, or a model on the hub."""

    def __init__(
        self, weights: Weights, reporter: Reporter | None, model_adapter: ModelAdapter | None
    ) -> None:
        if weights.result is None:
            assert weights.hub_id is not None, "weights are in a directory or on the hub"
            self.result = results.Result(Path(weights.hub_id), None, None, {})
            self.adapter, self.request = _of_hub(weights, reporter, model_adapter)
        else:
            self.result = weights.result
            self.adapter, self.request = results.adapter_and_request(weights.result, reporter, model_adapter)
        self.weights, self.place = weights, str(weights)
        self.is_adapter = self.result.config is not None

    def fingerprint(self) -> str | None:
        """Return the size and checksum of the files of an adapter."""
        files = base_fingerprint(self.result.path) if self.is_adapter else {}
        return "-".join(str(number) for numbers in files.values() for number in numbers) or None

    def tokenizer_place(self) -> str | None:
        """Return the adapter's directory if the tokenizer is there."""
        own = str(self.result.path)
        return own if self.is_adapter and has_vocabulary(own) else None

    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Return the one beside the weights, or else that of an adapter's base."""
        own = load_tokenizer(str(self.result.path)) if self.is_adapter else None
        return own or self.adapter.load_tokenizer(self.request)

    def load_base(
        self,
        tokenizer: PreTrainedTokenizerBase | None,  # noqa: ARG002  # a result has a row for each of its tokens
        dtype: torch.dtype | None = None,
        attention: str = "auto",
    ) -> PreTrainedModel:
        """Return the whole model, or the base of an adapter."""
        request = replace(self.request, dtype=dtype or self.request.dtype, attention=attention)
        return results.load_weights(self.result, self.adapter, request)

    def attach(self, base: PreTrainedModel) -> nn.Module:
        """Return peft's model with the adapter in place."""
        return results.with_peft_adapter(self.result, base)


def _of_hub(
    weights: Weights, reporter: Reporter | None, model_adapter: ModelAdapter | None
) -> tuple[ModelAdapter, LoadRequest]:
    path = str(weights.hub_id)
    try:
        config = read_config(path, revision=weights.revision)
    except MftError as error:
        raise MftError(
            f"{path}: there is no such directory, and no model that can be loaded from the hub ({error})"
        ) from error
    model_adapter = model_adapter or select_adapter(config, reporter=reporter)[1]
    return model_adapter, LoadRequest(path, config, dtype_of(config), "auto", revision=weights.revision)


class CheckpointSource(Source):
    """A checkpoint of a run, which holds what the run's tuning trains and nothing else."""

    def __init__(
        self, weights: Weights, reporter: Reporter | None, model_adapter: ModelAdapter | None
    ) -> None:
        assert weights.run is not None, "a checkpoint belongs to a run"
        assert weights.step is not None, "a checkpoint has a step"
        self.run, self.step = weights.run, weights.step
        self.weights, self.place = weights, str(weights)
        self.spec: Spec = load_spec(self.run / "spec.json")
        self._directory = RunDirectory(self.run)
        self.tuning: Tuning = installed.build(kinds.TUNING, self.spec.tuning.method, self.spec.tuning.options)
        self.is_adapter = self.tuning.saves_adapter
        self.model = self._model_section()
        config = self._config()
        self.adapter = model_adapter or results.select_for_run(
            config, self.spec.model.adapter.name, self.spec.model.adapter.options, reporter
        )
        self.request = LoadRequest(
            self.model.get("path"),
            config,
            dtype_of(config),
            "auto",
            init="pretrained" if self.model.get("path") else "random",
            trust_remote_code=self.spec.model.trust_remote_code,
            revision=self.model.get("revision"),
        )

    def _model_section(self) -> JsonObject:
        """Return where the model that the run tunes comes from: path and revision, or the config of a random start."""
        if self._directory.base.is_dir():
            return {"path": str(self._directory.base)}
        if self.spec.model.start_from is None:
            return self.spec.model.model_dump(mode="json", include={"path", "revision", "config"})
        file = self.run / "environment.json"
        try:
            section: JsonObject = read_json_object(file)["start"]["model"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MftError(f"{file}: the model that the run started from is not recorded: {error}") from error
        return section

    def _config(self) -> JsonObject:
        path = self.model.get("path")
        if path is None:
            return dict(self.model["config"])
        try:
            return read_config(path, self.spec.model.trust_remote_code, revision=self.model.get("revision"))
        except MftError as error:
            raise MftError(f"{self.run}: the model that the run tunes cannot be loaded: {error}") from error

    @property
    def pinned(self) -> str:
        """The run, with the step."""
        return f"{self.run}@{self.step}"

    def fingerprint(self) -> str | None:
        """Return the size and checksum of the checkpoint's weights."""
        try:
            files = self._directory.checkpoints.manifest(self.step).get("files", {})
        except CheckpointError:
            return None
        return "-".join(map(str, files.get(MODEL, ()))) or None

    def tokenizer_place(self) -> str | None:
        """Return a directory or hub id with the run's tokenizer; None if it is beside the model."""
        place = self._tokenizer_directory()
        return None if place == self.model.get("path") else place

    def _tokenizer_directory(self) -> str | None:
        kept = [self._directory.tokenizer, self._directory.model, self._directory.base]
        named = [
            name for name in (self.spec.model.tokenizer, self.model.get("path")) if isinstance(name, str)
        ]
        return next((place for place in [*map(str, kept), *named] if has_vocabulary(place)), None)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Return the run's tokenizer.

        Raises MftError for a run that has kept none: a random start in an earlier version.
        """
        place = self._tokenizer_directory()
        if place is not None and place == self.model.get("path"):
            found = self.adapter.load_tokenizer(self.request)
        else:
            found = None if place is None else load_tokenizer(place, self.spec.model.trust_remote_code)
        if found is None:
            raise MftError(
                f"{self.run}: the run keeps no tokenizer, because it was started by an earlier version; resume it "
                f"(mft run {self.run / 'spec.json'}): it is written then"
            )
        return found

    def load_base(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        dtype: torch.dtype | None = None,
        attention: str = "auto",
    ) -> PreTrainedModel:
        """Return the whole model with the checkpoint's weights, or the base of an adapter."""
        request = replace(self.request, dtype=dtype or self.request.dtype, attention=attention)
        tokenizer = tokenizer or self.tokenizer()
        if request.init == "random":
            request = replace(request, config={**from_tokenizer(tokenizer), **request.config})
        model, _ = self.adapter.load(request)
        if self.is_adapter:
            return model
        restore_pad(tokenizer, model)
        return self.tuning.base_model(self._restored(self.tuning.apply(model, self.adapter)))

    def attach(self, base: PreTrainedModel) -> nn.Module:
        """Return the base tuned as in the run, with the checkpoint's weights."""
        return self._restored(self.tuning.apply(base, self.adapter))

    def state(self) -> dict[str, torch.Tensor]:
        """Return what the checkpoint holds.

        Raises MftError if it is damaged, or belongs to another base than the run has now.
        """
        try:
            weights, manifest = self._directory.checkpoints.read_weights(self.step)
        except CheckpointError as error:
            raise MftError(f"{error}; give another step") from error
        base = self._directory.base
        if manifest.get("base") != (base_fingerprint(base) if base.is_dir() else None):
            raise MftError(f"{self.place} was trained on another base than is in {base} now; restore it")
        return weights

    def _restored(self, tuned: nn.Module) -> nn.Module:
        try:
            self.tuning.load_state_dict(tuned, self.state())
        except (KeyError, RuntimeError) as error:
            raise MftError(
                f"the weights of {self.place} do not fit the model of {self.run / 'spec.json'}: {reason(error)}"
            ) from error
        return tuned


def from_tokenizer(tokenizer: PreTrainedTokenizerBase) -> JsonObject:
    """Return the config keys of a model from a random start that follow from its tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
