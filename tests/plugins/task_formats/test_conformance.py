"""What every task format promises."""

from built_in import suites
from mftkit.plugins import installed, kinds
from mftkit.testing.running import suite_for

globals().update(suites(kinds.TASK_FORMAT))

FIM = installed.component_class(kinds.TASK_FORMAT, "fim")
CHAT = installed.component_class(kinds.TASK_FORMAT, "chat")


class TestFimBySyntax(
    suite_for(kinds.TASK_FORMAT, FIM, options={"spans": "syntax", "splits": 3, "loss": "middle"})  # type: ignore[misc]
):
    """With several splits of each row."""


class TestFimOfShortContexts(
    suite_for(kinds.TASK_FORMAT, FIM, options={"rate": 1, "spm": 1, "context": 16, "spans": "lines"})  # type: ignore[misc]
):
    """Where no row fits whole."""


class TestChatOfLastAnswers(suite_for(kinds.TASK_FORMAT, CHAT, options={"train": "last"})):  # type: ignore[misc]
    """With one answer of each conversation."""
