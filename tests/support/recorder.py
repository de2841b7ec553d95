"""A reporter for tests: it keeps what is reported."""

from __future__ import annotations

from mftkit.reporting.reporter import Reporter


class Recorder(Reporter):
    """Keeps notes and warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
