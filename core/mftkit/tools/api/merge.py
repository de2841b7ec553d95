"""``mftkit.merge``: merge an adapter into its base, from Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.runs.reference_loading import load_model
from mftkit.tools.api.progress import shown, without_other_progress
from mftkit.tools.api.run_result import RunResult
from mftkit.tools.merge import Merged
from mftkit.tools.merge import merge as merge_into

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.reporting.reporter import Reporter


@dataclass(frozen=True)
class MergeResult(Merged):
    """A merged checkpoint: its path, its base, and how close its logits are to those of base and adapter."""

    def model(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        """Load the merged model, in evaluation mode, and its tokenizer."""
        with without_other_progress():
            return load_model(self.path)


def merge(
    run: RunResult | str | Path,
    output: str | Path,
    *,
    progress: bool = True,
    reporter: Reporter | None = None,
) -> MergeResult:
    """Merge the adapter of a run into its base, in full precision, as a plain transformers checkpoint.

    Args:
        run: a run's result, its directory (RUN, RUN@STEP, RUN@best:TASK), or a directory with a PEFT adapter.
        output: the directory to write; it must not exist, or be empty.
        progress: as for ``mftkit.run``.
        reporter: receives messages instead.

    Raises:
        MftError: there is nothing to merge, or it cannot be merged, or ``output`` cannot be written.
    """
    source = str(run.path if isinstance(run, RunResult) else run)
    with shown(progress, reporter) as display:
        merged = merge_into(source, Path(output), display)
    return MergeResult(merged.path, merged.base, merged.difference, merged.largest)
