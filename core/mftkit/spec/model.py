"""The parts of a spec about the model and its text: base, data, chat."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, WrapValidator, field_serializer, model_validator

from mftkit.interfaces.references import AUTO, ComponentRef
from mftkit.plugins import kinds
from mftkit.spec.paths import FilePath, SpecPathOrHubId, absolute_if_local
from mftkit.spec.problems import Problem, refuse, refuse_one
from mftkit.spec.references import Place
from mftkit.spec.section import Section

SMALLEST_BPE = 300
"""The 256 bytes, the marks of a chat, and some merges."""


class TrainBpe(Section):
    """A byte-level BPE, trained on the tasks' own text."""

    train_bpe: int = Field(ge=SMALLEST_BPE)
    """Size of its vocabulary, tokens."""


def _tokenizer(value: Any, _plain: Any, info: ValidationInfo) -> str | TrainBpe | None:
    if value is None or isinstance(value, TrainBpe):
        return value
    if isinstance(value, dict):
        return TrainBpe.model_validate(value)
    if not isinstance(value, str):
        refuse_one('should be a path, or {"train_bpe": vocabulary size}', value)
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
    """What knows the model's family; "auto": chosen from the checkpoint's config."""
    path: SpecPathOrHubId | None = None
    """The checkpoint: a directory or a hub id."""
    init: Literal["pretrained", "random"] = "pretrained"
    """"random" starts from random weights, with ``config`` and ``tokenizer`` in place of ``path``."""
    config: dict[str, Any] | None = None
    """For a random start: the keys of the family's config.json, ``model_type`` among them."""
    tokenizer: Tokenizer = None
    """A tokenizer's path or hub id; for a random start also {"train_bpe": vocabulary size}."""
    dtype: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    """Of weights and arithmetic; "auto": bfloat16 where the device has it, else float32."""
    attention: str = Field(default="auto", min_length=1)
    """transformers' attention implementation; "auto": the best there is."""
    trust_remote_code: bool = False
    """Whether code that a checkpoint brings may be run."""

    @field_serializer("adapter")
    def _short(self, adapter: ComponentRef) -> Any:
        return AUTO if adapter.name == AUTO else adapter.model_dump()

    @model_validator(mode="after")
    def _start(self) -> "ModelSpec":
        problems = self._random_start() if self.init == "random" else self._pretrained_start()
        if problems:
            refuse(problems)
        return self

    def _random_start(self) -> list[Problem]:
        problems = []
        if self.path is not None:
            problems.append(Problem(("path",), "has no meaning where init is random", self.path))
        if self.config is None or not isinstance(self.config.get("model_type"), str):
            what = 'a random start needs the family\'s config, with its "model_type"'
            problems.append(Problem(("config",), what, self.config))
        if self.tokenizer is None:
            what = 'a random start needs a path, or {"train_bpe": vocabulary size}'
            problems.append(Problem(("tokenizer",), what, None))
        return problems

    def _pretrained_start(self) -> list[Problem]:
        problems = []
        if self.path is None:
            hint = '; or "init": "random" with "config" and "tokenizer"'
            problems.append(Problem(("path",), "is missing: the checkpoint to start from", None, False, hint))
        if self.config is not None:
            problems.append(
                Problem(("config",), "is for a random start; a checkpoint has its own", self.config)
            )
        if isinstance(self.tokenizer, TrainBpe):
            what = "a checkpoint's vocabulary is fixed: give a path, or leave it out"
            problems.append(Problem(("tokenizer",), what, self.tokenizer.model_dump()))
        return problems


class DataSpec(Section):
    """How rows become samples."""

    on_bad_row: Literal["error", "skip"] = "error"
    """A row that cannot be used: an error that names file and line, or counted and left out."""
    overlong: Literal["truncate", "drop", "error"] = "truncate"
    """A sample of more than ``max_length`` tokens: its end is cut, or it is dropped, or it is an error."""
    cache: FilePath | None = None
    """Directory of the tokenised samples; null: the user's cache directory."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Of generated rows; null: the run's. It keeps them as they are where runs differ in their seed."""


class ChatMarkers(Section):
    """The text in front of each turn, where no template is used."""

    system: str
    """In front of the system's turn."""
    user: str
    """In front of a user's turn."""
    assistant: str
    """In front of an answer."""
    end: str | None = None
    """After an answer; null: the tokenizer's end-of-sequence token."""


class ChatSpec(Section):
    """How a conversation becomes text."""

    format: Literal["auto", "template", "markers"] = "auto"
    """"template": the tokenizer's own chat template; "markers"; "auto": the template if there is one."""
    markers: ChatMarkers | None = None
    """The markers; null: those of the MFTCoder paper."""

    @model_validator(mode="after")
    def _used(self) -> "ChatSpec":
        if self.markers is not None and self.format == "template":
            refuse_one("are not used where format is template", self.markers.model_dump(), at=("markers",))
        return self
