"""The interface of a chat model: answers the requests of generators and filters.

There are two sides. A component that *asks* has a reference to a chat model among its options, and opens it::

    class Options(mftkit.Options):
        model: mftkit.ChatModelRef
        '''The chat model: its name, or {"name": ..., "options": {...}}.'''

    with context.chat(self.options.model) as chat:          # a mftkit.Chat
        reply = chat.ask([{"role": "user", "content": "..."}], key="exercise 3")
        for reply in chat.ask_all([ChatRequest.of(prompt), ...]):   # in order, many at a time
            ...

A ``ChatModel`` *answers*. It knows one provider and nothing else: core handles the order of replies, the record on
disk, so that nothing is paid for twice, the usage and the budget.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from pydantic import Field, model_validator

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, Options, OptionsT
from mftkit.interfaces.deprecation import RenamedAttribute
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mftkit.reporting.usage import Usage


@documented
@dataclass(frozen=True)
class ChatRequest:
    """One question to a chat model."""

    messages: tuple[Mapping[str, str], ...]
    """``{"role": "system" | "user" | "assistant", "content": ...}``, the user's last."""
    key: str | None = None
    """Distinguishes requests with the same messages, such as a second try: each has its own reply. Without keys,
    the n-th of equal requests gets the n-th reply."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """``temperature``, ``top_p``, ``reply_tokens``, ``stop`` (texts): instead of the model's own options."""
    seed: int = 0
    """Set by core: a number for this request, the same in every run, for models that can be seeded."""

    @classmethod
    def of(cls, prompt: str, key: str | None = None, system: str | None = None, **sampling: Any) -> Self:
        """A request with one user turn, after the system turn if there is one."""
        before = () if system is None else ({"role": "system", "content": system},)
        return cls((*before, {"role": "user", "content": prompt}), key, sampling)


@documented
@dataclass(frozen=True)
class Reply:
    """The answer of a chat model."""

    text: str
    """The answer, without reasoning. May be empty: the component that asks decides what to do then."""
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    """"stop": complete; "length": cut off at the maximum number of tokens; "context": the messages are too long
    for the model, and there is no answer; others as the provider names them."""
    cached: bool = False
    """Whether it comes from an earlier request and cost nothing now."""
    reasoning: str = ""
    """What the model wrote before its answer. A chat model that gets it apart from the answer sets it; otherwise core
    takes it from the start of the text (``<think> ... </think>`` and the like), for every chat model. It is kept in
    the record of replies; it is no part of rows or of further turns."""

    @property
    def complete(self) -> bool:
        """Whether there is an answer and it is complete."""
        return self.finish_reason not in ("length", "context") and bool(self.text.strip())

    whole = RenamedAttribute("complete")


class ChatOptions(Options):
    """The options that every chat model has; its own are added in a subclass."""

    temperature: float | None = Field(default=1.0, ge=0)
    """Sampling temperature; 0: always the most likely token; null: the provider's default."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Share of the probability mass to sample from; null: the provider's default."""
    reply_tokens: int = Field(default=2048, ge=1)
    """Maximum number of tokens in a reply, its reasoning included; longer ones are cut off."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Budget in tokens of prompts and replies together; when it is spent, the rows made so far are kept and requests
    end. Null: no budget."""
    max_cost: float | None = Field(default=None, gt=0)
    """Budget in the currency of the prices, which it needs. Null: no budget."""
    price_in: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens, in any currency."""
    price_out: float = Field(default=0.0, ge=0)
    """Price of a million tokens of replies."""

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.max_cost is not None and not self.price_in + self.price_out:
            raise ValueError("max_cost needs prices: set price_in and price_out")
        return self


class ChatError(MftError):
    """The chat model cannot continue: ends the generation; the replies so far stay on disk.

    ``exit_code`` is 2 if the options are wrong (an unknown model, a rejected key), 1 if a service that worked before
    fails (a server that is gone).
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BudgetSpent(ChatError):  # noqa: N818 - an end that was asked for
    """The budget does not allow another request; the generation ends with the rows made so far."""


class Chat(Protocol):
    """An open conversation with a chat model, as generators and filters use it: many requests at a time.

    Replies come in the order of the requests. Every reply is written to disk before it is returned; the same requests
    in the same order get the same replies without asking the model again. Use it in a ``with`` statement.
    """

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(self, *error: object) -> None:
        """Close it."""

    @property
    def usage(self) -> Usage:
        """Number and cost of the requests."""

    def ask(self, messages: Sequence[Mapping[str, str]], *, key: str | None = None, **sampling: Any) -> Reply:
        """The reply to one request; the arguments are those of ``ChatRequest``."""

    def ask_all(self, requests: Iterable[ChatRequest]) -> Iterator[Reply]:
        """The replies to requests, in their order, with many requests at a time.

        Requests are taken from the iterable somewhat ahead of the replies. Raises ChatError at the position of the
        failed request: BudgetSpent if the budget does not allow it.
        """

    def close(self) -> None:
        """Stop asking; requests under way, which are paid for, get a moment to end. May be called repeatedly."""


@documented
class ChatModel(Component[OptionsT]):
    """Answers requests; one provider of models.

    Core calls ``replies`` from ``concurrency`` threads, with up to ``batch_size`` requests at a time.
    """

    Options: ClassVar[type[ChatOptions]] = ChatOptions
    packages: ClassVar[dict[str, str]] = {}
    """Modules that it needs, each with the name by which pip installs it; checked before any work."""
    options_without_effect_on_replies: ClassVar[frozenset[str]] = frozenset(
        {"max_tokens", "max_cost", "price_in", "price_out"}
    )
    """Options that do not affect replies: cached rows and replies stay valid when they change. A subclass adds its
    own: addresses, time limits, retries."""

    how_not_what = RenamedAttribute("options_without_effect_on_replies")

    options: Any

    @property
    def concurrency(self) -> int:
        """Maximum number of simultaneous calls of ``replies``, each in a thread."""
        return 1

    @property
    def batch_size(self) -> int:
        """Maximum number of requests in one call of ``replies``."""
        return 1

    def start(self, show_line: Callable[[str], None]) -> None:
        """Called before the first request; not called if every reply is on disk already.

        ``show_line`` shows a line to the user, at any time until ``close``, from any thread. Raises ChatError if
        requests cannot be made.
        """

    def reply(self, request: ChatRequest) -> Reply:
        """Answer one request. Raises ChatError if no further request can be answered.

        Temporary failures (no connection, too many requests) are retried here, within limits. Messages must not
        contain keys or passwords.
        """
        raise NotImplementedError

    def replies(self, requests: Sequence[ChatRequest]) -> Sequence[Reply]:
        """Answer several requests, in their order; for models that answer many as fast as one."""
        return [self.reply(request) for request in requests]

    def close(self) -> None:
        """Called once after the last request, also after an error. Calls in other threads may be under way."""
