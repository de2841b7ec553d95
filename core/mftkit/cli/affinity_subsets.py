"""What ``mft affinity --subsets`` prints."""

from typing import TYPE_CHECKING

from mftkit.cli.console import result, table

if TYPE_CHECKING:
    from mftkit.tools.affinity.prediction_result import SubsetPrediction


def show_subsets(found: "SubsetPrediction") -> None:
    """Print predicted losses, groupings, and what real runs have shown of them."""
    from mftkit.tools.affinity.subset_tables import (
        agreement_sentences,
        caution,
        grouping_rows,
        measured_rows,
        proposal,
        subset_rows,
    )

    result("\npredicted validation loss after training on a subset, nats per token; 95% intervals")
    rows = subset_rows(found, intervals=False)
    table(("subset", *found.tasks, "mean change from alone"), [(name, *cells) for name, cells in rows])
    if len(rows) <= len(found.subsets):
        result(f"{len(found.subsets)} subsets were predicted; affinity.json has all of them")
    result("")
    groupings = [(name, *cells) for name, cells in grouping_rows(found)]
    table(("groups", "mean loss", "against all together"), groupings)
    points = measured_rows(found)
    if points:
        result("")
        table(("subset", "task", "predicted", "measured", "runs"), [(name, *cells) for name, cells in points])
    result("")
    for sentence in [*proposal(found), *caution(found), *agreement_sentences(found)]:
        result(sentence)
