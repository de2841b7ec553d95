"""Build a fast tokenizer from the protobuf of a sentencepiece model.

transformers' own converter (``SpmConverter``) treats white space as Llama does and orders merges by id; these families
differ in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import mftkit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Tokenizer
    from tokenizers.decoders import Decoder
    from tokenizers.normalizers import Normalizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
"""Types of a piece, by their numbers in sentencepiece_model.proto."""
UNIGRAM, BPE = 1, 2
"""Types of a model, likewise."""
SPACE = "\u2581"


class Piece(Protocol):
    """One entry of the vocabulary."""

    piece: str
    score: float
    type: int


class TrainerSpec(Protocol):
    """How the model was trained."""

    model_type: int
    unk_id: int
    bos_id: int
    eos_id: int
    byte_fallback: bool


class NormalizerSpec(Protocol):
    """How text is normalized before it is split."""

    precompiled_charsmap: bytes
    remove_extra_whitespaces: bool
    add_dummy_prefix: bool


class ModelProto(Protocol):
    """What is used of sentencepiece's ``ModelProto``."""

    pieces: Sequence[Piece]
    trainer_spec: TrainerSpec
    normalizer_spec: NormalizerSpec


@dataclass(frozen=True)
class Pieces:
    """A tokenizer, and the pieces with a special role in the model."""

    tokenizer: Tokenizer
    unknown: str | None
    begin: str | None
    end: str | None


def read_sentencepiece(file: Path, commands: Sequence[str] = (), turns: Sequence[str] = ()) -> Pieces:
    """Return the tokenizer in ``file``.

    Args:
        file: a ``tokenizer.model``.
        commands: special tokens, numbered after the pieces in this order.
        turns: pieces to make special tokens, if the model has them.

    Raises:
        MftError: it is not a sentencepiece model.
    """
    from tokenizers import AddedToken

    model = _read(file)
    vocabulary = {piece.piece: number for number, piece in enumerate(model.pieces)}
    special = [piece.piece for piece in model.pieces if piece.type in (UNKNOWN, CONTROL)]
    special += [piece for piece in turns if piece in vocabulary]
    for command in commands:
        vocabulary[command] = len(vocabulary)
    tokenizer = _build(model, vocabulary)
    tokenizer.add_special_tokens(
        # Only as a single word: "sop" and "eop" are also parts of words.
        [AddedToken(token, normalized=False, single_word=token.isalpha()) for token in (*special, *commands)]
    )
    defined = [
        piece.piece for piece in model.pieces if piece.type == USER_DEFINED and SPACE not in piece.piece
    ]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in defined if token not in special])
    spec = model.trainer_spec
    return Pieces(
        tokenizer, _piece(model, spec.unk_id), _piece(model, spec.bos_id), _piece(model, spec.eos_id)
    )


def _read(file: Path) -> ModelProto:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from transformers.convert_slow_tokenizer import import_protobuf

    model = import_protobuf().ModelProto()  # type: ignore[no-untyped-call]
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise mftkit.MftError(
            f"the tokenizer {file} cannot be read: it is not a sentencepiece model"
        ) from error
    if not model.pieces:
        raise mftkit.MftError(f"the tokenizer {file} cannot be read: it has no pieces")
    if model.trainer_spec.model_type not in (UNIGRAM, BPE):
        raise mftkit.MftError(f"the tokenizer {file} cannot be read: it is neither BPE nor unigram")
    found: ModelProto = model
    return found


def _build(model: ModelProto, vocabulary: dict[str, int]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers

    spec, normal = model.trainer_spec, model.normalizer_spec
    unknown = _piece(model, spec.unk_id)
    if spec.model_type == UNIGRAM:
        scores = [(piece.piece, piece.score) for piece in model.pieces]
        scores += [(token, 0.0) for token in list(vocabulary)[len(scores) :]]
        tokenizer = Tokenizer(models.Unigram(scores, spec.unk_id, spec.byte_fallback))
    else:
        bpe = models.BPE(
            vocabulary,
            _merges(model, vocabulary),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=spec.byte_fallback,
        )
        tokenizer = Tokenizer(bpe)
    steps: list[Normalizer] = []
    if normal.precompiled_charsmap:
        steps.append(normalizers.Precompiled(normal.precompiled_charsmap))
    if normal.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if normal.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    decoding: list[Decoder] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if normal.add_dummy_prefix:
        decoding.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(decoding)
    return tokenizer


def _merges(model: ModelProto, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Return merges in the order of the scores of their results, among pieces that text may become."""
    from transformers.convert_slow_tokenizer import generate_merges

    scores = [(piece.piece, piece.score) for piece in model.pieces]
    texts = {piece.piece for piece in model.pieces if piece.type == NORMAL}
    texts |= {piece.piece for piece in model.pieces if piece.type == USER_DEFINED and SPACE in piece.piece}
    merges: list[tuple[str, str]] = generate_merges(vocabulary, scores, vocabulary.keys() - texts)
    return merges


def _piece(model: ModelProto, number: int) -> str | None:
    return str(model.pieces[number].piece) if 0 <= number < len(model.pieces) else None
