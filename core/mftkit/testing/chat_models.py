"""What every chat model must do."""

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
"""Tokens of a reply: enough to see that there is one."""


class ChatModelConformance(Conformance):
    """The promises of ``mftkit.ChatModel``, tried by asking it a few short questions."""

    @contextmanager
    def model(self) -> Iterator[ChatModel]:
        """A chat model that has been started."""
        model: ChatModel = self.make(())
        try:
            model.start(lambda _line: None)
            yield model
        finally:
            model.close()

    def requests(self, count: int) -> list[ChatRequest]:
        """Different questions, each with its own seed."""
        return [
            ChatRequest(
                ({"role": "user", "content": f"What is {i} + {i}?"},), None, {"reply_tokens": LIMIT}, i
            )
            for i in range(count)
        ]

    def test_its_packages_are_there(self) -> None:
        """``packages`` names modules that can be imported, each with what pip installs it by."""
        for module, package in self.component.packages.items():
            outermost = module.partition(".")[0]
            require(find_spec(outermost) is not None, f"{module} is not installed: pip install {package}")

    def test_its_options_are_those_of_a_chat_model(self) -> None:
        """Its Options extend mftkit.ChatOptions, and ``options_without_effect_on_replies`` names some of them."""
        model = self.component.Options
        require(issubclass(model, ChatOptions), "Options is no subclass of mftkit.ChatOptions")
        odd = sorted(self.component.options_without_effect_on_replies - model.model_fields.keys())
        require(not odd, f"options_without_effect_on_replies names what is no option: {', '.join(odd)}")
        needed = (
            ChatModel.options_without_effect_on_replies - self.component.options_without_effect_on_replies
        )
        require(
            not needed,
            f"options_without_effect_on_replies lacks {', '.join(sorted(needed))}: extend mftkit.ChatModel's set",
        )

    def test_it_answers(self) -> None:
        """One reply for each request of a batch, with its tokens and why it ended."""
        with self.model() as model:
            require(model.concurrency >= 1, "concurrency is under 1")
            require(model.batch_size >= 1, "batch_size is under 1")
            for count in {1, min(model.batch_size, 3)}:
                replies = model.replies(self.requests(count))
                require(len(replies) == count, f"{len(replies)} replies to {count} requests")
                for reply in replies:
                    _check(reply)

    def test_a_reply_is_no_longer_than_asked_for(self) -> None:
        """``reply_tokens`` of a request bounds its reply."""
        with self.model() as model:
            [reply] = model.replies(self.requests(1))
            require(
                reply.completion_tokens <= LIMIT,
                f"{reply.completion_tokens} tokens, where reply_tokens is {LIMIT}",
            )

    def test_it_changes_nothing_it_is_given(self) -> None:
        """Requests are as they were."""
        with self.model() as model:
            given = self.requests(1)
            model.replies(given)
            require(given == self.requests(1), "a request is not as it was")

    def test_asked_through_a_chat(self) -> None:
        """Many requests in order; asked again, all replies come from the disk."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "replies.jsonl"
            rounds = []
            for _ in range(2):
                with ChatClient(
                    self.make(()), ReplyCache(path, "tried"), lambda _line: None, lambda: None
                ) as chat:
                    rounds.append(list(chat.ask_all(self.requests(5))))
            require(
                [r.text for r in rounds[0]] == [r.text for r in rounds[1]], "replies differ the second time"
            )
            require(all(r.cached for r in rounds[1]), "a reply is not on the disk")


def _check(reply: Reply) -> None:
    require(isinstance(reply, Reply), f"{reply!r} is no mftkit.Reply")
    require(isinstance(reply.text, str), "a reply's text is no text")
    require(bool(reply.finish_reason), "a reply does not say why it ended")
    counts = (reply.prompt_tokens, reply.completion_tokens)
    whole = all(isinstance(number, int) and number >= 0 for number in counts)
    require(whole, f"tokens are whole numbers, not {counts}")
    require(not reply.cached, "cached is for core to say")
