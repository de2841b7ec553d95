"""The weights of ``model.start_from``, from which a run starts instead of those of ``model.path``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mftkit.base.json_files import read_json_object
from mftkit.models.logits_check import compare_logits, sample_logits
from mftkit.models.merging import merge_adapter
from mftkit.plugins import installed, kinds
from mftkit.runs.reference_loading import open_reference
from mftkit.training.base_content import base_content
from mftkit.training.start_base import check_same_base
from mftkit_registry import MftError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.source import Source
    from mftkit.spec import Spec

KEY = "model.start_from"
RECORD = "start"
"""The key of environment.json that has where a run started."""
Use = Literal["model", "continue", "merge"]
"""What is done with the weights: they are the model, or an adapter that is trained further or merged into its base."""


@dataclass(frozen=True)
class Start:
    """Where a run starts, if its spec names ``model.start_from``."""

    source: Source | None
    """The weights; None if they are gone, and the run resumes from its own checkpoint."""
    use: Use
    makes_adapter: bool
    """Whether the run's result is an adapter."""
    in_checkpoint: bool
    """Whether the weights are in a checkpoint of a run, so that there is no directory that holds a model."""
    model: JsonObject
    """The model below the run's tuning, as the ``model`` section of a spec names it: ``path`` and ``revision``, or
    ``config`` for one that was initialized at random."""
    tokenizer: str | None
    """Directory or hub id of the tokenizer; None: it is beside the model."""
    weights: str
    """The reference, with the step to which it was resolved."""
    content: str | None
    """Fingerprint of the weights."""
    configs: JsonObject | None = None
    """``config`` and ``generation_config`` of ``model``, for a run that resumes without it; None if an earlier version
    recorded none."""

    @property
    def lacks_model(self) -> bool:
        """Whether ``model`` is gone, so that only a checkpoint that holds all weights can be resumed."""
        path = self.model.get("path")
        return (
            self.source is None and path is not None and Path(path).is_absolute() and not Path(path).is_dir()
        )

    @property
    def makes_base(self) -> bool:
        """Whether the run keeps the model that it starts from as its own base, because it is on disk nowhere else."""
        return self.makes_adapter and not self.is_on_disk

    @property
    def is_on_disk(self) -> bool:
        """Whether ``model`` names the complete model that the run's tuning is applied to."""
        return self.use == "continue" or (self.use == "model" and not self.in_checkpoint)

    def applied_to(self, spec: Spec) -> Spec:
        """Return the spec with the model below the run's tuning as its model."""
        given = spec.model.tokenizer
        changes = {
            "path": self.model.get("path"),
            "revision": self.model.get("revision"),
            "config": self.model.get("config") if self.model.get("path") is None else None,
            "init": "random" if self.model.get("path") is None else "pretrained",
            "tokenizer": given
            if isinstance(given, str) and spec.model.init == "pretrained"
            else self.tokenizer,
        }
        return spec.model_copy(update={"model": spec.model.model_copy(update=changes)})

    def load(
        self,
        tokenizer: PreTrainedTokenizerBase,
        reporter: Reporter,
        dtype: torch.dtype | None = None,
        attention: str = "auto",
    ) -> PreTrainedModel:
        """Return the complete model, in memory: with a checkpoint's weights, or with the adapter merged.

        Args:
            tokenizer: the run's.
            reporter: receives what merging notes.
            dtype: of the weights; None: their own.
            attention: the spec's ``model.attention``.
        """
        assert self.source is not None, "only weights that are there can be loaded"
        model = self.source.load_base(tokenizer, dtype, attention)
        if self.use != "merge":
            return model.requires_grad_(True)
        merged, before = merge_adapter(self.source.attach(model), reporter, KEY)
        failure = (
            f"{KEY}: {self.weights} cannot be merged into its base without loss: the logits of both differ"
        )
        compare_logits(before, sample_logits(merged), self.source.request.dtype, failure)
        return merged.requires_grad_(True)

    def dump(self) -> JsonObject:
        """Return what environment.json keeps."""
        return {
            "weights": self.weights,
            "use": self.use,
            "in_checkpoint": self.in_checkpoint,
            "content": self.content,
            "model": self.model,
            "tokenizer": self.tokenizer,
            "configs": self.configs,
        }


