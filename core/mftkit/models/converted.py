"""Families whose checkpoints came with their own code: converted on load to an architecture of transformers.

The weights go through transformers' own loader (``WeightConverter``), which reads shards (safetensors, or PyTorch
files with ``weights_only``) and converts, casts and quantizes them one by one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mftkit.base.reasons import reason
from mftkit.base.tokenizer_files import load_tokenizer
from mftkit.interfaces.deprecation import RenamedAttribute
from mftkit.models.loading import from_config, load_strict
from mftkit.models.native import NativeAdapter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
    from transformers.core_model_loading import WeightConverter, WeightRenaming

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import LoadRequest
    from mftkit.reporting.reporter import Reporter

CONVERTED_FROM = "converted_from"
"""Key of a converted config: its original ``model_type``, so that the family's adapter still serves it."""

_LOADING = threading.Lock()  # transformers keeps one conversion mapping per class name, for the whole process


@dataclass(frozen=True)
class Conversion:
    """How a checkpoint in a family's own layout becomes a model of transformers."""

    model: type[PreTrainedModel]
    """The native class."""
    config: PreTrainedConfig
    """Its config."""
    weights: Sequence[WeightConverter | WeightRenaming]
    """From the checkpoint's names and layouts to the native ones."""
    ignored: tuple[str, ...] = (r"inv_freq$",)
    """Patterns of stored tensors without information: buffers that follow from the config."""


class ConvertedAdapter(NativeAdapter):
    """A family that is converted on load; a converted model that was saved is native and loads as such.

    A subclass implements ``conversion``, and ``original_tokenizer`` if the tokenizer files have their own format, too.
    """

    original_types: ClassVar[tuple[str, ...]] = ()
    """The ``model_type`` of the configs that are converted."""
    turn_ends: ClassVar[tuple[str, ...]] = ()
    """Tokens that end a turn in the instruct models, besides the end of text: generation stops there, too."""

    def conversion(self, config: JsonObject) -> Conversion:
        """Return the conversion of a checkpoint with this config.

        Raises MftError, naming the key, for what the native architecture cannot represent.
        """
        raise NotImplementedError

    def original_tokenizer(self, path: str, config: JsonObject) -> PreTrainedTokenizerBase | None:
        """Return the fast tokenizer of a checkpoint in the family's own layout, None if it has no tokenizer files."""
        raise NotImplementedError

    def prepare(self, model: PreTrainedModel, config: JsonObject) -> None:
        """Add what the config asks for beyond the class to a newly loaded model; ``config`` is as it was read."""

    def conversion_notes(self, config: JsonObject) -> list[str]:  # noqa: ARG002  # overriding methods read it
        """Return sentences that a user should know about the conversion of such a checkpoint."""
        return []

    remarks = RenamedAttribute("conversion_notes")

    def matches(self, config: JsonObject) -> int:
        """Return 3 for a model that was converted from the family, 2 for the family's own configs."""
        if config.get(CONVERTED_FROM) in self.original_types:
            return 3
        return 2 if self.converts(config) else super().matches(config)

    def converts(self, config: JsonObject) -> bool:
        """Return True if the config is in the family's own layout."""
        return config.get("model_type") in self.original_types

    def describe(self, config: JsonObject, max_length: int | None, reporter: Reporter) -> None:
        """Report the conversion, if there is one, and its notes."""
        if self.converts(config):
            native_class = self._conversion(config).model.__name__
            reporter.note(
                f"model type {config['model_type']} is converted to {native_class} on load; none of its own code is run"
            )
            for note in self.conversion_notes(config):
                reporter.note(note)
        super().describe(config, max_length, reporter)

    def load(self, request: LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """Load the native model, converted if necessary, and the tokenizer."""
        if not self.converts(request.config):
            model, tokenizer = super().load(request)
        else:
            _reject_quantized(request)
            conversion = self._conversion(request.config)
            setattr(conversion.config, CONVERTED_FROM, request.config["model_type"])
            model = _load_converted(request, conversion)
            tokenizer = self.load_tokenizer(request)
            _set_generation_ends(model, tokenizer, self.turn_ends)
        self.prepare(model, request.config)
        return model, tokenizer

    def load_tokenizer(self, request: LoadRequest) -> PreTrainedTokenizerBase | None:
        """Load a fast tokenizer built from the family's own files, or the one beside a native checkpoint."""
        if request.path is None:
            return None
        if not self.converts(request.config):
            return load_tokenizer(request.path, request.trust_remote_code, request.revision)
        try:
            return self.original_tokenizer(_at_revision(request), request.config)
        except MftError:
            raise
        except Exception as error:  # protobuf, tokenizers and base64 each raise their own on a broken file
            raise MftError(f"the tokenizer of {request.path} cannot be read: {reason(error)}") from error

    def _conversion(self, config: JsonObject) -> Conversion:
        try:
            return self.conversion(config)
        except MftError:
            raise
        except Exception as error:  # whatever the native config's own validation raises is about the values
            raise MftError(f"model.path: config.json: {reason(error)}") from error


def checkpoint_file(path: str, name: str, revision: str | None = None) -> Path | None:
    """Return a file of a checkpoint in a directory or on the hub, None if it has none of that name."""
    from transformers.utils.hub import cached_file

    file = cached_file(
        str(Path(path).expanduser()) if Path(path).expanduser().is_dir() else path,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if file is None else Path(file)


def _at_revision(request: LoadRequest) -> str:
    """Return the path of a request; for a revision of a hub id, that of a copy of the repository's small files."""
    assert request.path is not None, "a tokenizer is loaded from somewhere"
    if request.revision is None:
        return request.path
    from huggingface_hub import snapshot_download

    weights = ["*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf", "*.onnx", "*.h5", "*.msgpack"]
    return snapshot_download(request.path, revision=request.revision, ignore_patterns=weights)


def _load_converted(request: LoadRequest, conversion: Conversion) -> PreTrainedModel:
    if request.init == "random":
        return from_config(request, conversion.config)
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping

    # A throwaway subclass carries the mapping, because the native class must still load native checkpoints.
    name = f"Converted{conversion.model.__name__}"
    ignored = {"_keys_to_ignore_on_load_unexpected": list(conversion.ignored)}
    with _LOADING:
        register_checkpoint_conversion_mapping(name, list(conversion.weights), overwrite=True)
        model = load_strict(request, type(name, (conversion.model,), ignored), config=conversion.config)
    # Otherwise save_pretrained would write the original names, and name a class that exists in no library.
    model.__class__ = conversion.model
    del model._weight_conversions
    return model


def _reject_quantized(request: LoadRequest) -> None:
    if request.config.get("quantization_config") or request.config.get("quantization_bit"):
        raise MftError(
            f"model.path: {request.path} contains quantized weights, which cannot be converted: "
            "give the full-precision checkpoint, which a tuning may quantize on load"
        )


def _set_generation_ends(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, turn_ends: Sequence[str]
) -> None:
    """Stop generation where the checkpoint's own settings say, at the end of text, and where a turn ends."""
    settings = model.generation_config
    if tokenizer is None or settings is None:
        return
    own = settings.eos_token_id
    vocabulary = tokenizer.get_vocab()
    ends = own if isinstance(own, list) else [own]
    ends += [tokenizer.eos_token_id, *(vocabulary[token] for token in turn_ends if token in vocabulary)]
    ids = list(dict.fromkeys(end for end in ends if end is not None))
    settings.eos_token_id = ids[0] if len(ids) == 1 else ids or None
