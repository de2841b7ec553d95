"""Families whose checkpoints came with code of their own: converted on load to what transformers has.

The weights go through transformers' own loader (``WeightConverter``), which reads shards, of safetensors or
of PyTorch with ``weights_only``, and converts, casts and quantises them one by one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.base.reasons import reason
from mftkit.base.tokenizer_files import load_tokenizer
from mftkit.models.loading import from_config, whole
from mftkit.models.native import NativeAdapter
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
    from transformers.core_model_loading import WeightConverter, WeightRenaming

    from mftkit.interfaces.model import LoadRequest
    from mftkit.reporting.reporter import Reporter

ORIGIN = "converted_from"
"""Key of a converted config: the ``model_type`` that it had, so that its own adapter goes on serving it."""

_LOADING = threading.Lock()  # transformers keeps one mapping a class name


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
    """Patterns of stored tensors that carry nothing: buffers that follow from the config."""


class ConvertedAdapter(NativeAdapter):
    """A family that is converted on load; what was converted and saved is native, and loads as such.

    A subclass gives ``conversion``, and ``original_tokenizer`` where the tokenizer's files are its own, too.
    """

    original_types: ClassVar[tuple[str, ...]] = ()
    """The ``model_type`` of the configs that are converted."""
    turn_ends: ClassVar[tuple[str, ...]] = ()
    """Tokens that end a turn of the instruct models, besides the end of a text: generation stops there, too."""

    def conversion(self, config: dict[str, Any]) -> Conversion:
        """What makes the native model of a checkpoint with this config.

        Raises MftError, naming the key, for what the native architecture cannot represent.
        """
        raise NotImplementedError

    def original_tokenizer(self, path: str, config: dict[str, Any]) -> PreTrainedTokenizerBase | None:
        """The fast tokenizer of a checkpoint in the family's own layout, None where it has no files of one."""
        raise NotImplementedError

    def prepare(self, model: PreTrainedModel, config: dict[str, Any]) -> None:
        """Add to a model just made what its config asks for beyond the class; ``config`` is as it was read."""

    def remarks(self, config: dict[str, Any]) -> list[str]:  # noqa: ARG002  # what an overriding method reads
        """What is to be known of the conversion of such a checkpoint, in sentences."""
        return []

    def matches(self, config: dict[str, Any]) -> int:
        """3 for what was converted from the family, 2 for its own configs."""
        if config.get(ORIGIN) in self.original_types:
            return 3
        return 2 if self.converts(config) else super().matches(config)

    def converts(self, config: dict[str, Any]) -> bool:
        """Whether the config is in the family's own layout."""
        return config.get("model_type") in self.original_types

    def describe(self, config: dict[str, Any], max_length: int | None, reporter: Reporter) -> None:
        """The conversion, where there is one, and what is to be known of it."""
        if self.converts(config):
            made = self._conversion(config).model.__name__
            reporter.note(
                f"model type {config['model_type']} is converted to {made} on load; no code of it is run"
            )
            for remark in self.remarks(config):
                reporter.note(remark)
        super().describe(config, max_length, reporter)

    def load(self, request: LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """The native model, converted where it has to be, and the tokenizer."""
        if not self.converts(request.config):
            model, tokenizer = super().load(request)
        else:
            _refuse_quantised(request)
            conversion = self._conversion(request.config)
            setattr(conversion.config, ORIGIN, request.config["model_type"])
            model = _converted(request, conversion)
            tokenizer = self.load_tokenizer(request)
            _tell_ends(model, tokenizer, self.turn_ends)
        self.prepare(model, request.config)
        return model, tokenizer

    def load_tokenizer(self, request: LoadRequest) -> PreTrainedTokenizerBase | None:
        """A fast tokenizer made of the family's own files, or the one beside a native checkpoint."""
        if request.path is None:
            return None
        if not self.converts(request.config):
            return load_tokenizer(request.path, request.trust_remote_code)
        try:
            return self.original_tokenizer(request.path, request.config)
        except MftError:
            raise
        except Exception as error:  # protobuf, tokenizers and base64 each raise their own on a broken file
            raise MftError(f"the tokenizer of {request.path} cannot be read: {reason(error)}") from error

    def _conversion(self, config: dict[str, Any]) -> Conversion:
        try:
            return self.conversion(config)
        except MftError:
            raise
        except Exception as error:  # whatever the native config's own validation raises is about the values
            raise MftError(f"model.path: config.json: {reason(error)}") from error


def checkpoint_file(path: str, name: str) -> Path | None:
    """A file of a checkpoint in a directory or on the hub; None where it has none of that name."""
    from transformers.utils.hub import cached_file

    found = cached_file(
        str(Path(path).expanduser()) if Path(path).expanduser().is_dir() else path,
        name,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def _converted(request: LoadRequest, conversion: Conversion) -> PreTrainedModel:
    if request.init == "random":
        return from_config(request, conversion.config)
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping

    # A class of its own carries the mapping, because the native one must go on loading native checkpoints.
    name = f"Converted{conversion.model.__name__}"
    ignored = {"_keys_to_ignore_on_load_unexpected": list(conversion.ignored)}
    with _LOADING:
        register_checkpoint_conversion_mapping(name, list(conversion.weights), overwrite=True)
        model = whole(request, type(name, (conversion.model,), ignored), config=conversion.config)
    # Else it would be saved under the original names, and the class that no program has.
    model.__class__ = conversion.model
    del model._weight_conversions
    return model


def _refuse_quantised(request: LoadRequest) -> None:
    if request.config.get("quantization_config") or request.config.get("quantization_bit"):
        raise MftError(
            f"model.path: {request.path} holds quantised weights, which cannot be converted: "
            "give the full-precision checkpoint, which a tuning may quantise on load"
        )


def _tell_ends(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, turn_ends: Sequence[str]
) -> None:
    """Generation stops where the checkpoint's own settings say, at the end of a text, and where a turn ends."""
    settings = model.generation_config
    if tokenizer is None or settings is None:
        return
    known = settings.eos_token_id
    vocabulary = tokenizer.get_vocab()
    ends = known if isinstance(known, list) else [known]
    ends += [tokenizer.eos_token_id, *(vocabulary[token] for token in turn_ends if token in vocabulary)]
    found = list(dict.fromkeys(end for end in ends if end is not None))
    settings.eos_token_id = found[0] if len(found) == 1 else found or None