def find_start(spec: Spec, reporter: Reporter, *, fresh: bool = False) -> Start | None:
    """Return where a run starts; None if its spec does not name ``model.start_from``.

    A run that resumes starts where it did before, even if a reference such as RUN@last means another step by now. If
    the weights are gone, it resumes from its own checkpoint, with a warning.

    Args:
        spec: the run's spec.
        reporter: receives notes and warnings.
        fresh: the run starts over.

    Raises:
        MftError: there are no such weights, or they do not fit the rest of the spec.
    """
    if spec.model.start_from is None:
        return None
    recorded = None if fresh else _recorded(spec)
    reference = spec.model.start_from if recorded is None else str(recorded["weights"])
    try:
        source = open_reference(reference, reporter, _named_adapter(spec), KEY)
    except MftError as error:
        if recorded is None:
            raise
        start = _resumed(spec, recorded)
        reporter.warn(f"{error}. The run resumes from its own checkpoint.")
        return start
    if source.weights.run == spec.output:
        raise MftError(
            f"{KEY}: {reference} is the run in the spec's own output directory; give the new run another one, for "
            "example with --set output=DIR"
        )
    makes_adapter = installed.component_class(kinds.TUNING, spec.tuning.method).saves_adapter
    check_same_base(spec.model, source, reporter)
    return Start(
        source,
        _use(spec, source, makes_adapter),
        makes_adapter,
        source.weights.is_checkpoint,
        source.model_section(),
        source.tokenizer_place(),
        source.pinned,
        source.fingerprint() or base_content(source.request.path, source.request.revision),
        _configs(source),
    )


def _configs(source: Source) -> JsonObject:
    """Return what is needed to build the model below the run's tuning without its directory."""
    path = source.request.path
    generation = Path(path or "") / "generation_config.json"
    has_generation = path is not None and generation.is_file()
    return {
        "config": source.request.config,
        "generation_config": read_json_object(generation) if has_generation else None,
    }


def _recorded(spec: Spec) -> JsonObject | None:
    """Return what the run in the output directory recorded, if it has a checkpoint to resume from."""
    steps = spec.output / "checkpoints"
    try:
        before = read_json_object(spec.output / "spec.json")["model"].get("start_from")
        recorded = read_json_object(spec.output / "environment.json").get(RECORD)
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    has_checkpoint = steps.is_dir() and any(entry.name.startswith("step-") for entry in steps.iterdir())
    if not has_checkpoint or before != spec.model.start_from or not isinstance(recorded, dict):
        return None
    return recorded


def _resumed(spec: Spec, recorded: JsonObject) -> Start:
    """Return where a run started whose start is gone.

    Raises MftError if it cannot be resumed without: what it trains is an adapter, and the model below is gone, too.
    """
    start = Start(
        None,
        recorded["use"],
        installed.component_class(kinds.TUNING, spec.tuning.method).saves_adapter,
        recorded["in_checkpoint"],
        recorded["model"],
        recorded["tokenizer"],
        recorded["weights"],
        recorded["content"],
        recorded.get("configs"),
    )
    own_base, own_tokenizer = spec.output / "base", spec.output / "tokenizer"
    if start.makes_base and own_base.is_dir():
        start = replace(start, model={"path": str(own_base)})
    if start.lacks_model and (start.makes_adapter or start.configs is None):
        raise lacking(start)
    place = start.model.get("path") if start.tokenizer is None else start.tokenizer
    is_gone = place is not None and Path(place).is_absolute() and not Path(place).exists()
    return replace(start, tokenizer=str(own_tokenizer)) if is_gone and own_tokenizer.is_dir() else start


def lacking(start: Start) -> MftError:
    """Return the error for a run whose checkpoint needs the model that it started from, which is gone."""
    below = start.model["path"]
    where = below if below == start.weights else f"{start.weights} on the model in {below}"
    return MftError(
        f"{KEY}: the run started from {where}, which is not there any more, and its checkpoints hold only what its "
        f"tuning trains. Move it back, or name the new place of the same weights: --set {KEY}=DIR"
    )


def _use(spec: Spec, source: Source, makes_adapter: bool) -> Use:
    if not source.is_adapter:
        if spec.model.start_adapter != "auto":
            raise MftError(
                f"model.start_adapter: {source.place} holds a whole model, not an adapter; leave start_adapter out"
            )
        return "model"
    if makes_adapter and spec.model.start_adapter != "merge":
        return "continue"
    if spec.model.start_adapter == "continue":
        raise MftError(
            f"model.start_adapter: the tuning {spec.tuning.method} makes no adapter, so {source.place} cannot be "
            'trained further as one; set start_adapter to "merge", or leave it out'
        )
    if source.request.config.get("quantization_config"):
        raise MftError(
            f"{KEY}: the base {source.request.path} of {source.place} is itself quantized: merging needs its "
            'full-precision weights; with a tuning that makes an adapter, set model.start_adapter to "continue"'
        )
    return "merge"


def _named_adapter(spec: Spec) -> ModelAdapter | None:
    named = spec.model.adapter
    return None if named.name == "auto" else installed.build(kinds.MODEL_ADAPTER, named.name, named.options)
