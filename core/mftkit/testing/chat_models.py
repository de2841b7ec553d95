"""Checks of every chat model."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.chat_client.client import ChatClient
from mftkit.chat_client.reply_cache import ReplyCache
from mftkit.interfaces.chat import ChatModel, ChatOptions, ChatRequest, Reply
from mftkit.testing.assertions import require
from mftkit.testing.conformance import Conformance

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 24
"""Maximum number of tokens in a reply: enough to show that there is one."""


class ChatModelConformance(Conformance):
    """Checks of ``mftkit.ChatModel`` on a few short questions."""

    @contextmanager
    def model(self) -> Iterator[ChatModel]:
        """Provide a started chat model."""
        model: ChatModel = self.make(())
        try:
            model.start(lambda _line: None)
            yield model
        finally:
            model.close()

    def requests(self, count: int) -> list[ChatRequest]:
        """Return different questions, each with its own seed."""
        return [
            ChatRequest(
                ({"role": "user", "content": f"What is {i} + {i}?"},), None, {"reply_tokens": LIMIT}, i
            )
            for i in range(count)
        ]

    def test_its_packages_are_there(self) -> None:
        """Every module in ``packages`` can be imported; each is listed with the name to pip install."""
        for module, package in self.component.packages.items():
            outermost = module.partition(".")[0]
            require(find_spec(outermost) is not None, f"{module} is not installed: pip install {package}")

    def test_its_options_are_those_of_a_chat_model(self) -> None:
        """Options extend mftkit.ChatOptions; ``options_without_effect_on_replies`` names only existing options."""
        model = self.component.Options
        require(issubclass(model, ChatOptions), "Options is not a subclass of mftkit.ChatOptions")
        odd = sorted(self.component.options_without_effect_on_replies - model.model_fields.keys())
        require(
            not odd,
            f"options_without_effect_on_replies contains names that are not options: {', '.join(odd)}",
        )
        needed = (
            ChatModel.options_without_effect_on_replies - self.component.options_without_effect_on_replies
        )
        require(
            not needed,
            f"options_without_effect_on_replies lacks {', '.join(sorted(needed))}: extend mftkit.ChatModel's set",
        )

    def test_it_answers(self) -> None:
        """It returns one reply per request of a batch, with token counts and finish reason."""
        with self.model() as model:
            require(model.concurrency >= 1, "concurrency must be at least 1")
            require(model.batch_size >= 1, "batch_size must be at least 1")
            for count in {1, min(model.batch_size, 3)}:
                replies = model.replies(self.requests(count))
                require(
                    len(replies) == count, f"replies() returned {len(replies)} replies to {count} requests"
                )
                for reply in replies:
                    _check(reply)

    def test_a_reply_is_no_longer_than_asked_for(self) -> None:
        """A reply has at most ``reply_tokens`` of its request."""
        with self.model() as model:
            [reply] = model.replies(self.requests(1))
            require(
                reply.completion_tokens <= LIMIT,
                f"the reply has {reply.completion_tokens} tokens, but reply_tokens is {LIMIT}",
            )

    def test_it_changes_nothing_it_is_given(self) -> None:
        """It does not modify the requests."""
        with self.model() as model:
            given = self.requests(1)
            model.replies(given)
            require(given == self.requests(1), "replies() modifies the requests")

    def test_asked_through_a_chat(self) -> None:
        """Requests are answered in order; a second time, all replies come from the cache on disk."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "replies.jsonl"
            rounds = []
            for _ in range(2):
                with ChatClient(
                    self.make(()), ReplyCache(path, "tried"), lambda _line: None, lambda: None
                ) as chat:
                    rounds.append(list(chat.ask_all(self.requests(5))))
            require(
                [r.text for r in rounds[0]] == [r.text for r in rounds[1]],
                "the replies differ the second time",
            )
            require(
                all(r.cached for r in rounds[1]),
                "a reply did not come from the cache on disk the second time",
            )


def _check(reply: Reply) -> None:
    require(isinstance(reply, Reply), f"{reply!r} is not a Reply")
    require(isinstance(reply.text, str), "the text of a reply is not a string")
    require(bool(reply.finish_reason), "a reply has no finish_reason")
    counts = (reply.prompt_tokens, reply.completion_tokens)
    whole = all(isinstance(number, int) and number >= 0 for number in counts)
    require(whole, f"prompt_tokens and completion_tokens must be integers of at least 0, not {counts}")
    require(not reply.cached, "cached is set by mftkit; leave it False")
