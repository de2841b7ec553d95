"""Errors in a spec: each with the path of its key, the given value and what is allowed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from mftkit.base.credentials import HIDDEN, names_secret
from mftkit.base.formatting import shortened
from mftkit.spec.keys import allowed_keys
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from mftkit.spec.positions import Location, Positions

LONGEST = 80
"""Characters of a given value that are shown."""
YAML_BOOLEANS = ("yes", "no", "on", "off", "y", "n")
"""Booleans of YAML 1.1, which are text in YAML 1.2."""
_PASSWORD, _QUERY = (
    re.compile(r"(?<=://)(?:[^\"\\]|\\.)*(?=@)"),
    re.compile(r"(://[^\"?]*\?)(?:[^\"\\]|\\.)*"),
)


@dataclass(frozen=True)
class Problem:
    """One error in a spec."""

    location: Location
    what: str
    given: object = None
    shows_given: bool = True
    hint: str = ""
    """What is allowed or was probably meant; starts with a semicolon unless it is empty."""

    @property
    def text(self) -> str:
        """What is wrong, without the key."""
        given = f" (given: {self._shown()})" if self.shows_given else ""
        return f"{self.what}{given}{self.hint}"

    def _shown(self) -> str:
        secret = isinstance(self.given, str) and any(names_secret(str(key)) for key in self.location[-1:])
        return HIDDEN if secret else shown(self.given)

    def __str__(self) -> str:
        where = ".".join(map(str, self.location)) or "the spec"
        return f"{where}: {self.text}"


class SpecError(MftError):
    """An invalid spec; ``problems`` lists all errors, and ``positions`` says where their keys were given."""

    def __init__(self, positions: Positions, problems: Iterable[Problem]) -> None:
        self.positions = positions
        self.problems = tuple(problems)
        places = [positions.place(problem.location) for problem in self.problems]
        lines = [f"{place}: {problem}" for place, problem in zip(places, self.problems, strict=True)]
        if len(lines) > 1:
            without = f"{positions.source}: "  # a spec without lines is named once
            lines = [f"{without}{len(lines)} errors:", *(line.removeprefix(without) for line in lines)]
        super().__init__("\n  ".join(lines))


def refuse(problems: Iterable[Problem]) -> NoReturn:
    """Raise problems inside a Pydantic validator, which puts the path of the key before their locations."""
    raise ValidationError.from_exception_data("spec", [_details(problem) for problem in problems])


def refuse_one(
    what: str, given: object, *, at: Location = (), hint: str = "", shows_given: bool = True
) -> NoReturn:
    """``refuse`` for one problem."""
    refuse([Problem(at, what, given, shows_given, hint)])


def one_of(allowed: Iterable[str], given: object) -> str:
    """Return a hint that lists what is allowed and suggests the value most similar to the given one.

    >>> one_of(["cosine", "linear"], "cosin")
    '; allowed: "cosine", "linear"; did you mean "cosine"?'
    """
    names = list(allowed)
    close = nearest(given, names) if isinstance(given, str) else ()
    meant = f'; did you mean "{close[0]}"?' if close else ""
    return f"; allowed: {', '.join(json.dumps(name) for name in names)}{meant}"


def problems_of(error: ValidationError, data: object, model: type[BaseModel]) -> list[Problem]:
    """Return the problems that Pydantic found in ``data``; branches of a union become one problem."""
    found: dict[Location, Problem] = {}
    for details in error.errors(include_url=False):
        problem = _problem(details, data, model)
        earlier = found.get(problem.location)
        if earlier is not None and problem.what not in earlier.what:
            what = (
                f"{earlier.what}, or {problem.what}"
                if _is_union(details)
                else f"{earlier.what}; {problem.what}"
            )
            problem = Problem(
                problem.location, what, problem.given, problem.shows_given, earlier.hint + problem.hint
            )
        elif earlier is not None:
            continue
        found[problem.location] = problem
    return list(found.values())


def shown(value: object) -> str:
    """Return a value as JSON, shortened to one line; of a URL that may hold a password only the host is shown."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return shortened(_QUERY.sub(rf"\1{HIDDEN}", _PASSWORD.sub(HIDDEN, text)), LONGEST)


def _details(problem: Problem) -> InitErrorDetails:
    # Half of a surrogate pair, as in the message of a plugin, is nothing that Pydantic can hold.
    what, hint = (text.encode("utf-8", "backslashreplace").decode() for text in (problem.what, problem.hint))
    context = {"what": what, "shows_given": problem.shows_given, "hint": hint}
    kind = PydanticCustomError("spec", "{what}", context)
    return InitErrorDetails(type=kind, loc=problem.location, input=problem.given)


def _is_union(details: ErrorDetails) -> bool:
    return bool(details["type"] != "spec")


def _problem(details: ErrorDetails, data: object, model: type[BaseModel]) -> Problem:
    location, given = details["loc"], details["input"]
    context = details.get("ctx", {})
    if details["type"] == "spec":
        return Problem(location, context["what"], given, context["shows_given"], context["hint"])
    if details["type"] == "missing":
        return Problem(_within(location[:-1], data) + location[-1:], "is missing", shows_given=False)
    location = _within(location, data)
    if details["type"] == "path_type":
        return Problem(location, "should be a path", given)
    if details["type"] == "extra_forbidden":
        keys = allowed_keys(model, location[:-1])
        hint = one_of(keys, str(location[-1])) if keys else "; no options are allowed here"
        return Problem(location, "unknown key", given, hint=hint)
    if details["type"] in ("literal_error", "enum"):
        allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return Problem(location, "is not an allowed value", given, hint=one_of(allowed, given))
    if details["type"] == "model_type":
        return Problem(location, "should be an object", given)
    if details["type"] in ("bool_type", "bool_parsing") and str(given).lower() in YAML_BOOLEANS:
        return Problem(location, "should be true or false", given)
    what = re.sub(r"^(Input|Value error,|Assertion failed,)\s*", "", details["msg"])
    return Problem(location, what[:1].lower() + what[1:], given)


def _within(location: Location, data: object) -> Location:
    """Return the part of a location that exists in the data: Pydantic also names the branch of a union."""
    kept: list[int | str] = []
    for part in location:
        match data:
            case list() | tuple() if isinstance(part, int) and part < len(data):
                data = data[part]
            case dict() if part in data:
                data = data[part]
            case _:
                continue
        kept.append(part)
    return tuple(kept)
