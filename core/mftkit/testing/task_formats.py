"""Checks of every task format."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.data.rows.faults import BadRow
from mftkit.data.text.chat_format import chat_format
from mftkit.data.text.control_tokens import ControlTokens, added_tokens
from mftkit.data.text.encoder import Encoder
from mftkit.interfaces.task_format import FormatContext, FormattedSample, Piece, RowContent, Segment, no_note
from mftkit.testing.assertions import ConformanceError, require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded
from mftkit.testing.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.data.text.chat_protocol import ChatFormat
    from mftkit.interfaces.task_format import TaskFormat

CODE = "def add(a, b):\n    total = a + b\n    return total\n\n\nprint(add(1, 2))\n"
ODD_VALUES: tuple[object, ...] = (
    None, True, -1, 0.5, "", " \n", "x", [], {}, [None], [""], [[]], [{}], [1, "x"], {"a": []},
    [{"role": "user"}], [{"role": 1, "content": None}], [{"from": "gpt", "value": ["x"]}],
)  # fmt: skip
FIM_TOKENS = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")


def some_rows() -> tuple[JsonObject, ...]:
    """Return rows of several kinds: conversations, pairs, and texts."""
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Add two numbers."},
        {"role": "assistant", "content": CODE},
        {"role": "user", "content": "And é?"},
        {"role": "assistant", "content": "No."},
    ]
    return (
        {"messages": turns, "id": 1},
        {"prompt": "Add two numbers.", "completion": CODE, "id": 2},
        {"text": CODE, "id": 3},
        {"text": CODE * 9 + "# é\n", "id": 4},
    )


@cache
def _chat(tokenizer: PreTrainedTokenizerBase) -> ChatFormat:
    return chat_format("markers", None, tokenizer)


class TaskFormatConformance(Conformance):
    """Checks of ``mftkit.TaskFormat`` on a few rows, with a tiny tokenizer."""

    given: ClassVar[Sequence[JsonObject]] = some_rows()
    """The rows; the format must be able to use one of them."""
    added: ClassVar[Sequence[str]] = FIM_TOKENS
    """Tokens that are added to the tokenizer."""
    seed: ClassVar[int] = 7
    max_length: ClassVar[int] = 64

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Return the tokenizer that reads the samples."""
        return tiny_tokenizer(tuple(self.added))

    def context(self, made: TaskFormat, **changes: Any) -> FormatContext:
        """Return the context that is passed to the format."""
        tokenizer = self.tokenizer()
        context = FormatContext(
            task=self.tasks[0].name,
            seed=self.seed,
            note=_checked_note,
            chat=_chat(tokenizer) if made.uses_chat else None,
            eos=str(tokenizer.eos_token),
            vocabulary=frozenset(token.text for token in added_tokens(tokenizer)),
        )
        if made.uses_length:
            encoder = Encoder(tokenizer, ControlTokens(tokenizer, (), "auto"))
            context = replace(context, max_length=self.max_length, token_starts=encoder.token_starts)
        return replace(context, **changes)

    def readable(self, made: TaskFormat) -> list[tuple[JsonObject, RowContent]]:
        """Return the rows that the format can use, with their contents."""
        found = []
        for row in self.given:
            try:
                found.append((row, made.read(copy.deepcopy(row), self._reading())))
            except BadRow:
                continue
        require(
            bool(found), "the format can use none of the rows: give rows that it can (``given`` of the suite)"
        )
        return found

    def _reading(self) -> FormatContext:
        return FormatContext(self.tasks[0].name, self.seed, _checked_note, repairs=True)

    def sampled(self, made: TaskFormat, **changes: Any) -> list[tuple[FormattedSample, ...]]:
        """Return the samples of each row that the format can use."""
        context = self.context(made, **changes)
        return [tuple(made.samples(content, context)) for _row, content in self.readable(made)]

    def test_version_and_variants(self) -> None:
        """``version`` is a string, and there is at least one variant of each row."""
        made: TaskFormat = self.make()
        require(
            isinstance(made.version, str) and bool(made.version), f"version is {made.version!r}, not a string"
        )
        require(isinstance(made.variants, int) and made.variants > 0, f"variants is {made.variants!r}")

    def test_rows_are_left_as_they_are(self) -> None:
        """``read`` does not change the row."""
        made: TaskFormat = self.make()
        for row, _content in self.readable(made):
            before = copy.deepcopy(row)
            made.read(row, self._reading())
            require(row == before, f"read() changes the row {before}")

    def test_reading_is_deterministic(self) -> None:
        """The same row is read as the same content, whatever the global random state is."""
        made = []
        for state in (0, 1):
            with seeded(state), assert_rng_untouched("read()"):
                made.append([content for _row, content in self.readable(self.make())])
        require(made[0] == made[1], "the same row is read as another content the second time")

    def test_content_of_rows(self) -> None:
        """The identity is JSON, the texts are strings, and the used keys are keys of the row."""
        for row, content in self.readable(self.make()):
            require(
                isinstance(content, RowContent), f"read() returned {type(content).__name__}, not a RowContent"
            )
            try:
                json.dumps(content.identity)
            except (TypeError, ValueError) as error:
                raise ConformanceError(f"the identity of a row is not JSON: {error}") from error
            require(all(isinstance(text, str) for text in content.texts), "a text of a row is not a string")
            missing = sorted(content.used_keys - set(row))
            require(not missing, f"used_keys has keys that the row does not have: {', '.join(missing)}")

    def test_equal_rows_have_equal_identities(self) -> None:
        """Keys that are not used do not change the identity, and different contents have different ones."""
        made: TaskFormat = self.make()
        found = self.readable(made)
        for row, content in found:
            again = made.read({**copy.deepcopy(row), "mft_key_of_nobody": 1}, self._reading())
            require(
                again.identity == content.identity, "a key that is not used changes the identity of a row"
            )
        identities = [json.dumps(content.identity, sort_keys=True) for _row, content in found]
        require(len(set(identities)) == len(found), "different rows have the same identity")

    def test_bad_rows_are_reported(self) -> None:
        """Rows that cannot be used raise BadRow, and no other exception."""
        made: TaskFormat = self.make()
        for row in self._odd_rows(made):
            try:
                content = made.read(copy.deepcopy(row), self._reading())
                list(made.samples(content, self.context(made)))
            except BadRow as bad:
                require(bool(str(bad).strip()), f"BadRow without a message for {row}")
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise ConformanceError(
                    f"the row {row} must raise BadRow or be used, but raised {what}"
                ) from error

    def _odd_rows(self, made: TaskFormat) -> Iterator[JsonObject]:
        yield {}
        yield {"mft_key_of_nobody": "x"}
        for row, content in self.readable(made):
            for key in sorted(content.used_keys):
                yield {name: value for name, value in row.items() if name != key}
                for value in ODD_VALUES:
                    yield {**row, key: value}

    def test_samples(self) -> None:
        """Each row has samples, made of segments and pieces of the right types."""
        for samples in self.sampled(self.make()):
            require(bool(samples), "a row that was read has no sample: raise BadRow instead")
            for sample in samples:
                require(isinstance(sample, FormattedSample), f"a sample is a {type(sample).__name__}")
                for segment in sample.segments:
                    require(
                        isinstance(segment, Segment) and segment.in_loss in ("none", "all", "first"),
                        f"a segment is {segment!r}",
                    )
                    pieces = all(
                        isinstance(piece, Piece) and isinstance(piece.text, str) for piece in segment.pieces
                    )
                    require(pieces, f"the pieces of a segment are {segment.pieces!r}")

    def test_samples_have_loss_tokens(self) -> None:
        """Each sample has loss tokens, and each answer ends in the token that its ``stops`` name."""
        made: TaskFormat = self.make()
        encoder = self.encoder(made)
        for sample in (sample for samples in self.sampled(made) for sample in samples):
            encoded = encoder.encode([sample])
            ends = encoded.spans[1::2]
            require(bool(ends), "a sample has no loss tokens")
            require(
                not sample.stops or len(ends) == len(sample.stops),
                f"a sample has {len(ends)} stretches in the loss, but names {len(sample.stops)} stops",
            )
            for end, (kind, stop) in zip(ends, sample.stops, strict=False):
                token = encoder.token_of(stop)
                require(
                    token is None or encoded.tokens[end - 1] == token,
                    f'the "{kind}" of a sample does not end in {stop!r} in the loss',
                )

    def encoder(self, made: TaskFormat) -> Encoder:
        """Return the encoder that core uses for the format."""
        if made.uses_chat:
            return _chat(self.tokenizer()).encoder
        own = tuple(made.control_texts(self.context(made)))
        return Encoder(self.tokenizer(), ControlTokens(self.tokenizer(), own, "auto"))

    def test_samples_are_deterministic(self) -> None:
        """The samples depend on row, seed and variant alone, and on the seed only with ``uses_seed``."""
        for variant in range(self.make().variants):
            made = []
            for state in (0, 1):
                with seeded(state), assert_rng_untouched("samples()"):
                    made.append(self.sampled(self.make(), variant=variant))
            require(made[0] == made[1], "the same row gives other samples the second time")
        component: TaskFormat = self.make()
        if not component.uses_seed:
            same = self.sampled(component) == self.sampled(component, seed=self.seed + 1)
            require(same, "the samples depend on the seed, but the format does not state uses_seed = True")

    def test_variants_have_equally_many_samples(self) -> None:
        """Every variant of a row has the same number of samples."""
        made: TaskFormat = self.make()
        counts = {
            tuple(len(samples) for samples in self.sampled(made, variant=variant))
            for variant in range(made.variants)
        }
        require(len(counts) == 1, "the variants of a row have different numbers of samples")

    def test_infill_prompt(self) -> None:
        """A prompt for a middle, if there is one, is not in the loss and names what ends the middle."""
        made: TaskFormat = self.make()
        prompt = made.infill_prompt("def f(", "):\n    pass\n", self.context(made))
        if prompt is None:
            return
        in_loss = [segment for segment in prompt.segments if segment.in_loss != "none"]
        require(not in_loss, "a segment of infill_prompt() is in the loss")
        require(len(prompt.stops) == 1, "infill_prompt() must name the token that ends a middle, in stops")


def _checked_note(text: str, example: str = "") -> None:
    require(
        isinstance(text, str) and "{rows}" in text,
        f'a note has no "{{rows}}", where the count stands: {text!r}',
    )
    require(isinstance(example, str), f"the example of a note is not a string: {example!r}")
    no_note(text, example)
