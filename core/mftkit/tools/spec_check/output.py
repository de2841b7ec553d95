"""Checks the run directory: it can be written, and holds no other spec's run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.runs.output_directory import OutputDirectory
from mftkit.spec.on_resuming import MEANINGS
from mftkit.spec.own_directory import followed

if TYPE_CHECKING:
    from mftkit.spec import Spec
    from mftkit.tools.spec_check.findings import Findings


class _RunDirectory(OutputDirectory):
    """The run directory, as far as its spec goes: without its checkpoints, which torch reads."""

    content = "run"
    key = "output"
    allowed = frozenset(MEANINGS)


def check_output(spec: Spec, findings: Findings) -> None:
    """Check that a run can be written, or resumed, in the output directory."""
    at = ("output",)
    directory = _RunDirectory(spec.output)
    with findings.guard(at):
        directory.check_writable()
        before = directory.spec_before()
        if before is not None:
            earlier = str(before.get("output", spec.output))
            moved = earlier != str(spec.output)
            directory.changes(followed(before, earlier, str(spec.output)) if moved else before, spec)
