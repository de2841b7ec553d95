"""Paired tests as text, for the terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.reporting.metric_text import metric_text
from mftkit.tools.compare.paired import MCNEMAR

if TYPE_CHECKING:
    from mftkit.tools.compare.paired import PairedTest
    from mftkit.tools.compare.result import ComparisonResult

HEADINGS = ["task and metric", "arm", "minus", "difference", "95 % interval", "test", "p", "p adjusted"]
SIGNIFICANT = 0.05
RULE = (
    "Paired tests over the rows of a task, averaged over seeds: McNemar's exact test where answers are right or wrong, "
    "else the paired bootstrap; adjusted by Holm for all tests. They say what other rows might have given, and nothing "
    "about other seeds."
)


def paired_rows(result: ComparisonResult) -> list[list[str]]:
    """A row of text for each test, as ``HEADINGS`` has it."""
    return [_row(test, _scale(test, result)) for test in result.paired]


def paired_texts(result: ComparisonResult) -> list[str]:
    """A line for each difference that stays after correction, and how many tests there were."""
    if not result.paired:
        return []
    found = [test for test in result.paired if (test.p_adjusted or 0) < SIGNIFICANT]
    lines = []
    for test in found:
        scale = _scale(test, result)
        lines.append(
            f"{test.task} {test.metric}: {test.arm} minus {test.reference} {_signed(test.difference, scale)} over "
            f"{test.rows} rows (p {test.p_adjusted:.2g})."
        )
    reference = result.paired[0].reference
    rest = f"of {len(result.paired)} paired tests against {reference}, {len(found)} find a difference between the rows"
    return [*lines, f"{rest[0].upper()}{rest[1:]} (5 %, Holm)."]


def _row(test: PairedTest, scale: str) -> list[str]:
    detail = f" ({test.favours_arm} against {test.favours_reference} rows)" if test.test == MCNEMAR else ""
    return [
        f"{test.task} {test.metric}",
        test.arm,
        test.reference,
        _signed(test.difference, scale),
        f"{_signed(test.low, scale)} to {_signed(test.high, scale)}",
        f"{test.test}{detail}",
        f"{test.p:.2g}",
        "-" if test.p_adjusted is None else f"{test.p_adjusted:.2g}",
    ]


def _scale(test: PairedTest, result: ComparisonResult) -> str:
    scales = [one.scale for one in result.metrics if (one.task, one.metric) == (test.task, test.metric)]
    return scales[0] if scales else "points"


def _signed(value: float, scale: str) -> str:
    text = metric_text(value, scale)
    return text if value < 0 else f"+{text}"
