"""Options in a spec are as strict as the spec, and no stricter."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

import mftkit
from mftkit.plugins.option_strictness import loosely_typed


class Color(Enum):
    """An enumeration."""

    RED = "red"


class Inner(mftkit.Options):
    """Options inside options."""

    count: int = 1


class Options(mftkit.Options):
    """One option of each type."""

    whole: int = 1
    number: float = 1.0
    yes: bool = True
    maybe: int | None = None
    either: int | str = 1
    several: tuple[int, ...] = ()
    unique: frozenset[str] = frozenset()
    path: mftkit.SpecPath | None = None
    color: Color = Color.RED
    inner: Inner = Inner()
    limit: float = float("inf")
    lax: Annotated[int, Field(strict=False)] = 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"whole": "5"}, "valid integer"),
        ({"whole": 2.0}, "valid integer"),
        ({"whole": True}, "valid integer"),
        ({"number": "0.5"}, "valid number"),
        ({"number": False}, "valid number"),
        ({"yes": "true"}, "valid boolean"),
        ({"yes": 1}, "valid boolean"),
        ({"maybe": "5"}, "valid integer"),
        ({"several": [1, "2"]}, "valid integer"),
        ({"inner": {"count": "1"}}, "valid integer"),
    ],
)
def test_values_of_another_type_are_refused(given: dict[str, Any], message: str) -> None:
    Options.model_validate(given)  # a lax reading takes them
    error = loosely_typed(Options, given, {})
    assert error is not None
    [details] = error.errors()
    assert message in details["msg"]
    assert details["loc"][0] == next(iter(given))


@pytest.mark.parametrize(
    "given",
    [
        {"number": 1},
        {"either": "5"},
        {"several": [1, 2]},
        {"several": (1, 2)},
        {"unique": ["a"]},
        {"path": "x"},
        {"path": Path("x")},
        {"color": "red"},
        {"limit": "Infinity"},
        {"lax": "5"},
    ],
)
def test_what_json_has_no_type_for_is_accepted(given: dict[str, Any]) -> None:
    assert loosely_typed(Options, given, {}) is None


def test_a_model_with_its_own_configuration_reads_as_it_says() -> None:
    class Lax(mftkit.Options):
        model_config = ConfigDict(strict=False)
        count: int = 1

    class Text(mftkit.Options):
        model_config = ConfigDict(coerce_numbers_to_str=True, extra="ignore")
        text: str = ""

    class Plain(BaseModel):
        count: int = 1

    assert loosely_typed(Lax, {"count": "5"}, {}) is None
    assert loosely_typed(Text, {"text": 5, "more": 1}, {}) is None
    assert loosely_typed(Plain, {"count": "5"}, {}) is not None
