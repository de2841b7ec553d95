"""The generator: sessions of a student and a teacher, many side by side."""

from __future__ import annotations

import random
from contextlib import ExitStack
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

import mftkit
from mftkit_plugins.generators import chat_requests
from mftkit_plugins.generators.camel import prompts
from mftkit_plugins.generators.camel.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "camel"
FIELDS = ("topic", "student", "teacher", "done")


class Camel(mftkit.DataGenerator):
    """Conversations of two agents (Li et al., arXiv 2303.17760), as MFTCoder makes many-turn data.

    Topics are subdivided by the model; each subtopic is a session, in which a student asks and a teacher
    answers until the goal count, until the student has no more to ask, or until the conversation is too long
    for the model. What was said until then is kept.
    """

    class Options(mftkit.Options):
        """Options of ``camel``."""

        model: mftkit.ChatModelRef
        """The chat model that is the teacher, and divides the topics."""
        student_model: mftkit.ChatModelRef | None = None
        """The chat model that is the student; null: the same."""
        topics: tuple[str, ...] = Field(min_length=1)
        """What is talked about."""
        subtopics: int = Field(default=8, ge=0)
        """Into how many each topic is divided, a session each; 0: topics stay as they are."""
        goal: int = Field(default=5, ge=1)
        """Questions and answers of a session, at most."""
        samples: int | None = Field(default=None, ge=1)
        """How many rows at most; null: all that the sessions give."""
        rows: Literal["conversation", "exchange"] = "conversation"
        """What a row is: a whole session, or a question and its answer alone."""
        student_role: str = prompts.STUDENT_ROLE
        """Who asks."""
        teacher_role: str = prompts.TEACHER_ROLE
        """Who answers."""
        student_prompt: str = prompts.STUDENT
        """Inception prompt of the student; {student}, {teacher}, {topic} and {done} are filled in."""
        teacher_prompt: str = prompts.TEACHER
        """Inception prompt of the teacher, filled in alike."""
        opening: str = prompts.OPENING
        """What the student is asked first, filled in alike."""
        done: str = Field(default=prompts.DONE, min_length=1)
        """What the student says where there is nothing more to ask."""
        round: int = Field(default=16, ge=1)
        """Sessions side by side; more keep a server busier."""
        tries: int = Field(default=3, ge=1)
        """Most times that a request is made whose reply is of no use; then the session ends there."""

        @field_validator("student_prompt", "teacher_prompt", "opening")
        @classmethod
        def _can_be_filled(cls, value: str, info: ValidationInfo) -> str:
            try:
                value.format(**dict.fromkeys(FIELDS, ""))
            except (LookupError, ValueError) as error:
                known = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise ValueError(f"only {known} stand in braces in {info.field_name} ({error})") from error
            return value

    options: Options

    @property
    def goal(self) -> int | None:
        """See ``mftkit.DataGenerator``."""
        options = self.options
        sessions = len(options.topics) * max(1, options.subtopics)
        most = sessions * (options.goal if options.rows == "exchange" else 1)
        return most if options.samples is None else min(most, options.samples)

    @property
    def prompts(self) -> dict[str, str]:
        """See ``mftkit.DataGenerator``."""
        options = self.options
        return {
            "subtopics": prompts.SUBTOPICS,
            "student": options.student_prompt,
            "teacher": options.teacher_prompt,
            "opening": options.opening,
        }

    def rows(self, context: mftkit.GenerationContext) -> Iterator[dict[str, Any]]:
        """Rows ``{"id", "data_name", "generator", "topic", "model", "round", "group", "messages"}``."""
        options = self.options
        with ExitStack() as stack:
            teacher = student = stack.enter_context(context.chat(options.model))
            if options.student_model not in (None, options.model):
                student = stack.enter_context(context.chat(options.student_model))
            made = _Sessions(options, context, student, teacher).rows()
            yield from chat_requests.numbered(islice(made, options.samples), NAME, context.task)


