"""A tokenizer trained on the tasks' own text: byte-level BPE."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory, write_json
from mftkit.base.checksums import fingerprint
from mftkit.base.native_calls import in_thread
from mftkit.data.made.storage import CACHE_FULL_HINT, cache_root, locked
from mftkit.data.rows.reading import RowFindings, read_rows
from mftkit.data.task_formats import build_task_format, reading_context
from mftkit.data.task_rows import task_rows
from mftkit.plugins import kinds
from mftkit.spec.references import without_defaults
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

    from mftkit.data.rows.files import Source
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec, TaskSpec

VERSION = 1
"""Increase it when the same text gives another tokenizer."""

_SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Words as in recent code models: each digit by itself, and line breaks apart from the indentation after them, so that
the first words of an answer are the same tokens alone and after a prompt."""
LONGEST_WORD = 256
"""Characters of a word that training looks at together; longer ones are cut. The time of the trainer grows with the
square of a word's length: 100,000 letters without a space took 10 s, and 2 MB of base64 more than 15 minutes. Ordinary
text has no such words, and gets the same tokenizer as without this limit."""
_FILE, _FINGERPRINT = "tokenizer.json", "fingerprint.json"


def train_bpe(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most ``vocab_size`` tokens, special tokens included; equal for equal texts.

    Raises MftError if the vocabulary is too small for the 256 bytes and the special tokens.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < len(alphabet) + len(_SPECIAL):
        smallest = len(alphabet) + len(_SPECIAL)
        raise MftError(f"model.tokenizer.train_bpe: {vocab_size} is too small; set it to at least {smallest}")
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="isolated")
    short = pre_tokenizers.Split(Regex(f"(?m:.{{1,{LONGEST_WORD}}})"), behavior="isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, short, in_bytes])
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(_SPECIAL.values()),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    in_thread(lambda: backend.train_from_iterator(texts, trainer))
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, in_bytes])
    return _wrapped(tokenizer_object=backend)


def tokenizer_of_tasks(spec: Spec, vocab_size: int, reporter: Reporter) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on the tasks' own text; cached by the content of their files."""
    made_of = [VERSION, vocab_size, spec.data.on_bad_row]
    read = [[source.digest().sha256, _format_key(task)] for source, task in _distinct(spec, reporter)]
    key = hashlib.sha256(json.dumps([made_of, read]).encode()).hexdigest()[:32]
    directory: Path = cache_root(spec.data.cache) / "tokenizers" / key
    with locked(directory, reporter):
        cached = _cached(directory / _FILE, reporter)
        if cached is not None:
            return cached
        trained = train_bpe(iter_texts(spec, reporter), vocab_size)
        with new_directory(directory, CACHE_FULL_HINT) as part:
            trained.backend_tokenizer.save(str(part / _FILE))
            write_json(part / _FINGERPRINT, fingerprint(part / _FILE))
    return _wrapped(tokenizer_file=str(directory / _FILE))


def _cached(file: Path, reporter: Reporter) -> PreTrainedTokenizerFast | None:
    """Return the tokenizer that was trained before, or None if there is none or it is damaged."""
    if not file.exists():
        return None
    try:
        written = file.with_name(_FINGERPRINT)  # an entry of an earlier version has none
        if written.exists() and json.loads(written.read_text("utf-8")) != fingerprint(file):
            raise ValueError("its content is not the one that was written")
        return _wrapped(tokenizer_file=str(file))
    except Exception as error:  # the tokenizers library raises bare ones
        reporter.warn(f"{file} is damaged ({error}); the tokenizer is trained again")
        return None


def iter_texts(spec: Spec, reporter: Reporter) -> Iterator[str]:
    """Yield the contents of all tasks' training rows; a source that several tasks name is read once."""
    with reporter.progress("reading text for the tokenizer", None) as advance:
        for source, task in _distinct(spec, reporter):
            task_format, context = build_task_format(spec, task), reading_context(spec, task.name)
            for row in read_rows([source], task_format, context, RowFindings(spec.data.on_bad_row)):
                advance(1)
                yield from row.content.texts


def _distinct(spec: Spec, reporter: Reporter) -> list[tuple[Source, TaskSpec]]:
    """Return each source once, with a task that reads it; twice if two formats read it."""
    found: dict[tuple[str, str], tuple[Source, TaskSpec]] = {}
    for index, task in enumerate(spec.tasks):
        for source in task_rows(spec, index, task, reporter):
            found.setdefault((source.name, json.dumps(_format_key(task))), (source, task))
    return list(found.values())


def _format_key(task: TaskSpec) -> object:
    """Return what the texts of a task's rows depend on: the bare name for a format without options."""
    return without_defaults(kinds.TASK_FORMAT, task.format)


def _wrapped(**backend: object) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        **backend, **_SPECIAL, clean_up_tokenization_spaces=False
    )
