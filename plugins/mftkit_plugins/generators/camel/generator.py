"""The generator ``camel``: sessions of a student and a teacher, many side by side."""

from __future__ import annotations

import random
from contextlib import ExitStack
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Literal

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
    """Conversations of two agents (Li et al., arXiv 2303.17760), as MFTCoder makes multi-turn data.

    The model divides topics into subtopics; each subtopic is a session, in which a student asks and a teacher answers.
    A session ends after ``goal`` exchanges, when the student has no more questions, or when the conversation gets too
    long for the model. The exchanges until then are kept.
    """

    class Options(mftkit.Options):
        """Options of ``camel``."""

        model: mftkit.ChatModelRef
        """The chat model that plays the teacher and divides the topics."""
        student_model: mftkit.ChatModelRef | None = None
        """The chat model that plays the student; null: the same as the teacher."""
        topics: tuple[str, ...] = Field(min_length=1)
        """Topics of the conversations."""
        subtopics: int = Field(default=8, ge=0)
        """Subtopics per topic, each of which is a session; 0: topics are not divided."""
        goal: int = Field(default=5, ge=1)
        """Maximum number of questions and answers in a session."""
        samples: int | None = Field(default=None, ge=1)
        """Maximum number of rows; null: all that the sessions give."""
        rows: Literal["conversation", "exchange"] = "conversation"
        """What a row contains: a whole session, or one question and its answer."""
        student_role: str = prompts.STUDENT_ROLE
        """Role of the student, for the prompts."""
        teacher_role: str = prompts.TEACHER_ROLE
        """Role of the teacher, for the prompts."""
        student_prompt: str = prompts.STUDENT
        """Inception prompt of the student; {student}, {teacher}, {topic} and {done} are replaced."""
        teacher_prompt: str = prompts.TEACHER
        """Inception prompt of the teacher, with the same fields."""
        opening: str = prompts.OPENING
        """First message to the student, with the same fields."""
        done: str = Field(default=prompts.DONE, min_length=1)
        """Text by which the student ends the session."""
        round: int = Field(default=16, ge=1)
        """Sessions that run side by side; more of them keep a server busier."""
        tries: int = Field(default=3, ge=1)
        """Attempts per request if replies cannot be used; after the last one the session ends."""

        @field_validator("student_prompt", "teacher_prompt", "opening")
        @classmethod
        def _can_be_filled(cls, value: str, info: ValidationInfo) -> str:
            try:
                value.format(**dict.fromkeys(FIELDS, ""))
            except (LookupError, ValueError) as error:
                known = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise ValueError(
                    f"only {known} are allowed in braces in {info.field_name} ({error})"
                ) from error
            return value

    options: Options
    version = "2"

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

    def rows(self, context: mftkit.GenerationContext) -> Iterator[mftkit.JsonObject]:
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
        stage = partial(chat_requests.Asking, report=context.report, tries=options.tries)
        self.subtopics = stage(teacher, stage="subtopics", parse=_names)
        self.questions = stage(student, stage="questions", parse=str.strip)
        self.answers = stage(teacher, stage="answers", parse=str.strip)
        self.model = chat_requests.model_name(options.model)

    def rows(self) -> Iterator[mftkit.JsonObject]:
        """Yield the rows of all sessions; those of sessions that run side by side come one after the other."""
        sessions = iter([self.session(number, topic) for number, topic in enumerate(self.topics(), 1)])
        give_up, rows = chat_requests.GiveUp(), 0
        for number in count(1):
            together = list(islice(sessions, self.sessions_needed(rows)))
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
            if give_up.after(len(made)):
                return

    def talk(self, sessions: list[Session]) -> mftkit.BudgetSpent | None:
        """Run sessions side by side. Return the error if the budget ends them; what was said is kept."""
        try:
            for _ in range(self.options.goal):
                self.exchange([session for session in sessions if not session.over])
        except mftkit.BudgetSpent as spent:
            return spent
        return None

    def sessions_needed(self, rows: int) -> int:
        """Return how many sessions to run next, given the number of rows so far."""
        options = self.options
        if options.samples is None:
            return options.round
        each = options.goal if options.rows == "exchange" else 1
        return min(options.round, -(-max(0, options.samples - rows) // each))

    def topics(self) -> list[str]:
        """Return all subtopics, in an order drawn from the seed."""
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
        """Add a question and an answer to each session."""
        questions = self.questions.all([session.to_student() for session in sessions])
        for session, question in zip(sessions, questions, strict=True):
            reason = session.ask(question, self.options.done)
            if reason is not None:
                self.report(**{f"sessions: {reason}": 1})
        open_sessions = [session for session in sessions if not session.over]
        answers = self.answers.all([session.to_teacher() for session in open_sessions])
        for session, answer in zip(open_sessions, answers, strict=True):
            session.answer(answer)

    def of(self, session: Session, number: int) -> Iterator[mftkit.JsonObject]:
        """Yield the rows of a session; none if nothing was answered."""
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
        raise chat_requests.BadReply("wrong format")
    return list(dict.fromkeys(names))
