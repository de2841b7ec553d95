"""The part of a spec about the base model and its tokenizer."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, WrapValidator, field_serializer, model_validator

from mftkit.base.json_types import JsonObject
from mftkit.interfaces import AUTO
from mftkit.interfaces.component import InputName
from mftkit.interfaces.model import VARLEN
from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.on_resuming import OnResuming
from mftkit.spec.paths import SpecPathOrHubId, WeightsReference, absolute_if_local
from mftkit.spec.problems import Problem, refuse, refuse_one
from mftkit.spec.references import Place
from mftkit.spec.section import Section

SMALLEST_BPE = 300
"""Smallest vocabulary: the 256 bytes, the tokens of a chat, and some merges."""


class TrainBpe(Section):
    """A byte-level BPE tokenizer, trained on the tasks' own text."""

    train_bpe: int = Field(ge=SMALLEST_BPE)
    """Size of the vocabulary in tokens."""


def _tokenizer(value: object, _plain: object, info: ValidationInfo) -> str | TrainBpe | None:
    if value is None or isinstance(value, TrainBpe):
        return value
    if isinstance(value, dict):
        return TrainBpe.model_validate(value)
    if not isinstance(value, str):
        refuse_one('should be a path, a hub id, or {"train_bpe": vocabulary size}', value)
    return absolute_if_local(value, info)


_BPE = {
    "type": "object",
    "properties": {"train_bpe": {"type": "integer", "minimum": SMALLEST_BPE}},
    "required": ["train_bpe"],
    "additionalProperties": False,
}
Tokenizer = Annotated[
    str | TrainBpe | None,
    WrapValidator(_tokenizer),
    WithJsonSchema({"anyOf": [{"type": "string"}, _BPE, {"type": "null"}]}),
]


class ModelSpec(Section):
    """The base model."""

    adapter: Annotated[ComponentRef, Place(kinds.MODEL_ADAPTER)] = ComponentRef(name=AUTO)
    """The adapter for the model's family; "auto" chooses it by the checkpoint's config."""
    path: Annotated[SpecPathOrHubId | None, OnResuming("model")] = None
    """The checkpoint: a directory or a hub id."""
    revision: Annotated[Annotated[str, Field(min_length=1)] | None, OnResuming("model")] = None
    """For a hub id as ``path``: its branch, tag or commit; null: its main branch."""
    start_from: Annotated[WeightsReference | None, OnResuming("model")] = None
    """Weights to start from instead of those of ``path``, with a fresh optimizer, as ``mft run SPEC --from REF`` sets
    it: a run directory, optionally with @STEP, @last, @best or @best:TASK, a directory with a model or a PEFT adapter,
    or a hub id."""
    start_adapter: Literal["auto", "continue", "merge"] = "auto"
    """If ``start_from`` is an adapter and ``tuning`` makes one: "continue" trains that adapter further, "merge" merges
    it into its base and trains a new one on the result; "auto" continues if the adapters are alike, and otherwise
    refuses."""
    init: Literal["pretrained", "random"] = "pretrained"
    """"pretrained" starts from the checkpoint at ``path``; "random" starts from random weights and needs ``config`` and
    ``tokenizer`` instead."""
    config: JsonObject | None = None
    """For random weights: the contents of config.json, including ``model_type``."""
    tokenizer: Annotated[Tokenizer, OnResuming("data")] = None
    """The tokenizer's path or hub id; null: the checkpoint's. For random weights it can also be
    {"train_bpe": vocabulary size}, which trains one on the tasks' text."""
    dtype: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Data type of weights and arithmetic; "auto": bfloat16 if the device supports it, otherwise float32."""
    attention: str = Field(default="auto", min_length=1)
    """Attention implementation of transformers, or "varlen", which computes each sample of a row by itself, without
    padding and masks; "auto": "varlen" where the model gives the same under it, else what transformers chooses."""
    trust_remote_code: bool = False
    """Whether code that comes with the checkpoint may be run."""

    @property
    def loaded_attention(self) -> str:
        """The attention with which the model is loaded; "varlen" takes the place of the model's own afterwards."""
        return "auto" if self.attention == VARLEN else self.attention

    @field_serializer("adapter")
    def _short(self, adapter: ComponentRef) -> object:
        return AUTO if adapter.name == AUTO else adapter.model_dump()

    @model_validator(mode="after")
    def _start(self) -> "ModelSpec":
        problems = self._random_start() if self.init == "random" else self._pretrained_start()
        if self.revision is not None and (self.path is None or isinstance(self.path, InputName)):
            what = "is only for a hub id as model.path: a local checkpoint has no revisions"
            problems.append(Problem(("revision",), what, self.revision))
        if self.start_adapter != "auto" and self.start_from is None:
            what = "is only for a run with start_from"
            problems.append(Problem(("start_adapter",), what, self.start_adapter))
        if problems:
            refuse(problems)
        return self

    def _random_start(self) -> list[Problem]:
        problems = []
        if self.path is not None:
            problems.append(Problem(("path",), 'is not used with init "random"', self.path))
        if self.config is None or not isinstance(self.config.get("model_type"), str):
            what = 'is required for random weights, with its "model_type"'
            problems.append(Problem(("config",), what, self.config))
        if self.tokenizer is None:
            what = 'is required for random weights: a path, a hub id, or {"train_bpe": vocabulary size}'
            problems.append(Problem(("tokenizer",), what, None))
        return problems

    def _pretrained_start(self) -> list[Problem]:
        problems = []
        if self.path is None and self.start_from is None:
            hint = '; for random weights set "init": "random" with "config" and "tokenizer"'
            problems.append(Problem(("path",), "is missing: the checkpoint to start from", None, False, hint))
        if self.config is not None:
            problems.append(
                Problem(("config",), "is only for random weights; a checkpoint has its own", self.config)
            )
        if isinstance(self.tokenizer, TrainBpe):
            what = "a checkpoint's vocabulary is fixed: set a path or hub id, or leave it out"
            problems.append(Problem(("tokenizer",), what, self.tokenizer.model_dump()))
        return problems
