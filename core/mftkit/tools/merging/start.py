"""The weights that runs of a spec start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.reporting.reporter import Reporter
from mftkit.training.model_loading import load_model
from mftkit.training.setup import check_run

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.spec import Spec


def write_start(spec: Spec, target: Path) -> None:
    """Write the whole model that a run of this spec starts from, with its tensors named as in the run's result.

    Args:
        spec: of a run whose result is a whole model; its output is not written.
        target: an existing directory.

    Raises MftError as the run would.
    """
    checked = check_run(spec, Reporter())
    model, _notes = load_model(checked, None)
    checked.tuning.export(model, target, None)
