"""The section of affinity.html on which tasks to train together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.base.formatting import whole
from mftkit.pages.tables import Cell, Table
from mftkit.tools.affinity.subset_tables import (
    affinity_rows,
    agreement_sentences,
    caution,
    grouping_rows,
    measured_rows,
    proposal,
    subset_rows,
)

if TYPE_CHECKING:
    from mftkit.tools.affinity.prediction_result import SubsetPrediction
    from mftkit.tools.affinity.subset_tables import Rows

READING = (
    "Predicted by a model that is linear in its weights, from projected gradients of samples, and not measured. In "
    "brackets: 95% intervals; they hold the noise of the training and validation samples, not the error of linearity."
)


@dataclass(frozen=True)
class SubsetSection:
    """What the template shows."""

    verdict: list[str]
    reading: str
    facts: list[tuple[str, str]]
    tables: list[Table]


def subset_section(found: SubsetPrediction | None) -> SubsetSection | None:
    """The section; None without predictions."""
    if found is None:
        return None
    tasks = list(found.tasks)
    tables = [
        _table(
            "Predicted validation loss, nats per token, of each task after training on a subset",
            ["subset", *tasks, "mean change from alone"],
            subset_rows(found, intervals=True),
        ),
        _table(
            "The best grouping of each number of groups",
            ["groups", "mean loss", "against all together"],
            grouping_rows(found),
        ),
        _table(
            "Affinity: mean predicted loss of a row's task over the subsets that hold the column's task, too",
            ["task", *tasks],
            affinity_rows(found),
        ),
    ]
    if found.agreement is not None:
        heading = ["subset", "task", "predicted", "measured", "runs"]
        tables.append(_table("Predicted and measured losses", heading, measured_rows(found)))
    settings = found.settings
    return SubsetSection(
        verdict=[*proposal(found), *caution(found), *agreement_sentences(found)],
        reading=READING,
        facts=[
            ("gradients of", f"{settings.parameters}, {whole(settings.numbers)} numbers"),
            ("projected to", f"{whole(settings.projection)} numbers"),
            ("training samples", _counts(settings.train_samples)),
            ("validation samples", _counts(settings.valid_samples)),
            ("ridge", f"{found.ridge:.3g}"),
        ],
        tables=tables,
    )


def _table(caption: str, headings: list[str], rows: Rows) -> Table:
    return Table(caption, headings, [(name, [Cell(text) for text in cells]) for name, cells in rows])


def _counts(counts: list[int]) -> str:
    if len(set(counts)) == 1:
        return f"{whole(counts[0])} of each task"
    return f"{whole(min(counts))} to {whole(max(counts))} of each task"
