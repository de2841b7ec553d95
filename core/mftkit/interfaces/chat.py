"""The interface of a chat model: who answers what a generator or a filter asks.

Two sides meet here. Whoever *asks* holds a reference to a chat model among its options and opens it::

    class Options(mftkit.Options):
        model: mftkit.ChatModelRef
        '''Who answers: the name of a chat model, or {"name": ..., "options": {...}}.'''

    with context.chat(self.options.model) as chat:          # a mftkit.Chat
        reply = chat.ask([{"role": "user", "content": "..."}], key="exercise 3")
        for reply in chat.ask_all([ChatRequest.of(prompt), ...]):   # in order, many at a time
            ...

Whoever *answers* is a ``ChatModel``, which knows one provider and nothing else: the order of replies, the
record on the disk that nothing is paid twice, what was spent and the budget are core's.
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
    """Sets a request apart from another of the same messages, as the second try of one is: each has a reply
    of its own. Without keys the n-th of equal requests has the n-th reply."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """``temperature``, ``top_p``, ``reply_tokens``, ``stop`` (texts): in place of the model's own options."""
    seed: int = 0
    """Given by core: a number of the request's own, the same in every run, for models that can be seeded."""

    @classmethod
    def of(cls, prompt: str, key: str | None = None, system: str | None = None, **sampling: Any) -> Self:
        """A request of one user's turn, after the system's if there is one."""
        before = () if system is None else ({"role": "system", "content": system},)
        return cls((*before, {"role": "user", "content": prompt}), key, sampling)


@documented
@dataclass(frozen=True)
class Reply:
    """What a chat model answers."""

    text: str
    """May be empty: whoever asks decides what that is worth."""
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    """"stop": whole; "length": cut off at the most tokens of a reply; "context": the messages are too long
    for the model, and nothing was answered; others as the provider has them."""
    cached: bool = False
    """Whether it was answered in an earlier run, or earlier in this one, and cost nothing now."""

    @property
    def complete(self) -> bool:
        """Whether there is an answer, and all of it."""
        return self.finish_reason not in ("length", "context") and bool(self.text.strip())

    whole = RenamedAttribute("complete")


class ChatOptions(Options):
    """The options that every chat model has; its own are added in a subclass."""

    temperature: float | None = Field(default=1.0, ge=0)
    """Of the sampling; 0: the likeliest token each time; null: the provider's default."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Share of the probability that is sampled from; null: the provider's default."""
    reply_tokens: int = Field(default=2048, ge=1)
    """Most tokens of one reply; a longer one is cut off."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Budget, in tokens of prompts and replies together; where it is spent, what was made is kept and nothing
    more is asked. Null: none."""
    max_cost: float | None = Field(default=None, gt=0)
    """Budget, in the currency of the prices; needs them. Null: none."""
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
    """The chat model cannot go on: ends the generation, and what was answered stays on the disk.

    ``exit_code`` is 2 where the options are wrong (an unknown model, a key that is refused), 1 where what
    worked before no longer does (a server that is gone).
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BudgetSpent(ChatError):  # noqa: N818 - an end that was asked for
    """The budget leaves no room for another request; the generation ends with what there is."""


class Chat(Protocol):
    """An open conversation with a chat model, as generators and filters use it: many requests at a time.

    Replies come in the order of the requests. Every reply is on the disk before it is given out; asked again in
    the same order, the same requests have the same replies without a request to the model. Use it in a ``with``
    statement.
    """

    def __enter__(self) -> Self:
        """Itself."""

    def __exit__(self, *error: object) -> None:
        """Close it."""

    @property
    def usage(self) -> Usage:
        """What was asked and what it cost."""

    def ask(self, messages: Sequence[Mapping[str, str]], *, key: str | None = None, **sampling: Any) -> Reply:
        """The reply to one request; see ``ChatRequest`` for what may be given."""

    def ask_all(self, requests: Iterable[ChatRequest]) -> Iterator[Reply]:
        """The replies to requests, in their order, many being asked at a time.

        Requests are taken from the iterable somewhat ahead of the replies. Raises ChatError, in the place of
        the reply that it is about: BudgetSpent where the budget leaves no room for the request.
        """

    def close(self) -> None:
        """Ask no more; what is under way has a moment to end, as it is paid for. Once or more."""


@documented
class ChatModel(Component[OptionsT]):
    """Answers requests; one provider of models.

    Core calls ``replies`` from ``concurrency`` threads, with up to ``batch_size`` requests at a time.
    """

    Options: ClassVar[type[ChatOptions]] = ChatOptions
    packages: ClassVar[dict[str, str]] = {}
    """Modules that it needs, each to what pip installs it by; a missing one is told before any work."""
    options_without_effect_on_replies: ClassVar[frozenset[str]] = frozenset(
        {"max_tokens", "max_cost", "price_in", "price_out"}
    )
    """Options that do not change what is answered: rows and replies stay of use when these change. Add those
    of a subclass: addresses, time limits, retries."""

    how_not_what = RenamedAttribute("options_without_effect_on_replies")

    options: Any

    @property
    def concurrency(self) -> int:
        """Most calls of ``replies`` at a time, each in a thread."""
        return 1

    @property
    def batch_size(self) -> int:
        """Most requests of one call of ``replies``."""
        return 1

    def start(self, tell: Callable[[str], None]) -> None:
        """Before the first request; not called where every reply is on the disk already.

        ``tell`` shows a line to the user, at any time until ``close``, from any thread. What stands in the way
        is raised as ChatError.
        """

    def reply(self, request: ChatRequest) -> Reply:
        """Answer one request. Raises ChatError where no request can be answered any more.

        What may pass (no connection, too many requests) is tried again here, within limits. Keys and
        passwords belong in no message.
        """
        raise NotImplementedError

    def replies(self, requests: Sequence[ChatRequest]) -> Sequence[Reply]:
        """Answer some requests, in their order; for models that answer many as fast as one."""
        return [self.reply(request) for request in requests]

    def close(self) -> None:
        """After the last request; once, also after an error. Calls in other threads may be under way."""
