"""Keys, tokens and passwords: what is known or looks like one is hidden before a text is cut, shown or written."""

from __future__ import annotations

import base64
import os
import re
import string
from functools import lru_cache
from urllib.parse import quote

HIDDEN = "(hidden)"
"""Stands in place of what looks like a secret."""
KEY = "[key]"
"""Stands in place of a secret that is known."""
SHORTEST, LONG = 4, 8
"""Characters of the shortest secret that is hidden in messages, and of the shortest that is hidden in data too."""
_BEGINNING = 12
"""Characters of a secret that are enough to recognize it where others have cut it."""
_LONGEST_BEGINNING = 60
"""Characters of a secret that others have cut that are compared; what follows without a space is hidden too."""
_SECRET_NAME = re.compile(
    r"(?i)(?:^|[_-])(?:api[_-]?key|key|(?<!bos_)(?<!eos_)(?<!pad_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)token|secret|password"
    r"|passwd|pwd|credentials?|authorization|cookie)$"
)
_ADDRESS = re.compile(
    r"(?<=://)(?:[^/?#@\s\"'<>]{1,300}|[^/?#@\s\"'<>]{0,300}:(?!\d{1,5}(?:[/?#]|$))[^\s\"'<>]{0,300})@"
)
"""User and password of a URL, also a password with characters that should be encoded. All repeats have a limit: texts
from elsewhere may be long."""
_QUERY = re.compile(
    r"(?i)(?<=[?&])([\w.-]{0,80}(?:key|token|secret|password|passwd|pwd|signature|sig|credential)=)[^&#\s\"'<>]+"
)
_HEADER = re.compile(
    r"(?i)\b((?:proxy-)?authorization|x-api-key|api-key)(\\?[\"']?\s{0,20}[:=]\s{0,20}\\?[\"']?)"
    r"(?:(?:bearer|basic|token)\s{1,20})?[^\s\"',}\\]+"
)
_TOKENS = re.compile(r"\b(?:hf_[A-Za-z0-9]{10,}|(?:sk|ghp|github_pat|glpat|xox[abp])[_-][A-Za-z0-9_-]{8,})")
"""Access tokens by their first letters, wherever they stand."""

_BASE64 = string.ascii_letters + string.digits + "+/-_"

_known: set[str] = set()


def keep_secret(secret: str) -> None:
    """Hide ``secret``, such as a key that a component read, in everything that is shown or written from now on."""
    _known.update(part for part in (secret.strip(), *secret.split()) if _is_secret(part))


def names_secret(name: str) -> bool:
    """Whether a key of this name holds a secret.

    >>> names_secret("api_key"), names_secret("HF_TOKEN"), names_secret("max_new_tokens"), names_secret("eos_token")
    (True, True, False, False)
    """
    return _SECRET_NAME.search(name) is not None


def _is_secret(text: str) -> bool:
    """Whether it may be a real key: a private server may be given a word such as "none" or "EMPTY"."""
    return len(text) >= LONG or (len(text) >= SHORTEST and not text.isalpha())


def without_secrets(text: str) -> str:
    """A text for people: without known secrets, passwords in URLs, headers with keys, and access tokens.

    >>> without_secrets("http://me:pass@host/v1?api_key=abc and Authorization: Bearer abc")
    'http://(hidden)@host/v1?api_key=(hidden) and Authorization: (hidden)'
    """
    text = _without(text, SHORTEST)
    if "://" in text:
        text = _QUERY.sub(rf"\1{HIDDEN}", _ADDRESS.sub(f"{HIDDEN}@", text))
    return _TOKENS.sub(HIDDEN, _HEADER.sub(rf"\1\2{HIDDEN}", text))


def without_known_secrets(text: str) -> str:
    """Data, exact but for known secrets: those of the environment, and those that components keep."""
    return _without(text, LONG)


def _without(text: str, shortest: int) -> str:
    if len(text) < shortest:  # most cells of a table
        return text
    for secret in sorted(_known | _of_environment(), key=len, reverse=True):
        if len(secret) >= shortest:
            text = _without_base64(_pattern(secret).sub(KEY, text), secret)
    return text


def _of_environment() -> set[str]:
    """Values of variables whose names say that they hold a secret, unless they could be plain words."""
    return {
        part
        for name in _naming_secrets(tuple(os.environ))
        for value in (os.environ.get(name, ""),)
        for part in (value.strip(), *value.split())
        if len(part) >= LONG and re.search(r"\d|[a-z][A-Z]|[^\W\d]{20}", part)
    }


@lru_cache(maxsize=16)
def _naming_secrets(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(names_secret, names))


@lru_cache(maxsize=256)
def _pattern(secret: str) -> re.Pattern[str]:
    """Matches a secret as it is, escaped as in URLs, JSON, Python or HTML, broken into lines, or cut."""
    gap = r"(?:\s|\\[nrt])*"
    characters = [_character(c) for c in secret if not c.isspace()]
    forms = [gap.join(characters)]
    if len(secret) >= 2 * _BEGINNING:
        rest = ""
        for character in reversed(characters[_BEGINNING:_LONGEST_BEGINNING]):
            rest = f"(?:{gap}{character}{rest})?"
        forms.append(gap.join(characters[:_BEGINNING]) + rest + r"[^\s\"'<>&]*")
    return re.compile("|".join(forms))


def _character(c: str) -> str:
    """Matches one character in each way in which it may be escaped."""
    import html  # a start without such a secret has no use for its table of entities

    if c.isalnum() and c.isascii():
        return c
    code = ord(c)
    percent = "".join(f"%{byte:02x}" for byte in c.encode("utf-8", "surrogatepass"))
    forms = [
        re.escape(c),
        rf"\\{{1,8}}{re.escape(c)}",
        f"(?i:{percent})",
        f"(?i:{quote(percent, safe='')})",  # encoded twice
        rf"\\{{1,8}}(?i:u{code:04x}|x{code:02x})",
        rf"&\#(?:{code}|[xX]0*(?i:{code:x}));",
        "".join(rf"\\{{1,8}}(?i:x{byte:02x})" for byte in c.encode("utf-8", "surrogatepass")),
    ]
    if html.escape(c) != c:
        forms.append(re.escape(html.escape(c)))
    return f"(?:{'|'.join(forms)})"


def _without_base64(text: str, secret: str) -> str:
    """The text without base64 of which a secret is a part, as ``user:secret`` is in a header."""
    for core in _in_base64(secret) if len(secret) >= LONG else ():
        while core in text:
            before, _, after = text.partition(core)
            before = before.rstrip(_BASE64)
            text = f"{before}{KEY}{after.lstrip(_BASE64).removeprefix('=').removeprefix('=')}"
    return text


@lru_cache(maxsize=256)
def _in_base64(secret: str) -> frozenset[str]:
    """What base64 makes of the middle of a secret, wherever it begins within the encoded bytes."""
    found = set()
    for before in range(3):
        data = b"\0" * before + secret.encode("utf-8", "surrogatepass")
        first = -(-before * 8 // 6)  # the first character that no byte before the secret decides
        core = base64.b64encode(data).decode()[first : len(data) * 8 // 6]
        found |= {core, core.translate(str.maketrans("+/", "-_"))}
    return frozenset(found)
