"""How models are merged: a method and its numbers, from an option or from Python."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto
from typing import TYPE_CHECKING

from mftkit.spec.reading import parse_json
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mftkit.base.json_types import JsonObject


class MergeMethod(StrEnum):
    """How task vectors become one."""

    ARITHMETIC = auto()
    """Their sum times a weight; with the default weight, the average of the models."""
    TIES = auto()
    """Trimmed, and averaged where signs agree."""
    DARE = auto()
    """Their sum times a weight, after values were dropped at random and the others scaled up."""


_DENSITY = {MergeMethod.TIES: 0.2, MergeMethod.DARE: 0.1}
"""Shares that the papers use: TIES keeps the top 20 %, DARE drops 90 %."""
_KEYS = ("method", "weight", "density")


@dataclass(frozen=True)
class MergeOptions:
    """A method with its numbers."""

    method: MergeMethod = MergeMethod.ARITHMETIC
    weight: float | None = None
    """Factor of the merged task vector; None: 1 for ties, else 1 / number of models."""
    density: float | None = None
    """Share of a task vector's values that are kept; None: 0.2 for ties, 0.1 for dare."""

    def __post_init__(self) -> None:
        if self.density is not None and self.method not in _DENSITY:
            raise MftError(f"merge method {self.method}: has no density; it keeps all values")
        if self.density is not None and not 0 < self.density <= 1:
            raise MftError(f"merge method {self.method}: density: should be above 0 and at most 1")
        if self.weight is not None and not abs(self.weight) < float("inf"):
            raise MftError(f"merge method {self.method}: weight: should be a finite number")

    @property
    def kept(self) -> float:
        """The share of a task vector's values that are kept, 0..1."""
        return self.density or _DENSITY.get(self.method, 1.0)

    def factor(self, models: int) -> float:
        """The factor of the merged task vector of so many models."""
        if self.weight is not None:
            return self.weight
        return 1.0 if self.method is MergeMethod.TIES else 1 / models

    @property
    def is_average(self) -> bool:
        """Whether the result is the average of the models, for which their start is not needed."""
        return self.method is MergeMethod.ARITHMETIC and self.weight is None

    def to_json(self) -> JsonObject:
        """As in a spec of ``from_json``, without defaults."""
        given = {"method": str(self.method), "weight": self.weight, "density": self.density}
        return {key: value for key, value in given.items() if value is not None}

    @classmethod
    def from_json(cls, given: JsonObject, source: str) -> MergeOptions:
        """Read ``{"method": "ties", "density": 0.2}``. Raises MftError, which names ``source``."""
        for key in given:
            if key not in _KEYS:
                near = nearest(key, _KEYS)
                hint = f"; did you mean {near[0]}?" if near else f"; expected {', '.join(_KEYS)}"
                raise MftError(f"{source}: a merge has no key {key!r}{hint}")
        name, allowed = str(given.get("method", MergeMethod.ARITHMETIC)), [each.value for each in MergeMethod]
        if name not in allowed:
            near = nearest(name, allowed)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise MftError(f"{source}: merge method {name}: expected {', '.join(allowed)}{hint}")
        numbers = {key: given.get(key) for key in _KEYS[1:]}
        for key, value in numbers.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise MftError(f"{source}: {key}: should be a number (given: {value!r})")
        try:
            return cls(MergeMethod(name), **{k: v if v is None else float(v) for k, v in numbers.items()})
        except MftError as error:
            raise MftError(f"{source}: {error}") from error


def parse_merges(values: Iterable[str], option: str) -> tuple[MergeOptions, ...]:
    """Merges from the command line: methods separated by commas, or one as a JSON object.

    >>> [each.to_json() for each in parse_merges(["arithmetic,dare", '{"method": "ties", "density": 0.5}'], "--merged")]
    [{'method': 'arithmetic'}, {'method': 'dare'}, {'method': 'ties', 'density': 0.5}]
    """
    found = []
    for value in values:
        if not value.lstrip().startswith("{"):
            words = [word.strip() for word in value.split(",") if word.strip()]
            found += [MergeOptions.from_json({"method": word}, f"{option} {value}") for word in words]
            continue
        try:
            given = parse_json(value)
        except ValueError as error:
            raise MftError(f"{option} {value}: not JSON: {error}") from error
        found.append(MergeOptions.from_json(given, f"{option} {value}"))
    return tuple(dict.fromkeys(found))
