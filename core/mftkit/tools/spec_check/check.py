"""Checks a spec: its content, and everything that it names, all at once."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mftkit.spec import SpecError
from mftkit.spec.loading import read_source
from mftkit.tools.spec_check.components import check_components, check_validation
from mftkit.tools.spec_check.data import check_data
from mftkit.tools.spec_check.evaluated_data import check_evaluated_data
from mftkit.tools.spec_check.findings import Finding, Findings
from mftkit.tools.spec_check.model import check_model
from mftkit.tools.spec_check.output import check_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Problem, Spec
    from mftkit.spec.loading import SpecSource
    from mftkit.spec.positions import Location, Positions

ATTEMPTS = 5
"""Times that what is not valid is left out of a spec: leaving out one thing may make another wrong."""
CHECKS = (check_model, check_data, check_evaluated_data, check_components, check_validation, check_output)


@dataclass(frozen=True)
class CheckedSpec:
    """What the check of a spec has found."""

    spec: Spec | None
    """The spec; None if its content is not valid."""
    positions: Positions
    errors: tuple[Finding, ...]
    """What would end a run; those in the spec's content first."""
    warnings: tuple[Finding, ...]
    not_checked: tuple[Finding, ...]

    def dump(self) -> JsonObject:
        """The findings as JSON."""
        return {
            "spec": self.positions.source,
            **{
                name: [
                    {
                        "line": self.positions.line(finding.location),
                        "key": finding.key,
                        "message": finding.text,
                    }
                    for finding in found
                ]
                for name, found in (
                    ("errors", self.errors),
                    ("warnings", self.warnings),
                    ("not_checked", self.not_checked),
                )
            },
        }


def check_spec(source: str | Path | Mapping[str, object], overrides: Iterable[str] = ()) -> CheckedSpec:
    """Check a spec and what it names: model directory, tokenizer, data, components, output directory.

    No weights are read, nothing is written, and nothing is asked for over a network. If the content of the spec is not
    valid, what it names is checked as far as the rest of it is.

    Raises:
        MftError: the file cannot be read.
    """
    written = read_source(source, overrides)
    findings = Findings()
    dropped: list[Location] = []
    spec: Spec | None = None
    rest: Spec | None
    try:
        spec = rest = written.validated()
    except SpecError as error:
        for problem in error.problems:
            findings.found[Finding("error", problem.location, problem.text)] = None
        rest, dropped = _rest(written, error.problems)
    if rest is not None:
        _check(rest, findings, without=dropped)
    return CheckedSpec(
        spec, written.positions, findings.of("error"), findings.of("warning"), findings.of("not checked")
    )


def _check(spec: Spec, findings: Findings, without: list[Location]) -> None:
    """Run all checks; what they find at places ``without`` is about a part that was left out of the spec."""
    own = Findings()
    for check in CHECKS:
        check(spec, own)
    for finding in own.found:
        if not any(part and finding.location[: len(part)] == part for part in without):
            findings.found[finding] = None


def _rest(written: SpecSource, problems: Iterable[Problem]) -> tuple[Spec | None, list[Location]]:
    """The spec without what has problems, and what was left out; None if what is left is not valid either."""
    data, dropped = copy.deepcopy(written.data), []
    for _ in range(ATTEMPTS):
        dropped += [_drop(data, problem.location) for problem in problems]
        try:
            return replace(written, data=data).validated(), dropped
        except SpecError as error:
            problems = error.problems
    return None, dropped


def _drop(data: JsonObject, location: Location) -> Location:
    """Remove the key at a place, or the innermost key around it that is there; returns what was removed.

    A task is replaced by one without data, so that the others keep their indices.
    """
    for length in range(len(location), 0, -1):
        parent, key = _at(data, location[: length - 1]), location[length - 1]
        if isinstance(parent, dict) and key in parent:
            del parent[key]
            return location[:length]
        if isinstance(parent, list) and location[: length - 1] == ("tasks",) and isinstance(key, int):
            parent[key] = {"name": f"left out {key}", "train": "left-out"}
            return location[:length]
    return ()


def _at(data: JsonObject, location: Location) -> object:
    """The value at a place; None if there is none."""
    node: Any = data
    for part in location:
        if isinstance(node, dict):
            node = node.get(part)
        else:
            node = (
                node[part] if isinstance(node, list) and isinstance(part, int) and part < len(node) else None
            )
    return node
