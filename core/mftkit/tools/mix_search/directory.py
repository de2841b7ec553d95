"""The directory of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_json
from mftkit.runs.output_directory import OutputDirectory
from mftkit.tools.compare.directory import ComparisonDirectory
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.spec import Spec

RESULT, SNIPPET, PAGE = "mix.json", "proportions.json", "mix.html"


class SearchDirectory(OutputDirectory):
    """The output of a search, held by one process at a time."""

    files = ("spec.json", RESULT, SNIPPET, PAGE, "candidates.jsonl", "merged", "evaluation", "training")
    content = "search"
    key = "--output"
    allowed = frozenset({"free", "data"})

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.candidates = path / "candidates.jsonl"
        self.merged = path / "merged"
        self.evaluation = path / "evaluation"
        self.training = path / "training"
        """A comparison's directory: the specialists, and the models that verify the result."""

    def begin(self, base: Spec, *, fresh: bool) -> None:
        """Make the directory this spec's. Raises MftError if it holds something else."""
        if any((self.path / name).exists() for name in ("metrics.jsonl", "compare.json")):
            raise MftError(f"--output: {self.path} holds a run or a comparison; choose another --output.")
        if fresh:
            self.start_over()
        self.check_spec(base)
        write_json(self.path / "spec.json", base.dump())


class GivenComparison(ComparisonDirectory):
    """A comparison that is only read."""

    key = "--singles"
    hint = "choose another --singles, or leave it out"
