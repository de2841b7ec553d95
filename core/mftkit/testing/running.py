"""Runs a suite without pytest, for ``mft plugins check``."""

from __future__ import annotations

import inspect
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mftkit import testing
from mftkit.plugins import kinds
from mftkit.testing.assertions import ConformanceError, ConformanceWarning
from mftkit_registry import MftError, MftWarning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mftkit.testing.conformance import Conformance

SUITES: dict[str, type[Conformance]] = {
    kinds.LOSS.name: testing.LossConformance,
    kinds.BALANCER.name: testing.BalancerConformance,
    kinds.TOKENIZATION_MODE.name: testing.TokenizationModeConformance,
    kinds.MODEL_ADAPTER.name: testing.ModelAdapterConformance,
    kinds.DATA_GENERATOR.name: testing.DataGeneratorConformance,
    kinds.TUNING.name: testing.TuningConformance,
    kinds.TRACKER.name: testing.TrackerConformance,
    kinds.DATA_FILTER.name: testing.DataFilterConformance,
    kinds.EXECUTOR.name: testing.ExecutorConformance,
    kinds.CHAT_MODEL.name: testing.ChatModelConformance,
    kinds.GRADIENT_COMBINER.name: testing.GradientCombinerConformance,
}
Outcome = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class CheckResult:
    """One row of the table."""

    check: str
    outcome: Outcome
    what: str
    """What is promised, or how it is broken."""


def suite_for(kind: str, component: type[Any], **settings: Any) -> type[Conformance]:
    """The suite of a kind, for a component. Raises MftError for a kind that has none."""
    if kind not in SUITES:
        known = ", ".join(f'"{name}"' for name in SUITES)
        raise MftError(f'there are no checks for a component of kind "{kind}"; there are for: {known}')
    return type("Installed", (SUITES[kind],), {"component": component, **settings})


def run_suite(suite: type[Conformance]) -> Iterator[CheckResult]:
    """Each check of a suite in turn, the kind's own first."""
    for name in check_names(suite):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome, what = _outcome(suite, name)
        told = [str(w.message) for w in caught if issubclass(w.category, ConformanceWarning | MftWarning)]
        if outcome == "ok" and told:
            outcome, what = "warning", "; ".join(told)
        yield CheckResult(name.removeprefix("test_").replace("_", " "), outcome, what)


def check_names(suite: type[Conformance]) -> list[str]:
    """Names of the ``test_`` methods, in the order in which they are written, the kind's own first."""
    ordered: dict[str, Mapping[str, Any]] = {}
    for owner in suite.__mro__:
        ordered |= {name: vars(owner) for name in vars(owner) if name.startswith("test_")}
    return [name for name in ordered if callable(getattr(suite, name))]


def _outcome(suite: type[Conformance], name: str) -> tuple[Outcome, str]:
    check = getattr(suite(), name)
    try:
        check()
    except (ConformanceError, MftError) as error:
        return "failed", str(error)
    except Exception as error:  # the component's own fault: told with the place, and the other checks go on
        return "failed", _told(error)
    return "ok", " ".join((inspect.getdoc(check) or "").split())


def _told(error: Exception) -> str:
    """The error and where it was raised: in the plugin's own code, where that is on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = Path(__file__).parent
    others = [frame for frame in frames if ours not in Path(frame.filename).parents] or frames
    message = " ".join(str(error).split()) or "without a message"
    return f"{type(error).__name__}: {message} ({others[0].filename}:{others[0].lineno})"
