"""Names that become parts of file names."""

import re
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from mftkit.spec.problems import refuse_one

LONGEST_NAME = 100
"""Maximum length of a name in characters: it becomes part of file names."""


def name_for_files(value: object) -> str:
    """Check a name that is used in paths: no separators, no control characters, no spaces at its ends."""
    if not isinstance(value, str) or not value.strip():
        refuse_one("should be a string that is not blank", value)
    if value in (".", "..") or value != value.strip() or re.search(r"[/\\\x00-\x1f\x7f-\x9f]", value):
        refuse_one(
            "is used in file names, so it must not contain / or \\ or control characters, or begin or end with a space",
            value,
        )
    if len(value) > LONGEST_NAME:
        refuse_one(f"is used in file names, so it must have at most {LONGEST_NAME} characters", value)
    return value


Name = Annotated[str, PlainValidator(name_for_files), WithJsonSchema({"type": "string", "minLength": 1})]
