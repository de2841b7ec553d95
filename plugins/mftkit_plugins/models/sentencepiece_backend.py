"""A fast tokenizer of a sentencepiece model, read from its protobuf.

transformers' own converter (``SpmConverter``) sets up Llama's white space and orders merges by id; these
families differ in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
"""Types of a piece, as sentencepiece_model.proto numbers them."""
SPACE = "\u2581"


@dataclass(frozen=True)
class Pieces:
    """A tokenizer, and the pieces that the model itself has a use for."""

    tokenizer: Tokenizer
    unknown: str | None
    begin: str | None
    end: str | None


def read_sentencepiece(file: Path, commands: Sequence[str] = (), turns: Sequence[str] = ()) -> Pieces:
    """The tokenizer in ``file``.

    Args:
        file: a ``tokenizer.model``.
        commands: special tokens that are numbered after the pieces, in this order.
        turns: pieces that are special tokens, where the model has them.

    Raises:
        MftError: it is no sentencepiece model.
    """
    from tokenizers import AddedToken

    model = _read(file)
    vocabulary = {piece.piece: number for number, piece in enumerate(model.pieces)}
    special = [piece.piece for piece in model.pieces if piece.type in (UNKNOWN, CONTROL)]
    special += [piece for piece in turns if piece in vocabulary]
    for command in commands:
        vocabulary[command] = len(vocabulary)
    tokenizer = _assembled(model, vocabulary)
    tokenizer.add_special_tokens(
        # "sop" and "eop" are also parts of words.
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


def _read(file: Path) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from transformers.convert_slow_tokenizer import import_protobuf

    model = import_protobuf().ModelProto()  # type: ignore[no-untyped-call]
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise mftkit.MftError(f"the tokenizer {file} cannot be read: it is no sentencepiece model") from error
    if not model.pieces:
        raise mftkit.MftError(f"the tokenizer {file} cannot be read: it has no pieces")
    if model.trainer_spec.model_type not in (1, 2):
        raise mftkit.MftError(f"the tokenizer {file} cannot be read: it is neither BPE nor unigram")
    return model


def _assembled(model: Any, vocabulary: dict[str, int]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers

    spec, normal = model.trainer_spec, model.normalizer_spec
    unknown = _piece(model, spec.unk_id)
    if spec.model_type == 1:
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
    steps: list[Any] = []
    if normal.precompiled_charsmap:
        steps.append(normalizers.Precompiled(normal.precompiled_charsmap))
    if normal.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(_spaces(), " ")]
    if normal.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    decoding: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if normal.add_dummy_prefix:
        decoding.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(decoding)
    return tokenizer


def _spaces() -> Any:
    from tokenizers import Regex

    return Regex(" {2,}")


def _merges(model: Any, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Merges in the order of the scores of what they make; of pieces only that text may become."""
    from transformers.convert_slow_tokenizer import generate_merges

    scores = [(piece.piece, piece.score) for piece in model.pieces]
    texts = {piece.piece for piece in model.pieces if piece.type == NORMAL}
    texts |= {piece.piece for piece in model.pieces if piece.type == USER_DEFINED and SPACE in piece.piece}
    merges: list[tuple[str, str]] = generate_merges(vocabulary, scores, vocabulary.keys() - texts)
    return merges


def _piece(model: Any, number: int) -> str | None:
    return str(model.pieces[number].piece) if 0 <= number < len(model.pieces) else None