class _Sessions:
    def __init__(
        self,
        options: Camel.Options,
        context: mftkit.GenerationContext,
        student: mftkit.Chat,
        teacher: mftkit.Chat,
    ) -> None:
        self.options = options
        self.seed = context.seed
        self.report = context.report
        asked = partial(chat_requests.Asking, report=context.report, tries=options.tries)
        self.subtopics = asked(teacher, stage="subtopics", parse=_names)
        self.questions = asked(student, stage="questions", parse=str.strip)
        self.answers = asked(teacher, stage="answers", parse=str.strip)
        self.model = chat_requests.model_name(options.model)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of all sessions, those side by side one after the other."""
        sessions = iter([self.session(number, topic) for number, topic in enumerate(self.topics(), 1)])
        barren, rows = chat_requests.GiveUp(), 0
        for number in count(1):
            together = list(islice(sessions, self.sessions_wanted(rows)))
            if not together:
                return
            spent = self.talk(together)
            made = [row for session in together for row in self.of(session, number)]
            for row in made:
                self.report(kept=1)
                yield row
            rows += len(made)
            if spent is not None:
                raise spent
            if barren.after(len(made)):
                return

    def talk(self, sessions: list[Session]) -> mftkit.BudgetSpent | None:
        """All exchanges of sessions side by side; the end of the budget ends them, with what was said."""
        try:
            for _ in range(self.options.goal):
                self.exchange([session for session in sessions if not session.over])
        except mftkit.BudgetSpent as spent:
            return spent
        return None

    def sessions_wanted(self, rows: int) -> int:
        """How many more are worked on together, where there are so many rows."""
        options = self.options
        if options.samples is None:
            return options.round
        each = options.goal if options.rows == "exchange" else 1
        return min(options.round, -(-max(0, options.samples - rows) // each))

    def topics(self) -> list[str]:
        """All subtopics, in an order drawn from the seed."""
        found = list(self.options.topics)
        if self.options.subtopics:
            requests = [
                mftkit.ChatRequest.of(
                    prompts.SUBTOPICS.format(topic=topic, count=self.options.subtopics),
                    f"subtopics of {topic}",
                )
                for topic in self.options.topics
            ]
            divided = self.subtopics.all(requests)
            found = [
                f"{topic}: {name}" if parts else topic
                for topic, parts in zip(self.options.topics, divided, strict=True)
                for name in (parts or [""])[: self.options.subtopics]
            ]
        random.Random(f"{self.seed}").shuffle(found)
        return found

    def session(self, number: int, topic: str) -> Session:
        options = self.options
        fields = {
            "topic": topic,
            "student": options.student_role,
            "teacher": options.teacher_role,
            "done": options.done,
        }
        student = options.student_prompt.format(**fields)
        teacher = options.teacher_prompt.format(**fields)
        return Session(number, topic, student, teacher, options.opening.format(**fields))

    def exchange(self, sessions: list[Session]) -> None:
        """A question and an answer in each session that is not over."""
        questions = self.questions.all([session.to_student() for session in sessions])
        for session, question in zip(sessions, questions, strict=True):
            why = session.asks(question, self.options.done)
            if why is not None:
                self.report(**{f"sessions: {why}": 1})
        going = [session for session in sessions if not session.over]
        answers = self.answers.all([session.to_teacher() for session in going])
        for session, answer in zip(going, answers, strict=True):
            session.answers(answer)

    def of(self, session: Session, number: int) -> Iterator[dict[str, Any]]:
        """The rows of a session; none where nothing was answered."""
        if not session.exchanges:
            self.report(**{"sessions: nothing said": 1})
            return
        shared = {"topic": session.topic, "model": self.model, "round": number, "group": session.topic}
        if self.options.rows == "conversation":
            yield {**shared, "messages": session.messages()}
            return
        for question, answer in session.exchanges:
            yield {**shared, "messages": chat_requests.dialogue(question, answer)}


def _names(text: str) -> list[str]:
    names = [item.strip() for item in chat_requests.json_list(text) if isinstance(item, str) and item.strip()]
    if not names:
        raise chat_requests.BadReply("not the format")
    return list(dict.fromkeys(names))
