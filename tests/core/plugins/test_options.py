"""How options read in ``mft plugins show``."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Gt, Interval, Len, MinLen
from pydantic import BaseModel, Field, StringConstraints

import mftkit
from mftkit.plugins.options import describe_options, type_name


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    depth: int = 1


class Options(mftkit.Options):
    needed: int = Field(ge=1)
    """How many, rows."""
    rate: float | None = Field(default=None, gt=0, le=1)
    where: mftkit.SpecPath = Field(default="here", validate_default=True)
    names: list[str] = Field(default_factory=list)
    mode: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED
    inner: Inner = Inner()


def test_rows() -> None:
    rows = {name: rest for name, *rest in describe_options(Options)}
    assert rows == {
        "needed": ["whole number, at least 1", "(required)", "How many, rows."],
        "rate": ["number, above 0, at most 1, or null", "null", ""],
        "where": ["path", '"here"', ""],
        "names": ["list of text", "[]", ""],
        "mode": ['"a" or "b"', '"a"', ""],
        "colour": ['"red" or "blue"', '"red"', ""],
        "inner": ["object", '{"depth": 1}', ""],
        "inner.depth": ["whole number", "1", ""],
    }


class NamesComponents(mftkit.Options):
    model: mftkit.ChatModelRef | None = None
    """Writes tests."""
    judges: list[mftkit.ChatModelRef] = Field(default_factory=list)
    isolation: mftkit.ExecutorRef = Field(default="auto", validate_default=True)


def test_an_option_that_names_a_component_shows_its_kind_and_not_the_fields_of_the_reference() -> None:
    reference = 'its name, or {"name": ..., "options": ...}'
    assert describe_options(NamesComponents) == [
        ("model", f"chat-model: {reference}, or null", "null", "Writes tests."),
        ("judges", f"list of chat-model: {reference}", "[]", ""),
        ("isolation", f"executor: {reference}", '"auto"', ""),
    ]


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (dict[str, list[int]], "object of text to list of whole number"),
        (bool | int, "true or false, or whole number"),
        (tuple[str, ...], "list of text"),
        (dict, "object"),
        (
            Annotated[int, Field(ge=1, lt=10, multiple_of=2)],
            "whole number, at least 1, below 10, a multiple of 2",
        ),
        (Annotated[float, Interval(gt=0, le=0.5)] | None, "number, above 0, at most 0.5, or null"),
        (
            Annotated[list[Annotated[float, Gt(0)]], Len(1, 3)],
            "list of (number, above 0), at least 1 item, at most 3 items",
        ),
        (
            dict[Annotated[str, Field(min_length=2)], int],
            "object of (text, at least 2 characters) to whole number",
        ),
        (Annotated[dict[str, int], MinLen(1)], "object of text to whole number, at least 1 key"),
        (
            Annotated[str | None, Field(min_length=1, pattern="^[a-z]+$")],
            "text, at least 1 character, matching ^[a-z]+$, or null",
        ),
        (
            Annotated[str, StringConstraints(max_length=9, pattern="a|b")],
            "text, at most 9 characters, matching a|b",
        ),
        (list[Annotated[int, Field(ge=0)] | str], "list of whole number, at least 0, or text"),
        (Annotated[Decimal, Field(gt=0, max_digits=4)], "Decimal, above 0, at most 4 digits"),
    ],
)
def test_type_names(annotation: Any, name: str) -> None:
    assert type_name(annotation) == name
