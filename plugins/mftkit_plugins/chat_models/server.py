"""A chat model behind any server of the OpenAI interface, through the ``openai`` package."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

import mftkit
from mftkit_plugins.chat_models.retrying import Passing, Retries

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent in place of a key: servers of one's own ask for none, and the package insists on one."""
TOO_LONG = ("context length", "context_length", "context window", "maximum context", "too many tokens")
BYTES_PER_TOKEN = 4
"""Where a server does not tell tokens."""


class Server(mftkit.ChatModel):
    """Asks ``/chat/completions`` of a server.

    The key is read from the environment when the first request is made, and stands nowhere else: no message,
    file or traceback has it.
    """

    packages: ClassVar = {"openai": "mftkit[generate]"}
    options_without_effect_on_replies = mftkit.ChatModel.options_without_effect_on_replies | {
        "base_url",
        "key_variable",
        "concurrency",
        "timeout",
        "retries",
        "longest_wait",
        "limit_field",
    }

    class Options(mftkit.ChatOptions):
        """Options of ``openai``."""

        model: str = Field(min_length=1)
        """The model's name, as the server has it."""
        base_url: str = OWN
        """The server's address, with its "/v1". Rows and replies stay of use when it changes: the same model may
        be served elsewhere."""
        key_variable: str = Field(default="OPENAI_API_KEY", pattern="^[A-Za-z_][A-Za-z0-9_]*$")
        """The environment variable that holds the key; where it is not set, none is sent."""
        concurrency: int = Field(default=8, ge=1, le=1024)
        """Requests under way at a time."""
        timeout: float = Field(default=120.0, gt=0)
        """Seconds that the server may be silent in a request before it is tried again."""
        retries: int = Field(default=7, ge=0)
        """Times that a request is tried again which fails for a reason that may pass: no connection, a time
        limit, too many requests while no other is answered, a fault of the server, a reply that is no reply."""
        longest_wait: float = Field(default=60.0, gt=0)
        """Seconds: most between two tries. A server that asks for more (Retry-After) ends the generation."""
        limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
        """What the request calls the most tokens of a reply; models that reason want the second."""
        extra: dict[str, Any] = Field(default_factory=dict)
        """More fields of the request's body, as the server documents them. Not the place of a key."""

        @field_validator("base_url")
        @classmethod
        def _address(cls, value: str) -> str:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("should be an address as http://localhost:8000/v1")
            if parts.username or parts.password or parts.query:
                raise ValueError("holds a password or a query: a key is given by the environment alone")
            return value

    options: Options

    @property
    def concurrency(self) -> int:
        """See ``mftkit.ChatModel``."""
        return self.options.concurrency

    def start(self, tell: Callable[[str], None]) -> None:
        """See ``mftkit.ChatModel``; makes no request."""
        import openai

        self._package = openai
        self._key = os.environ.get(self.options.key_variable, "").strip()
        if not self._key and self.options.base_url.rstrip("/") == OWN:
            raise mftkit.ChatError(
                f"{OWN} wants a key: set the environment variable {self.options.key_variable}"
            )
        self._client = openai.OpenAI(
            api_key=self._key or NO_KEY,
            base_url=self.options.base_url,
            timeout=self.options.timeout,
            max_retries=0,  # ours know of each other, and are told of
        )
        self._retries = Retries(
            self.options.base_url, self.options.retries, self.options.longest_wait, self._told(tell)
        )
        self._guessed = False

    def close(self) -> None:
        """See ``mftkit.ChatModel``."""
        if hasattr(self, "_client"):
            self._retries.stop()
            self._client.close()

    def reply(self, request: mftkit.ChatRequest) -> mftkit.Reply:
        """See ``mftkit.ChatModel``."""
        return self._retries.run(lambda: self._asked(request))

    def _asked(self, request: mftkit.ChatRequest) -> mftkit.Reply:
        """One try. Raises Passing for what may pass, ChatError for what will not.

        Errors of the package are not chained: their texts and requests may hold the key.
        """
        package = self._package
        try:
            completion = self._client.chat.completions.create(**self._body(request))
        except package.APIStatusError as error:
            status, said, code = error.status_code, self._scrubbed(error), str(error.code or "")
            wait = error.response.headers.get("retry-after")
        except package.APITimeoutError:
            raise Passing(f"no answer within {self.options.timeout:g} s") from None
        except package.APIConnectionError as error:
            raise Passing(self._scrubbed(error.__cause__ or error)) from None
        except (package.OpenAIError, ValueError) as error:
            raise Passing(f"a reply that is none: {self._scrubbed(error)}") from None
        else:
            return self._reply(request, completion)
        if status in (400, 413, 422) and any(sign in f"{code} {said}".lower() for sign in TOO_LONG):
            return mftkit.Reply("", 0, 0, "context")
        raise self._refusal(status, code, said, wait) from None

    def _body(self, request: mftkit.ChatRequest) -> dict[str, Any]:
        sampling = {
            "temperature": self.options.temperature,
            "top_p": self.options.top_p,
            "reply_tokens": self.options.reply_tokens,
            **request.sampling,
        }
        sampling[self.options.limit_field] = sampling.pop("reply_tokens")
        given = {key: value for key, value in sampling.items() if value is not None}
        messages = [dict(message) for message in request.messages]
        return {"model": self.options.model, "messages": messages, **given, "extra_body": self.options.extra}

    def _reply(self, request: mftkit.ChatRequest, completion: Any) -> mftkit.Reply:
        """What the server answered; raises Passing where that is no answer."""
        try:
            choice = completion.choices[0]
            text = choice.message.content or ""
            reason = str(choice.finish_reason or "stop")
        except (AttributeError, IndexError, TypeError):
            said = self._clean(str(getattr(completion, "error", "") or "nothing in it"))
            raise Passing(f"a reply that is none: {said}") from None
        usage = getattr(completion, "usage", None)
        if usage is None:
            return self._guess(request, text, reason)
        return mftkit.Reply(text, usage.prompt_tokens or 0, usage.completion_tokens or 0, reason)

    def _guess(self, request: mftkit.ChatRequest, text: str, reason: str) -> mftkit.Reply:
        if not self._guessed:
            self._guessed = True
            self._retries.tell(f"{self.options.base_url} tells no tokens: one is counted for each 4 bytes")
        prompt = sum(len(message["content"].encode()) for message in request.messages)
        completion = len(text.encode("utf-8", "replace"))
        return mftkit.Reply(text, -(-prompt // BYTES_PER_TOKEN), -(-completion // BYTES_PER_TOKEN), reason)

    def _refusal(self, status: int, code: str, said: str, wait: str | None) -> Exception:
        where, variable = self.options.base_url, self.options.key_variable
        if code == "insufficient_quota":
            return mftkit.ChatError(f"{where}: the account's quota is used up ({status}): {said}", 1)
        if status in (408, 409, 429) or status >= 500:
            return Passing(f"{status}: {said}", wait, crowded=status == 429)
        if status in (401, 403):
            way = (
                f"refuses the key in {variable}"
                if self._key
                else f"wants a key: set the environment variable {variable}"
            )
            return mftkit.ChatError(f"{where} {way} ({status}): {said}")
        if status == 404:
            return mftkit.ChatError(
                f"{where} knows no model {self.options.model} (404): {said}{self._models()}"
            )
        return mftkit.ChatError(f"{where} refuses the request ({status}): {said}")

    def _models(self) -> str:
        """What the server has in its place, if it says."""
        try:
            names = [str(model.id) for model in self._client.with_options(timeout=5).models.list().data]
        except Exception:  # another error is being told
            return f"; is {self.options.base_url} right, with its /v1?"
        near = get_close_matches(self.options.model, names, n=1)
        told = f"; it has: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else ""
        return self._clean(told + (f"; did you mean {near[0]}?" if near else ""))

    def _told(self, tell: Callable[[str], None]) -> Callable[[str], None]:
        return lambda line: tell(self._clean(line))

    def _scrubbed(self, error: BaseException) -> str:
        """An error's own words, on one line, without the key."""
        said = getattr(error, "message", None) or str(error) or type(error).__name__
        return self._clean(" ".join(str(said).split())[:500])

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text
