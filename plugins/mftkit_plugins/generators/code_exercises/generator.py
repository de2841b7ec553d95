"""The generator ``code-exercises``: rounds from topics to prompts to exercises to solutions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

import mftkit
from mftkit_plugins.generators import chat_requests
from mftkit_plugins.generators.code_exercises import prompts
from mftkit_plugins.generators.code_exercises.topics import Topics, read_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "code-exercises"


@dataclass(frozen=True)
class _Exercise:
    topic: str
    prompt: int
    """Number of its prompt; exercises from one prompt are similar."""
    text: str


class CodeExercises(mftkit.DataGenerator):
    """Exercises and their solutions, as MFTCoder (figure 2, single turn) makes them.

    Topics are put into prompt templates; optionally the model makes the prompts more specific; each prompt gives some
    exercises, and each exercise a solution. A row's ``group`` is its prompt, so that exercises that were made together
    are held out together.
    """

    class Options(mftkit.Options):
        """Options of ``code-exercises``."""

        model: mftkit.ChatModelRef
        """The chat model that writes the rows."""
        samples: int = Field(default=1000, ge=1)
        """Number of rows."""
        topics: mftkit.SpecPath | None = None
        """File of topics; null: the included topics for Python."""
        templates: tuple[str, ...] = Field(default=prompts.TEMPLATES, min_length=1)
        """Prompt templates, one of which is drawn for each topic; {topic}, {language} and {level} are replaced."""
        levels: tuple[str, ...] = Field(default=prompts.LEVELS, min_length=1)
        """Levels of the readers, one of which is drawn for each topic."""
        refine: bool = False
        """Whether the model first makes each prompt more specific, with one more request per prompt."""
        exercises: int = Field(default=5, ge=1)
        """Exercises that one prompt asks for."""
        round: int = Field(default=16, ge=1)
        """Prompts that are processed together; more of them keep a server busier."""
        tries: int = Field(default=3, ge=1)
        """Attempts per request if replies cannot be used; then it is given up."""

        @field_validator("templates")
        @classmethod
        def _can_be_filled(cls, value: tuple[str, ...]) -> tuple[str, ...]:
            for template in value:
                try:
                    template.format(topic="", language="", level="")
                except (LookupError, ValueError) as error:
                    raise ValueError(
                        f"{template!r}: only {{topic}}, {{language}}, {{level}} are allowed in braces ({error})"
                    ) from error
                if "{topic}" not in template:
                    raise ValueError(f"{template!r}: {{topic}} is missing")
            return value

    options: Options
    version = "2"

    @property
    def goal(self) -> int:
        """See ``mftkit.DataGenerator``."""
        return self.options.samples

    @property
    def prompts(self) -> dict[str, str]:
        """See ``mftkit.DataGenerator``."""
        numbered = {f"template {number}": text for number, text in enumerate(self.options.templates, 1)}
        return {
            **numbered,
            "refine": prompts.REFINE,
            "exercises": prompts.EXERCISES,
            "solution": prompts.SOLUTION,
        }

    def rows(self, context: mftkit.GenerationContext) -> Iterator[mftkit.JsonObject]:
        """Rows ``{"id", "data_name", "generator", "topic", "model", "round", "group", "messages"}``."""
        with context.chat(self.options.model) as chat:
            made = _Rounds(self.options, context, chat).rows()
            yield from chat_requests.numbered(made, NAME, context.task)


class _Rounds:
    def __init__(
        self, options: CodeExercises.Options, context: mftkit.GenerationContext, chat: mftkit.Chat
    ) -> None:
        self.options = options
        self.report = context.report
        self.seed = context.seed
        self.topics: Topics = read_topics(options.topics)
        self.is_new = chat_requests.Deduplicator()
        self.asking = partial(chat_requests.Asking, chat, context.report, tries=options.tries)
        self.model = chat_requests.model_name(options.model)

    def rows(self) -> Iterator[mftkit.JsonObject]:
        """Yield as many rows as are needed, unless the model gives no more."""
        drawn, give_up, left = self.drawn(), chat_requests.GiveUp(), self.options.samples
        for number in count(1):
            made = 0
            prompts = min(self.options.round, -(-left // self.options.exercises))  # no more than needed
            for row in self.round(number, list(islice(drawn, prompts)), left):
                made += 1
                self.report(kept=1)
                yield row
            left -= made
            if not left or give_up.after(made):
                return

    def drawn(self) -> Iterator[tuple[str, str]]:
        """Yield topics with their prompts: all topics in a drawn order, then all of them again in another order."""
        for number in count():
            drawn = random.Random(f"{self.seed}:{number}")
            for topic in drawn.sample(self.topics.topics, len(self.topics.topics)):
                template, level = drawn.choice(self.options.templates), drawn.choice(self.options.levels)
                yield topic, template.format(topic=topic, language=self.topics.language, level=level)

    def round(self, number: int, chosen: list[tuple[str, str]], most: int) -> Iterator[mftkit.JsonObject]:
        exercises = self.exercises(number, self.refined(number, chosen))[:most]
        requests = [
            mftkit.ChatRequest.of(
                prompts.SOLUTION.format(language=self.topics.language, exercise=exercise.text),
                f"round {number} solution {index}",
            )
            for index, exercise in enumerate(exercises)
        ]
        parse = partial(chat_requests.code_block, language=self.topics.language)
        solutions = self.asking(stage="solutions", parse=parse).all(requests)
        for exercise, solution in zip(exercises, solutions, strict=True):
            if solution is not None:
                yield self.row(number, exercise, solution)

    def refined(self, number: int, chosen: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return more specific prompts; a prompt stays as it is if that fails."""
        if not self.options.refine:
            return chosen
        requests = [
            mftkit.ChatRequest.of(prompts.REFINE.format(prompt=prompt), f"round {number} refine {index}")
            for index, (_topic, prompt) in enumerate(chosen)
        ]
        better = self.asking(stage="prompts", parse=str.strip).all(requests)
        return [(topic, new or old) for (topic, old), new in zip(chosen, better, strict=True)]

    def exercises(self, number: int, chosen: list[tuple[str, str]]) -> list[_Exercise]:
        requests = [
            mftkit.ChatRequest.of(
                prompts.EXERCISES.format(
                    prompt=prompt, count=self.options.exercises, language=self.topics.language
                ),
                f"round {number} exercises {index}",
            )
            for index, (_topic, prompt) in enumerate(chosen)
        ]
        found = self.asking(stage="exercises", parse=_statements).all(requests)
        made = []
        for index, ((topic, _prompt), statements) in enumerate(zip(chosen, found, strict=True)):
            for text in statements or ():
                if self.is_new(text):
                    made.append(_Exercise(topic, index, text))
                else:
                    self.report(**{"exercises: repeated": 1})
        return made

    def row(self, number: int, exercise: _Exercise, solution: str) -> mftkit.JsonObject:
        fence = chat_requests.fence_around(solution)
        return {
            "topic": exercise.topic,
            "model": self.model,
            "round": number,
            "group": f"{NAME} {number} {exercise.prompt}",
            "messages": chat_requests.dialogue(
                exercise.text, f"{fence}{self.topics.language.lower()}\n{solution}\n{fence}"
            ),
        }


def _statements(text: str) -> list[str]:
    def read(item: object) -> str:
        [exercise] = chat_requests.texts_of(item, "exercise")
        if not exercise:
            raise chat_requests.BadReply("wrong format")
        return exercise

    return chat_requests.good_items(chat_requests.json_list(text), read)
