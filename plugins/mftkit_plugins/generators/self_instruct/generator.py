"""The generator ``self-instruct``: rounds of new instructions, their kinds and their instances."""

from __future__ import annotations

import random
import re
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING

from pydantic import Field

import mftkit
from mftkit_plugins.generators import chat_requests
from mftkit_plugins.generators.self_instruct import prompts
from mftkit_plugins.generators.self_instruct.seeds import Seed, read_seeds
from mftkit_plugins.generators.self_instruct.similarity import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "self-instruct"
NUMBERED = re.compile(r"^\s*(?:task\s*)?\d+\s*[.):]\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
BLOCKED = (
    "image",
    "images",
    "picture",
    "pictures",
    "photo",
    "photos",
    "video",
    "videos",
    "audio",
    "draw",
    "screenshot",
)


class SelfInstruct(mftkit.DataGenerator):
    """New tasks from a few seed tasks, as in Self-Instruct (Wang et al., arXiv 2212.10560).

    In each round, prompts show some seed tasks and some new ones, and ask for more. Tasks that are too similar to an
    earlier one (ROUGE-L) are dropped. For the others the model decides whether they are classifications, and writes
    instances: the input first or, for a classification, the output first.
    """

    class Options(mftkit.Options):
        """Options of ``self-instruct``."""

        model: mftkit.ChatModelRef
        """The chat model that writes the rows."""
        seeds: mftkit.SpecPath
        """File of seed tasks in JSON Lines with "instruction", "output" and optionally "input" and
        "is_classification"; Self-Instruct's own format, with "instances", is read as well."""
        samples: int = Field(default=1000, ge=1)
        """Number of rows."""
        shown_seeds: int = Field(default=6, ge=1)
        """Seed tasks shown in a prompt."""
        shown_made: int = Field(default=2, ge=0)
        """New tasks shown in a prompt; until there are enough, seed tasks are shown instead."""
        asked: int = Field(default=8, ge=1)
        """Tasks that a prompt asks for."""
        instances: int = Field(default=1, ge=1)
        """Instances per task, each of which is a row."""
        similarity: float = Field(default=0.7, gt=0, le=1)
        """ROUGE-L (F measure of words and signs) with an earlier task at or above which a new one is dropped."""
        shortest: int = Field(default=4, ge=1)
        """Minimum number of words in a new task."""
        longest: int = Field(default=150, ge=1)
        """Maximum number of words in a new task."""
        blocked_words: tuple[str, ...] = BLOCKED
        """Tasks with one of these words are dropped, because a text model cannot do them."""
        round: int = Field(default=8, ge=1)
        """Prompts that are sent together; the tasks of a round are shown from the next round on."""
        tries: int = Field(default=3, ge=1)
        """Attempts per request if replies cannot be used; then it is given up."""

    options: Options
    version = "2"

    @property
    def goal(self) -> int:
        """See ``mftkit.DataGenerator``."""
        return self.options.samples

    @property
    def prompts(self) -> dict[str, str]:
        """See ``mftkit.DataGenerator``."""
        return prompts.ALL

    def rows(self, context: mftkit.GenerationContext) -> Iterator[mftkit.JsonObject]:
        """Rows ``{"id", "data_name", "generator", "topic", "model", "round", "group", "messages"}``.

        ``topic`` is "classification" or "generation"; ``group`` the task, so that its instances are held out
        together.
        """
        seeds = read_seeds(self.options.seeds)
        with context.chat(self.options.model) as chat:
            made = _Rounds(self.options, seeds, context, chat).rows()
            yield from chat_requests.numbered(made, NAME, context.task)


class _Rounds:
    def __init__(
        self,
        options: SelfInstruct.Options,
        seeds: tuple[Seed, ...],
        context: mftkit.GenerationContext,
        chat: mftkit.Chat,
    ) -> None:
        self.options = options
        self.seeds = seeds
        self.seed = context.seed
        self.report = context.report
        self.asking = partial(chat_requests.Asking, chat, context.report, tries=options.tries)
        self.model = chat_requests.model_name(options.model)
        self.made: list[str] = []
        self.pool = Pool()
        for seed in seeds:
            self.pool.add(seed.instruction)
        words = "|".join(map(re.escape, options.blocked_words))
        self.blocked = re.compile(rf"\b(?:{words})\b", re.IGNORECASE) if words else None

    def rows(self) -> Iterator[mftkit.JsonObject]:
        """Yield as many rows as are needed, unless the model gives no more."""
        give_up, left = chat_requests.GiveUp(), self.options.samples
        for number in count(1):
            made = 0
            for row in islice(self.round(number, left), left):
                made += 1
                self.report(kept=1)
                yield row
            left -= made
            if not left or give_up.after(made):
                return

    def round(self, number: int, most: int) -> Iterator[mftkit.JsonObject]:
        drawn = random.Random(f"{self.seed}:{number}")
        needed = -(-most // self.options.instances)
        new = self.instructions(number, drawn, needed)
        kinds = self.kinds(number, new, drawn)
        known = [(text, kind) for text, kind in zip(new, kinds, strict=True) if kind is not None]
        for (text, kind), found in zip(known, self.instances(number, known, drawn), strict=True):
            for given, output in found:
                yield self.row(number, text, kind, given, output)

    def instructions(self, number: int, drawn: random.Random, most: int) -> list[str]:
        """Return the new tasks of a round, at most ``most``, dissimilar to each other and to earlier ones."""
        requests = [
            mftkit.ChatRequest.of(
                prompts.instructions(self.shown(drawn), self.options.asked), f"round {number} tasks {index}"
            )
            for index in range(min(self.options.round, -(-most // self.options.asked)))
        ]
        replies = self.asking(stage="tasks", parse=_listed).all(requests)
        new = [text for listed in replies for text in listed or () if self.is_new(text)]
        self.made += new
        return new[:most]

    def shown(self, drawn: random.Random) -> list[str]:
        made = drawn.sample(self.made, min(self.options.shown_made, len(self.made)))
        number = self.options.shown_seeds + self.options.shown_made - len(made)
        seeds = drawn.sample(self.seeds, min(number, len(self.seeds)))
        shown = [*(seed.instruction for seed in seeds), *made]
        drawn.shuffle(shown)
        return shown

    def is_new(self, text: str) -> bool:
        """Return True for a task that is kept, and add it to the pool; otherwise count the reason."""
        words = len(text.split())
        reason = None
        if not self.options.shortest <= words <= self.options.longest:
            reason = "too short or long"
        elif self.blocked and self.blocked.search(text):
            reason = "blocked word"
        elif not text[0].isalnum() and text[0] not in "\"'`(":
            reason = "no sentence"
        elif self.pool.near(text, self.options.similarity):
            reason = "too similar"
        if reason is not None:
            self.report(**{f"tasks: {reason}": 1})
            return False
        self.pool.add(text)
        return True

    def kinds(self, number: int, new: list[str], drawn: random.Random) -> list[bool | None]:
        """Ask whether each task is a classification; None if there was no usable reply."""
        shown = self.examples(drawn, self.seeds, self.options.shown_seeds)
        requests = [
            mftkit.ChatRequest.of(prompts.classification(text, shown), f"round {number} kind {index}")
            for index, text in enumerate(new)
        ]
        return self.asking(stage="kinds", parse=_yes_or_no).all(requests)

    def instances(
        self, number: int, known: list[tuple[str, bool]], drawn: random.Random
    ) -> list[list[tuple[str, str]]]:
        """Ask for each task's instances, input and output; empty if there was no usable reply."""
        of_kind = {
            kind: [seed for seed in self.seeds if seed.classification is kind] for kind in (True, False)
        }
        requests = [
            mftkit.ChatRequest.of(
                prompts.instances(
                    text,
                    classification=kind,
                    seeds=self.examples(drawn, of_kind[kind], 2),
                    count=self.options.instances,
                ),
                f"round {number} instances {index}",
            )
            for index, (text, kind) in enumerate(known)
        ]
        found = self.asking(stage="instances", parse=_instances).all(requests)
        return [(instances or [])[: self.options.instances] for instances in found]

    def examples(self, drawn: random.Random, seeds: list[Seed] | tuple[Seed, ...], most: int) -> list[Seed]:
        return drawn.sample(seeds, min(most, len(seeds)))

    def row(self, number: int, text: str, kind: bool, given: str, output: str) -> mftkit.JsonObject:
        return {
            "topic": "classification" if kind else "generation",
            "model": self.model,
            "round": number,
            "group": text,
            "messages": chat_requests.dialogue(f"{text}\n\n{given}" if given else text, output),
        }


def _listed(text: str) -> list[str]:
    """Read the tasks of a numbered list, the first of which may lack its number."""
    found = NUMBERED.findall(text)
    if not found:
        raise chat_requests.BadReply("wrong format")
    return found


def _yes_or_no(text: str) -> bool:
    word = re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)
    if word is None:
        raise chat_requests.BadReply("wrong format")
    return word[1].lower() == "yes"


def _instances(text: str) -> list[tuple[str, str]]:
    """Read inputs with their outputs; an input with two outputs is left out, because one of them is wrong."""
    found = dict.fromkeys(chat_requests.good_items(chat_requests.json_list(text), _instance))
    outputs: dict[str, int] = {}
    for given, _output in found:
        outputs[given] = outputs.get(given, 0) + 1
    kept = [(given, output) for given, output in found if outputs[given] == 1]
    if not kept:
        raise chat_requests.BadReply("contradictory")
    return kept


def _instance(item: object) -> tuple[str, str]:
    if isinstance(item, dict):
        item = {"input": "", **item}
    given, output = chat_requests.texts_of(item, "input", "output")
    if not output or given == output:
        raise chat_requests.BadReply("wrong format")
    return given, output
