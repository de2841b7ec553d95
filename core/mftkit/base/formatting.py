"""Formatting of numbers, paths and text from elsewhere."""

from __future__ import annotations

import json
import math
import os
import unicodedata
from pathlib import Path

from mftkit.base.credentials import without_secrets


def whole(number: float) -> str:
    """A count.

    >>> whole(1234567)
    '1,234,567'
    """
    return f"{number:,.0f}"


def share(part: float) -> str:
    """A share, 0..1, in percent.

    >>> share(0.0304)
    '3.0%'
    """
    return f"{part:.1%}"


def number(value: float | None, pattern: str) -> str:
    """A number by a format specification, or a dash where there is none.

    >>> number(0.25, ".1f"), number(None, ".1f")
    ('0.2', '-')
    """
    return "-" if value is None else format(value, pattern)


def nats(loss: float | None) -> str:
    """A loss, or a dash where there is none.

    >>> nats(2.31), nats(None)
    ('2.3100', '-')
    """
    return "-" if loss is None else f"{loss:.4f}"


def perplexity(loss: float | None) -> str:
    """Perplexity of a loss in nats per token.

    >>> perplexity(2.0), perplexity(12.0), perplexity(1000.0)
    ('7.39', '1.63e+05', 'inf')
    """
    if loss is None:
        return "-"
    value = math.exp(loss) if loss < 700 else math.inf
    return f"{value:,.2f}" if value < 100_000 else f"{value:.2e}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(3725.6), duration(90_000)
    ('1:02:05', '25:00:00')
    """
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"


def size(number_of_bytes: float) -> str:
    """An amount of memory.

    >>> size(3_500_000_000), size(250_000_000), size(0)
    ('3.3 GiB', '238 MiB', '0 MiB')
    """
    mebibytes = number_of_bytes / 2**20
    return f"{mebibytes / 1024:.1f} GiB" if mebibytes >= 1000 else f"{mebibytes:.0f} MiB"


def place(path: Path) -> str:
    """A normalized path, relative if it is below the current directory.

    >>> place(Path.cwd() / "examples" / ".." / "runs" / "x") == str(Path("runs/x"))
    True
    """
    straight = Path(os.path.normpath(path.absolute()))
    return str(straight.relative_to(Path.cwd()) if straight.is_relative_to(Path.cwd()) else straight)


def row_place(text: str) -> str:
    """``PATH:LINE`` with the path as ``place`` shows it; the name of a data set stays.

    >>> row_place(f"{Path.cwd()}/data/a.jsonl:7"), row_place("org/name[train]:7")
    ('data/a.jsonl:7', 'org/name[train]:7')
    """
    name, colon, line = text.rpartition(":")
    return f"{place(Path(name))}{colon}{line}" if Path(name).is_absolute() else text


def shortened(text: str, longest: int) -> str:
    """A text of at most ``longest`` characters without secrets, which are hidden before it is cut.

    >>> shortened("a long message", 10)
    'a long ...'
    """
    text = without_secrets(text)
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."


def one_line(text: str) -> str:
    r"""Text from elsewhere as one line without secrets and control characters, which could change the terminal.

    >>> one_line("two\nlines and \x1b[31mred")
    'two lines and \\x1b[31mred'
    """
    line = " ".join(without_secrets(text).split("\n"))
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def escaped(text: str) -> str:
    r"""Text from elsewhere without secrets and with control characters escaped; line breaks stay.

    >>> print(escaped("two\nlines and \x1b[31mred"))
    two
    lines and \x1b[31mred
    """
    return "\n".join(map(one_line, without_secrets(text).split("\n")))


def escaped_json(text: str) -> str:
    r"""JSON without secrets and with control characters as ``\uXXXX``, also those that JSON allows as they are.

    >>> print(escaped_json('{"a": "\x9b\u202e"}'))
    {"a": "\u009b\u202e"}
    """
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in without_secrets(text))


_BIDI_CONTROLS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def without_control(text: str) -> str:
    r"""A model's text, exact but for characters that could change a terminal or the order of what it shows: escaped.

    Line breaks and tabs stay, and so do joiners and spaces of any kind.

    >>> without_control("a\tb\n\x1b[31m\r\u202e\ud800")
    'a\tb\n\\x1b[31m\\r\\u202e\\ud800'
    """
    return "".join(repr(c)[1:-1] if _is_control(c) else c for c in text)


def _is_control(c: str) -> bool:
    if c in "\n\t":
        return False
    return unicodedata.category(c) in ("Cc", "Cs") or unicodedata.bidirectional(c) in _BIDI_CONTROLS


SYMBOLS = {"\n": "⏎", "\t": "⇥"}
"""How white space is made visible."""
SPACE = "␣"
"""A space that nobody would see."""
_RESERVED = frozenset("⏎⇥␣⟦⟧")


def visible(text: str) -> str:
    r"""Text from elsewhere with line breaks as ⏎, tabs as ⇥, and control characters escaped.

    These symbols and the brackets ⟦ ⟧, which mark parts of a text, are escaped if they stand in the text itself.

    >>> visible("two\nlines\tand \x1b[31mred"), visible("a ⏎")
    ('two⏎lines⇥and \\x1b[31mred', 'a \\u23ce')
    """
    return "".join(map(visible_character, text))


def visible_character(c: str) -> str:
    """One character, see ``visible``."""
    if c in SYMBOLS:
        return SYMBOLS[c]
    if c in _RESERVED:
        return f"\\u{ord(c):04x}"
    return c if c.isprintable() else repr(c)[1:-1]
