"""One session: what was said, and the requests to both sides."""

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
    """The teacher's inception prompt."""
    opening: str
    """First message to the student; it is not part of the rows."""
    exchanges: list[tuple[str, str]] = field(default_factory=list)
    question: str = ""
    """The question that is not answered yet."""
    over: bool = False
    _asked: chat_requests.Deduplicator = field(default_factory=chat_requests.Deduplicator)

    def to_student(self) -> mftkit.ChatRequest:
        """Return the request for the student's next question; the student replies to the teacher."""
        turns = [{"role": "system", "content": self.student}, {"role": "user", "content": self.opening}]
        for question, answer in self.exchanges:
            turns += [{"role": "assistant", "content": question}, {"role": "user", "content": answer}]
        return mftkit.ChatRequest(tuple(turns), f"session {self.number} question {len(self.exchanges)}")

    def to_teacher(self) -> mftkit.ChatRequest:
        """Return the request for the teacher's next answer."""
        turns = [{"role": "system", "content": self.teacher}, *self.messages()]
        turns.append({"role": "user", "content": self.question})
        return mftkit.ChatRequest(tuple(turns), f"session {self.number} answer {len(self.exchanges)}")

    def messages(self) -> list[dict[str, str]]:
        """Return all exchanges as messages of a row."""
        return [turn for exchange in self.exchanges for turn in chat_requests.dialogue(*exchange)]

    def ask(self, question: str | None, done: str) -> str | None:
        """Take the student's turn, None if none came. Return why the session ends with it, or None if it continues."""
        if question is None or done in question:
            self.over = True
            return "ended by the student" if question is not None else None
        self.question = question
        if not self._asked(question):
            self.over = True
            return "ended by a repetition"
        return None

    def answer(self, text: str | None) -> None:
        """Take the teacher's turn; without one the session ends with what was said so far."""
        if text is None:
            self.over = True
        else:
            self.exchanges.append((self.question, text))
