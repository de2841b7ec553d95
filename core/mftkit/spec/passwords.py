"""Refuses URLs with a password in a spec: the spec is written to the run directory, and shown in pages and cards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mftkit.spec.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.spec.positions import Location

_WITH_PASSWORD = re.compile(r"[A-Za-z][\w+.-]*://[^\s/?#]*:[^\s]*@\S*")
"""A text that is nothing but a URL with a user and a password."""


def password_problems(value: object, at: Location = ()) -> Iterator[Problem]:
    """Yield a problem for each text in a spec that is a URL with a password."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from password_problems(inner, (*at, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from password_problems(inner, (*at, index))
    elif isinstance(value, str) and _WITH_PASSWORD.fullmatch(value):
        what = (
            "contains a password, which would be written to files; leave it out, and set it in the environment or a "
            "file of the library that reads it, such as .netrc"
        )
        yield Problem(at, what, shows_given=False)
