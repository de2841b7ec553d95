"""How options read in ``mft plugins show``."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

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
        "needed": ["whole number, >= 1", "(required)", "How many, rows."],
        "rate": ["number, or null, > 0, <= 1", "null", ""],
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
    ],
)
def test_type_names(annotation: Any, name: str) -> None:
    assert type_name(annotation) == name
