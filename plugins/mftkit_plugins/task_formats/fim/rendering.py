"""The order of prefix, suffix and middle in a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import mftkit

if TYPE_CHECKING:
    from mftkit_plugins.task_formats.fim.sentinels import Sentinels


class Parts(NamedTuple):
    """A text in three parts."""

    prefix: str
    middle: str
    suffix: str


def prompt(
    prefix: str, suffix: str, sentinels: Sentinels, *, spm: bool, in_loss: Literal["none", "all"] = "none"
) -> list[mftkit.Segment]:
    """Return what stands before the middle; each part is encoded alone, as in use.

    PSM is <prefix> prefix <suffix> suffix <middle>. SPM is the paper's second variant, in which the middle continues
    the prefix without a token between them: <prefix> <suffix> suffix <middle> prefix. A family that puts the suffix
    first has one order: <suffix> suffix <prefix> prefix <middle>.
    """
    before = mftkit.Piece(f" {prefix}" if sentinels.spaced and prefix else prefix, content=True)
    after = mftkit.Piece(suffix, content=True)
    mark_prefix, mark_suffix, mark_middle = (
        mftkit.Piece(text, content=False) for text in (sentinels.prefix, sentinels.suffix, sentinels.middle)
    )
    if sentinels.suffix_first:
        pieces = [mark_suffix, after, mark_prefix, before, mark_middle]
    elif spm:
        pieces = [mark_prefix, mark_suffix, after, mark_middle, before]
    else:
        pieces = [mark_prefix, before, mark_suffix, after, mark_middle]
    return [segment(piece, in_loss) for piece in pieces if piece.text]


def segment(piece: mftkit.Piece, in_loss: Literal["none", "all"]) -> mftkit.Segment:
    """Return a segment; a part of a text has no space before it that is not in the text."""
    return mftkit.Segment((piece,), in_loss, inside=piece.content)


def render(
    parts: Parts, sentinels: Sentinels, end: str, *, spm: bool, whole_in_loss: bool
) -> mftkit.FormattedSample:
    """Return a sample; its middle and ``end`` are in the loss, with ``whole_in_loss`` the rest, too."""
    in_loss: Literal["none", "all"] = "all" if whole_in_loss else "none"
    before = prompt(parts.prefix, parts.suffix, sentinels, spm=spm, in_loss=in_loss)
    middle = segment(mftkit.Piece(parts.middle, content=True), "all")
    stop = segment(mftkit.Piece(end, content=False), "all")
    segments = (*before, *([middle] if parts.middle else []), stop)
    return mftkit.FormattedSample(segments, adds_start=True, stops=(("middle", end),))
