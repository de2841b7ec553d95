"""The order of prefix, suffix and middle in a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import mftkit

if TYPE_CHECKING:
    from mftkit_plugins.task_formats.fim.sentinels import Sentinels


class Parts(NamedTuple):
    """A text in three parts."""

    prefix: str
    middle: str
    suffix: str


def prompt(prefix: str, suffix: str, sentinels: Sentinels, *, spm: bool) -> list[mftkit.Piece]:
    """Return what stands before the middle; each piece is encoded alone, as in use.

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
    return [piece for piece in pieces if piece.text]


def render(
    parts: Parts, sentinels: Sentinels, end: str, *, spm: bool, whole_in_loss: bool
) -> mftkit.FormattedSample:
    """Return a sample; its middle and ``end`` are in the loss, with ``whole_in_loss`` the rest, too."""
    pieces = prompt(parts.prefix, parts.suffix, sentinels, spm=spm)
    before = [mftkit.Segment((piece,), "all" if whole_in_loss else "none") for piece in pieces]
    middle = mftkit.Segment((mftkit.Piece(parts.middle, content=True),), "all")
    stop = mftkit.Segment((mftkit.Piece(end, content=False),), "all")
    segments = (*before, *([middle] if parts.middle else []), stop)
    return mftkit.FormattedSample(segments, adds_start=True, stops=(("middle", end),))
