"""One session: what was said, and how each side sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

import mftkit
from mftkit_plugins.generators import chat_requests


@dataclass
class Session:
    """A student's questions and a teacher's answers about one subtopic."""

    number: int
    topic: str
    student: str
    """The student's inception prompt."""
    teacher: str
    """The teacher's."""
    opening: str
    """What the teacher says first, to the student alone."""
    exchanges: list[tuple[str, str]] = field(default_factory=list)
    question: str = ""
    """Asked, and not answered yet."""
    over: bool = False
    _asked: chat_requests.Deduplicator = field(default_factory=chat_requests.Deduplicator)

    def to_student(self) -> mftkit.ChatRequest:
        """Asks the student for the next question: it answers the teacher."""
        turns = [{"role": "system", "content": self.student}, {"role": "user", "content": self.opening}]
        for question, answer in self.exchanges:
            turns += [{"role": "assistant", "content": question}, {"role": "user", "content": answer}]
        return mftkit.ChatRequest(tuple(turns), f"session {self.number} question {len(self.exchanges)}")

    def to_teacher(self) -> mftkit.ChatRequest:
        """Asks the teacher for the next answer."""
        turns = [{"role": "system", "content": self.teacher}, *self.messages()]
        turns.append({"role": "user", "content": self.question})
        return mftkit.ChatRequest(tuple(turns), f"session {self.number} answer {len(self.exchanges)}")

    def messages(self) -> list[dict[str, str]]:
        """All exchanges, as a row has them."""
        return [turn for exchange in self.exchanges for turn in chat_requests.dialogue(*exchange)]

    def asks(self, question: str | None, done: str) -> str | None:
        """The student's turn, None where none came; why the session ends with it, if it does."""
        if question is None or done in question:
            self.over = True
            return "ended by the student" if question is not None else None
        self.question = question
        if not self._asked(question):
            self.over = True
            return "ended by a repetition"
        return None

    def answers(self, answer: str | None) -> None:
        """The teacher's turn; without one the session ends with what there is."""
        if answer is None:
            self.over = True
        else:
            self.exchanges.append((self.question, answer))
