"""Runs a suite without pytest, for ``mft plugins check``."""

from __future__ import annotations

import inspect
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mftkit.testing.assertions import ConformanceError, ConformanceWarning
from mftkit_registry import MftError, MftWarning, import_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mftkit.interfaces.component import Component
    from mftkit.plugins.component_kind import ComponentKind
    from mftkit.testing.conformance import Conformance

CheckOutcome = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class CheckResult:
    """One row of the results table."""

    check: str
    outcome: CheckOutcome
    what: str
    """Description of the check, or why it failed."""


def suite_for(
    kind: ComponentKind[Component], component: type[Component], **settings: object
) -> type[Conformance]:
    """Return the suite of a kind for a component; ``settings`` are attributes of the suite class."""
    suite: type[Conformance] = import_object(kind.suite)
    return type("Installed", (suite,), {"component": component, **settings})


def run_suite(suite: type[Conformance]) -> Iterator[CheckResult]:
    """Run the checks of a suite one after another, those specific to the kind first."""
    for name in check_names(suite):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome, what = _outcome(suite, name)
        warned = [str(w.message) for w in caught if issubclass(w.category, ConformanceWarning | MftWarning)]
        if outcome == "ok" and warned:
            outcome, what = "warning", "; ".join(warned)
        yield CheckResult(name.removeprefix("test_").replace("_", " "), outcome, what)


def check_names(suite: type[Conformance]) -> list[str]:
    """Return the names of the ``test_`` methods in source order, those specific to the kind first."""
    ordered: dict[str, Mapping[str, Any]] = {}
    for owner in suite.__mro__:
        ordered |= {name: vars(owner) for name in vars(owner) if name.startswith("test_")}
    return [name for name in ordered if callable(getattr(suite, name))]


def _outcome(suite: type[Conformance], name: str) -> tuple[CheckOutcome, str]:
    check = getattr(suite(), name)
    try:
        check()
    except (ConformanceError, MftError) as error:
        return "failed", str(error)
    except Exception as error:  # an error in the component: report its location and run the other checks
        return "failed", _located(error)
    return "ok", " ".join((inspect.getdoc(check) or "").split())


def _located(error: Exception) -> str:
    """Return the error and its location, in the plugin's own code if possible."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = Path(__file__).parent
    others = [frame for frame in frames if ours not in Path(frame.filename).parents] or frames
    message = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {message} ({others[0].filename}:{others[0].lineno})"
