"""Edit distances between texts, bit-parallel: one operation on long integers per character.

No package of the dependencies has them, and difflib's ratio is another number: it is no distance, it depends on the
order of its arguments, and its "junk" heuristic ignores common characters of long texts.
"""

from __future__ import annotations

from collections import defaultdict


def levenshtein(one: str, other: str) -> int:
    """Return the least number of insertions, deletions and replacements of a character that make one text the other.

    Myers' algorithm as Hyyro has it ("A bit-vector algorithm for computing Levenshtein and Damerau edit distances",
    Nordic Journal of Computing 10, 2003, figure 2): bit i of ``up`` and ``down`` says that the table's column of
    distances rises or falls by 1 at row i.
    """
    if not one:
        return len(other)
    places, full, last = _places(one), (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, distance = full, 0, len(one)
    for character in other:
        here = places[character]
        diagonal = (((here & up) + up) ^ up) | here | down
        right_up = down | (full & ~(diagonal | up))
        right_down = diagonal & up
        distance += bool(right_up & last) - bool(right_down & last)
        right_up = (right_up << 1 | 1) & full
        right_down = (right_down << 1) & full
        up = right_down | (full & ~(diagonal | right_up))
        down = right_up & diagonal
    return distance


def common_subsequence(one: str, other: str) -> int:
    """Return the length of the longest common subsequence.

    Hyyro, "Bit-parallel LCS-length computation revisited", AWOCA 2004: zeros of ``left`` count the length.
    """
    places, full = _places(one), (1 << len(one)) - 1
    left = full
    for character in other:
        matched = left & places[character]
        left = ((left + matched) | (left - matched)) & full
    return len(one) - left.bit_count()


def _places(text: str) -> defaultdict[str, int]:
    """Return for each character the bits of its places in the text."""
    places: defaultdict[str, int] = defaultdict(int)
    for place, character in enumerate(text):
        places[character] |= 1 << place
    return places
