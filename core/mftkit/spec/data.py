"""The part of a spec about data: how rows become samples."""

from typing import Annotated, Literal

from pydantic import Field

from mftkit.spec.on_resuming import OnResuming
from mftkit.spec.paths import FilePath
from mftkit.spec.section import Section


class StreamingSpec(Section):
    """Training rows that are read while the run trains, a chunk at a time."""

    chunk: int = Field(ge=1)
    """Rows of a chunk, over all tasks: as many as are tokenized, shuffled and laid out together. Samples of at most two
    chunks are on the disk."""


class DataSpec(Section):
    """How rows become samples."""

    on_bad_row: Literal["error", "skip"] = "error"
    """What happens to a row that cannot be used: "error" stops with its file and line, "skip" counts it and leaves it
    out."""
    overlong: Literal["truncate", "drop", "error"] = "truncate"
    """What happens to a sample of more than ``max_length`` tokens: its end is cut off, it is dropped, or it is an
    error."""
    special_tokens: Literal["auto", "text", "token"] = "auto"
    """What the text of a special token in a content means. "auto": in chats, that of a control token of the chat format
    is text, and other special tokens are tokens, as in all other formats; each is reported. "text": text always.
    "token": a token always."""
    cache: Annotated[FilePath | None, OnResuming("free")] = None
    """Directory of prepared data; null: $MFT_CACHE, otherwise the user's cache directory."""
    processes: Annotated[int | None, Field(ge=1), OnResuming("free")] = None
    """Processes that tokenize; null: one for each core, as far as each has 20,000 rows. The samples are the same."""
    streaming: StreamingSpec | None = None
    """Reads training rows while the run trains, a chunk of them at a time, instead of all before the first step; null:
    all before the first step."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Random seed for generated rows and for the random choices of task formats; null: the run's seed. Set it to keep
    the data equal in runs that differ in their seed."""
