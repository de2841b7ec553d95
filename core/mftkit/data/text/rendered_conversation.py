"""A conversation as a chat template renders it, in the samples that are made of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mftkit.base.reasoning import split_reasoning
from mftkit.data.rows.faults import BadRow
from mftkit.data.text.control_tokens import LookAlikes
from mftkit.data.text.template_program import HINT
from mftkit.data.text.template_traits import MessageWriter
from mftkit.interfaces.task_format import FormattedSample, Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.data.text.chat_protocol import Split
    from mftkit.data.text.encoder import Encoder
    from mftkit.data.text.left_out import LeftOut
    from mftkit.data.text.template_program import Stop, TemplateProgram
    from mftkit.interfaces.conversation import Conversation, Turn
    from mftkit.interfaces.task_format import InLoss, Note

_OPENING = re.compile(r"(<|\[)(think|thinking|reasoning|thought|seed:think|THINK)(>|\])\s*$")
"""The end of a prompt that opens the reasoning."""
_SHORT = 12
"""Characters of a content that may stand in a rendered text by chance."""
_CLOSED = re.compile(r"(<|\[)(think|thinking|reasoning|thought|seed:think|THINK)(>|\])\s*\1/\2\3\s*$")
"""The end of a prompt that says that there is no reasoning."""
_TOOL_HINT = (
    "use a model whose template has tools, or write the calls into the contents as the model writes them"
)

_REASONING = (
    "turn {turn}: the chat template does not render reasoning in a separate key here, so it cannot be trained; "
    "write it into the content as the model writes it (between <think> and </think>), or remove it"
)


class _Answer(NamedTuple):
    """An answer at its time."""

    prompt: str
    body: str
    """What follows the prompt, to the end of the stop token."""
    rest: str
    """What the template writes after that."""
    stop: str


class RenderedConversation:
    """One conversation, rendered in the parts that its samples are made of."""

    def __init__(
        self,
        program: TemplateProgram,
        left_out: LeftOut,
        encoder: Encoder,
        conversation: Conversation,
        note: Note,
    ) -> None:
        self._program = program
        self._left_out = left_out
        self._encoder = encoder
        self._conversation = conversation
        self._turns = tuple(_with_one_reasoning(turn, program) for turn in conversation.turns)
        self._note = note
        calls = any(turn.tool_calls or turn.role == "tool" for turn in conversation.turns)
        self._look_alikes = LookAlikes(
            encoder.controls, None if calls or conversation.tools else _plain_texts(self._turns)
        )
        traits = program.tools(given=bool(conversation.tools)) if calls else None
        if calls and traits is None:
            raise BadRow(
                f"the chat template does not render tool calls, so they cannot be trained; {_TOOL_HINT}"
            )
        reasoning = program.reasoning if any(turn.reasoning for turn in conversation.turns) else None
        developer = program.developer if any(turn.role == "developer" for turn in conversation.turns) else ""
        messages = MessageWriter(traits, reasoning, developer).messages(self._turns)
        self._messages: list[JsonObject] = self._look_alikes.mask(messages)  # type: ignore[assignment]
        self._tools: list[JsonObject] = self._look_alikes.mask(conversation.tools)  # type: ignore[assignment]
        self._prompts: dict[int, str] = {}

    def samples(self, split: Split) -> Sequence[FormattedSample]:
        """Return the samples: one, if every answer has its own prompt before it there."""
        left = list(self._conversation.trained)
        samples: list[FormattedSample] = []
        while left:
            members, sample = self._sample(left, alone=split == "always")
            samples.append(sample)
            left = [turn for turn in left if turn not in members]
            if left and split == "never":
                self._note(
                    "in {rows}, the chat template renders earlier answers differently in later turns, so they are "
                    'context only (chat.split is "never")'
                )
                break
        weights = {self._turns[turn].weight for turn in self._conversation.trained}
        if len(samples) > len(weights) and split == "auto":
            self._note(
                "several samples are made of each conversation in {rows}, because the chat template renders the text "
                'before an answer differently in later turns (chat.split "never" trains the last answers only)'
            )
        elif len(weights) > 1:
            self._note(
                "several samples are made of each conversation in {rows}, because its answers have different weights"
            )
        return samples[::-1]

    def _sample(self, candidates: Sequence[int], *, alone: bool) -> tuple[set[int], FormattedSample]:
        """Return the sample of the last of these answers, and the answers that are trained in it."""
        last = candidates[-1]
        answer = self._answer(last)
        spans: list[tuple[int, int, int, str]] = []
        low = 0
        for turn in () if alone else candidates[:-1]:
            place = self._place(turn, answer.prompt, low)
            if place is not None and self._turns[turn].weight == self._turns[last].weight:
                start, end, stop = place
                spans.append((turn, start, end, stop))
                low = end
        text = answer.prompt + answer.body + answer.rest
        spans.append((last, len(answer.prompt), len(answer.prompt) + len(answer.body), answer.stop))
        segments: list[Segment] = []
        done = 0
        for _turn, start, end, _stop in spans:
            segments += [self.segment(text[done:start], "none"), self.segment(text[start:end], "all")]
            done = end
        if text[done:]:
            segments.append(self.segment(text[done:], "none"))
        self._check(text, [(turn, text[start:end]) for turn, start, end, _stop in spans])
        if any(
            self._encoder.drops_space(text[:start], text[start:end]) for _turn, start, end, _stop in spans
        ):
            self._note(
                "the tokenizer drops the white space at the beginning of answers in {rows}, because the token "
                "before it swallows it"
            )
        stops = tuple((self._turns[turn].kind, stop) for turn, _start, _end, stop in spans)
        sample = FormattedSample(tuple(segments), weight=self._turns[last].weight, stops=stops)
        return {turn for turn, *_rest in spans}, sample

    def segment(self, text: str, in_loss: InLoss) -> Segment:
        """Return a part of the rendered text as a segment, with look-alikes as contents."""
        return Segment(self._look_alikes.pieces(text), in_loss)

    def prompt(self, turn: int) -> str:
        """Return what a user of the model sends to get this turn."""
        if turn not in self._prompts:
            self._prompts[turn] = self._program.rendered(self._messages[:turn], self._tools, prompt=True)
        return self._prompts[turn]

    def _place(self, turn: int, history: str, low: int) -> tuple[int, int, str] | None:
        """Return where an earlier answer stands in a later prompt, and its stop; None if not as at its time."""
        prompt = self.prompt(turn)
        if len(prompt) < low or not history.startswith(prompt):
            return None
        stop = self._stop(turn)
        at = history.find(stop.text, len(prompt))
        if at < 0 or (stop.appended and stop.text == self._program.eos):
            return None
        end = at + len(stop.text)
        answer = history[len(prompt) : end]
        if not self._encoder.joins(prompt, answer):
            return None
        if not self._shown(self._turns[turn], answer) and not self._answer(turn).body.endswith(
            answer.lstrip()
        ):
            return None
        return len(prompt), end, stop.text

    def _answer(self, turn: int) -> _Answer:
        prompt = self.prompt(turn)
        whole = self._program.rendered(self._messages[: turn + 1], self._tools)
        after = self._continuation(prompt, whole, turn)
        stop = self._stop(turn)
        if stop.appended:
            return _Answer(prompt, after + stop.text, "", stop.text)
        if after.endswith(stop.tail):
            end = len(after) - len(stop.tail) + len(stop.text)
            return _Answer(prompt, after[:end], after[end:], stop.text)
        return self._unusual_end(prompt, after, stop)

    def _unusual_end(self, prompt: str, after: str, stop: Stop) -> _Answer:
        """Return an answer that ends in another way than others of its kind (a call of a tool that is built in)."""
        tokens = list(self._program.tokens.finditer(after))
        known = [found for found in tokens if found[0] == stop.text]
        special = [found for found in tokens if self._program.added[found[0]].special]
        chosen = (known or special or tokens)[-1:]
        if not chosen:
            raise BadRow(f"the chat template writes nothing that ends this answer; {HINT}")
        end = chosen[0].end()
        return _Answer(prompt, after[:end], after[end:], chosen[0][0])

    def _stop(self, turn: int) -> Stop:
        return self._program.stop(calls=bool(self._turns[turn].tool_calls), tools=bool(self._tools))

    def _continuation(self, prompt: str, whole: str, turn: int) -> str:
        """Return what the template renders after the prompt of an answer."""
        if whole.startswith(prompt):
            return whole[len(prompt) :]
        if opening := _OPENING.search(prompt):
            return self._reasoned(prompt, whole, turn, opening)
        if closed := _CLOSED.search(prompt):
            return self._unreasoned(prompt, whole, turn, closed)
        bare = prompt.rstrip()
        if whole.startswith(bare):  # white space at the end of the prompt, which no answer has before it
            return whole[len(bare) :].lstrip()
        # Something before the answer is rendered otherwise with the answer than without. The answer begins behind the
        # longest end of the prompt, from one of its tokens on, that both have.
        starts = [found.start() for found in self._program.tokens.finditer(prompt)]
        common = ""
        for start in reversed(starts):
            if prompt[start:] not in whole:
                break
            common = prompt[start:]
        if common:
            return whole[whole.rindex(common) + len(common) :]
        raise BadRow(f"the chat template renders another prompt for an answer than before it; {HINT}")

    def _reasoned(self, prompt: str, whole: str, turn: int, opening: re.Match[str]) -> str:
        """Return the continuation of a prompt that opens the reasoning, which the template leaves out of the answer."""
        closing = opening[1] + "/" + opening[2] + opening[3]
        after = self._continuation(prompt[: opening.start()], whole, turn).lstrip("\n")
        if after.startswith(opening[0].strip()):
            return after[len(opening[0].strip()) :].lstrip()
        given = self._messages[turn]["content"] or ""
        inline, closed, _answer = given.rpartition(closing)
        reasoning = self._look_alikes.mask(self._turns[turn].reasoning or "")
        if closed:
            reasoning = inline.split(opening[0].strip())[-1]
        if not str(reasoning).strip():
            self._note(
                f"the prompt of the chat template opens the reasoning ({opening[0].strip()}), and answers in {{rows}} "
                "have none: they are trained with empty reasoning",
            )
        return f"{str(reasoning).strip()}\n{closing}\n\n{after}"

    def _unreasoned(self, prompt: str, whole: str, turn: int, closed: re.Match[str]) -> str:
        """Return the continuation of a prompt with empty reasoning, which the template leaves out of the answer."""
        opening = closed[1] + closed[2] + closed[3]
        after = self._continuation(prompt[: closed.start()], whole, turn).lstrip("\n")
        if after.startswith(opening) or self._turns[turn].reasoning:
            raise BadRow(
                f"turn {turn + 1}: the answer has reasoning, but the prompt of the chat template ends it "
                f"({''.join(closed[0].split())}): remove the reasoning, or use a model that reasons"
            )
        return after

    def _shown(self, turn: Turn, text: str) -> bool:
        """Return True if a turn's content stands in a text, in plain or as JSON."""
        content = str(self._look_alikes.mask(turn.content)).strip()
        return content in text or json.dumps(content, ensure_ascii=False)[1:-1] in text

    def _check(self, text: str, answers: Sequence[tuple[int, str]]) -> None:
        """Refuse a sample in which the template left something out; report what it rewrites."""
        last = answers[-1][0]
        for number, turn in enumerate(self._turns[: last + 1]):
            self._check_turn(number, turn, text, last)
        if self._tools and self._left_out.tools(self._messages[:last], self._tools):
            raise BadRow(f"the chat template does not render 'tools', so they cannot be used; {_TOOL_HINT}")
        self._check_reasoning(dict(answers), last, text)
        self._note_altered(text, last)

    def _check_turn(self, number: int, turn: Turn, text: str, last: int) -> None:
        if turn.tool_calls:
            missing = self._left_out.call(self._messages[: number + 1], self._tools)
            if missing is not None:
                raise BadRow(
                    f"turn {number + 1}: the chat template drops call {missing + 1} ({turn.tool_calls[missing].name}); "
                    f"{_TOOL_HINT}"
                )
        content = turn.content.strip()
        if not content or (len(content) > _SHORT and self._shown(turn, text)):
            return
        # A short content, or not as the row has it: rewritten, or left out.
        following = next(n for n in range(number, last + 1) if self._turns[n].role == "assistant")
        end = following + 1 if number == following else following
        if self._left_out.content(self._messages[:end], number, self._tools):
            raise BadRow(
                f"the chat template drops turn {number + 1} ({turn.role}) of this conversation; {HINT}"
            )

    def _check_reasoning(self, answers: dict[int, str], last: int, text: str) -> None:
        for number, turn in enumerate(self._turns[: last + 1]):
            if not turn.reasoning:
                continue
            reasoning = str(self._look_alikes.mask(turn.reasoning)).strip()
            if not turn.trained and reasoning not in text:
                self._note(
                    "the chat template drops the reasoning of answers that are context only in {rows}, as it will "
                    "in use"
                )
            unrendered = self._program.reasoning is None and not _OPENING.search(self.prompt(number))
            if number in answers and (unrendered or reasoning not in answers[number]):
                if number == last or self._program.reasoning is None:
                    raise BadRow(_REASONING.format(turn=number + 1))
                self._note(
                    "the chat template drops the reasoning of earlier answers in {rows}, as it will in use, so they "
                    'are trained without it (chat.split "always" trains each answer with its reasoning)'
                )

    def _note_altered(self, text: str, last: int) -> None:
        """Report contents that the template strips or rewrites."""
        outer = [turn for turn in self._turns[: last + 1] if turn.content != turn.content.strip()]
        altered = any(not self._shown(turn, text) for turn in self._turns[: last + 1] if turn.content.strip())
        if outer and not altered:
            stripped = [
                {
                    **message,
                    "content": message["content"].strip() if message.get("content") else message["content"],
                }
                for message in self._messages[: last + 1]
            ]
            altered = self._program.rendered(stripped, self._tools) == self._program.rendered(
                self._messages[: last + 1], self._tools
            )
        if altered:
            self._note(
                "the chat template strips or rewrites the contents of {rows}, as it will in use "
                '(chat.format "markers" keeps every space)'
            )


def _plain_texts(turns: Sequence[Turn]) -> list[str]:
    """Return the texts of turns without calls and their results."""
    return [text for turn in turns for text in (turn.content, turn.reasoning) if text]


def _with_one_reasoning(turn: Turn, program: TemplateProgram) -> Turn:
    """Return a turn whose reasoning stands in its content as well with one of both: the key if the template has one."""
    if not turn.reasoning:
        return turn
    inline = split_reasoning(turn.content)
    if not inline.reasoning:
        return turn
    return (
        replace(turn, reasoning=None) if program.reasoning is None else replace(turn, content=inline.answer)
    )
