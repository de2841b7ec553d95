"""Weights in a checkpoint of a run, which may be unfinished."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mftkit.base.json_files import read_json_object
from mftkit.base.reasons import reason
from mftkit.base.tokenizer_files import has_vocabulary, load_tokenizer
from mftkit.interfaces.model import LoadRequest
from mftkit.models import result as results
from mftkit.models.config import dtype_of, read_config, with_text_keys
from mftkit.models.pad_token import restore_pad
from mftkit.plugins import installed, kinds
from mftkit.runs.base_checkpoint import base_fingerprint
from mftkit.runs.checkpoint import MODEL, CheckpointError
from mftkit.runs.directory import RunDirectory
from mftkit.runs.shard_writing import CHECKSUMS, SHARDS
from mftkit.runs.source import Source
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
    from mftkit.runs.reference import Weights
    from mftkit.spec import Spec


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
        """Return the size and checksum of the checkpoint's weights, or of the list of all its shards."""
        try:
            files = self._directory.checkpoints.manifest(self.step).get("files", {})
        except CheckpointError:
            return None
        shards = files.get(f"{SHARDS}/{CHECKSUMS}", ())
        return "-".join(map(str, [*files.get(MODEL, ()), *shards])) or None

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
            request = replace(request, config=with_text_keys(request.config, from_tokenizer(tokenizer)))
        model, _ = self.adapter.load(request)
        if self.is_adapter:
            return model
        restore_pad(tokenizer, model)
        return self.tuning.base_model(self._restored(self.tuning.apply(model, self.adapter)))

    def attach(self, base: PreTrainedModel) -> nn.Module:
        """Return the base tuned as in the run, with the checkpoint's weights."""
        return self._restored(self.tuning.apply(base, self.adapter))

    def state(self, into: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        """Return what the checkpoint holds; what has shards is read into tensors of ``into`` by their names.

        Raises MftError if it is damaged, or belongs to another base than the run has now.
        """
        try:
            weights, manifest = self._directory.checkpoints.read_weights(self.step, into)
        except CheckpointError as error:
            raise MftError(f"{error}; give another step") from error
        base = self._directory.base
        if manifest.get("base") != (base_fingerprint(base) if base.is_dir() else None):
            raise MftError(f"{self.place} was trained on another base than is in {base} now; restore it")
        return weights

    def _restored(self, tuned: nn.Module) -> nn.Module:
        try:
            self.tuning.load_state_dict(tuned, self.state(self.tuning.state_dict(tuned)))
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
