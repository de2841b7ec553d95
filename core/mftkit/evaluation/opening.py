"""What evaluators are given: chat models, executors, and directories."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from mftkit.chat_client import open_chat
from mftkit.interfaces.evaluator import EvaluationContext
from mftkit.plugins.executors import choose_executor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mftkit.evaluation.tasks import TaskToEvaluate
    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.executor import Executor
    from mftkit.interfaces.references import ChatRef, ComponentRef


class Openings:
    """Opens chat models and executors for evaluators; chats are closed at the end of an evaluation."""

    def __init__(self, directory: Path, note: Callable[[str], None]) -> None:
        self._directory = directory
        self._note = note
        self._stack: ExitStack | None = None

    def open_in(self, stack: ExitStack) -> None:
        """Close what is opened from now on with ``stack``."""
        self._stack = stack.enter_context(ExitStack())

    def context(
        self, task: TaskToEvaluate, evaluator: str, seed: int, *, has_chat_template: bool
    ) -> EvaluationContext:
        """The context of an evaluator for the rows of a task."""

        def note(message: str) -> None:
            self._note(f"task {task.name}, {evaluator}: {message}")

        return EvaluationContext(
            task=task.name,
            seed=seed,
            directory=self._directory / "work" / task.name / evaluator,
            note=note,
            chat=lambda ref: self._chat(ref, note),
            executor=lambda ref: self._executor(ref, note),
            has_chat_template=has_chat_template,
            samples=task.evaluate.samples,
        )

    def _chat(self, ref: ChatRef, note: Callable[[str], None]) -> Chat:
        return open_chat(ref, self._directory / "replies", note)

    def _executor(self, ref: ComponentRef, note: Callable[[str], None]) -> Executor:
        return choose_executor(ref, note)
