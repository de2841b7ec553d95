"""A chat model on any server with the OpenAI API, through the ``openai`` package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

import mftkit
from mftkit_plugins.chat_models.limits import PATIENCE, in_time, limited
from mftkit_plugins.chat_models.retrying import Passing, Retries

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent instead of a key: private servers need none, but the package requires one."""
TOO_LONG = ("context length", "context_length", "context window", "maximum context", "too many tokens")
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message in which servers send its reasoning."""
THINKING_PARTS = ("thinking", "reasoning")
"""Types of a content's parts that are reasoning."""
LONGEST_MESSAGE = 500
"""Characters of a server's message that are shown."""
LONGEST_BODY = 1_000_000
"""Characters of a server's message that are looked at."""
LONGEST_REASON = 80
"""Characters of the reason for which a reply ends."""
BYTES_PER_TOKEN = 4
"""Estimate for servers that do not report tokens."""


class Server(mftkit.ChatModel):
    """Sends requests to ``/chat/completions`` of a server.

    The key is read from the environment when the first request is sent, and is stored nowhere else: no message, file or
    traceback contains it.
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
        """Name of the model on the server."""
        base_url: str = OWN
        """URL of the server, including "/v1". Rows and replies remain valid when it changes: the same model may be
        served elsewhere."""
        key_variable: str = Field(default="OPENAI_API_KEY", pattern="^[A-Za-z_][A-Za-z0-9_]*$")
        """Environment variable that contains the key; if it is not set, no key is sent."""
        concurrency: int = Field(default=8, ge=1, le=1024)
        """Number of concurrent requests."""
        timeout: float = Field(default=120.0, gt=0)
        """Seconds without any data from the server after which a request is repeated. A server that sends its answer
        little by little has five times as long in all."""
        retries: int = Field(default=7, ge=0)
        """Number of times that a request is repeated if it fails for a reason that may be temporary: no connection, a
        timeout, too many requests while no other is answered, a server error, an invalid reply."""
        longest_wait: float = Field(default=60.0, gt=0)
        """Maximum wait between two attempts, in seconds. If a server asks for more (Retry-After), generation ends."""
        limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
        """Name of the request field for the maximum tokens of a reply; reasoning models need the second one."""
        extra: mftkit.JsonObject = Field(default_factory=dict)
        """Additional fields of the request's body, as the server documents them. Do not put a key here."""

        @field_validator("base_url")
        @classmethod
        def _address(cls, value: str) -> str:
            if "@" in value or "?" in value or "#" in value:
                raise ValueError("contains a password or a query; a key can only be set in the environment")
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
                raise ValueError("should be a URL such as http://localhost:8000/v1")
            return value

        @field_validator("extra")
        @classmethod
        def _no_key(cls, value: mftkit.JsonObject) -> mftkit.JsonObject:
            if name := _secret_in(value):
                raise ValueError(
                    f"contains {name}, which would be written to files; set the key in the environment"
                )
            return value

    options: Options

    @property
    def concurrency(self) -> int:
        """See ``mftkit.ChatModel``."""
        return self.options.concurrency

    def start(self, tell: Callable[[str], None]) -> None:
        """See ``mftkit.ChatModel``; sends no request."""
        import openai

        self._package = openai
        self._key = self._key_of_environment()
        mftkit.keep_secret(self._key)
        if problems := self.preflight():
            raise mftkit.ChatError(problems[0])
        self._client = openai.OpenAI(
            api_key=self._key or NO_KEY,
            base_url=self.options.base_url,
            timeout=self.options.timeout,
            max_retries=0,  # ours coordinate the threads, and are reported
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultHttpxClient(event_hooks={"response": [self._limit]}),
        )
        self._retries = Retries(
            self.options.base_url, self.options.retries, self.options.longest_wait, _without_secrets(tell)
        )
        self._estimated = False

    def preflight(self) -> list[str]:
        """See ``mftkit.Component``; the key is looked for where it is required."""
        if not all("!" <= c <= "~" for c in self._key_of_environment()):
            variable = self.options.key_variable
            return [
                f"the key in the environment variable {variable} contains a space, a line break or a character "
                "outside of ASCII, which no key has; set it again"
            ]
        if self._key_of_environment() or self.options.base_url.rstrip("/") != OWN:
            return []
        return [f"{OWN} requires a key: set the environment variable {self.options.key_variable}"]

    def _key_of_environment(self) -> str:
        return os.environ.get(self.options.key_variable, "").strip()

    def close(self) -> None:
        """See ``mftkit.ChatModel``."""
        if hasattr(self, "_client"):
            self._retries.stop()
            self._client.close()

    def reply(self, request: mftkit.ChatRequest) -> mftkit.Reply:
        """See ``mftkit.ChatModel``."""
        return self._retries.run(lambda: in_time(lambda: self._attempt(request), self._longest))

    @property
    def _longest(self) -> float:
        return PATIENCE * self.options.timeout

    def _limit(self, response: Any) -> None:
        limited(response, self._longest)

    def _attempt(self, request: mftkit.ChatRequest) -> mftkit.Reply:
        """Send a request once. Raises Passing for temporary failures, ChatError for others.

        Errors of the package are not chained: their texts and requests may contain the key.
        """
        package = self._package
        try:
            completion = self._client.chat.completions.create(**self._body(request))
        except package.APIStatusError as error:
            status, message, code = error.status_code, _message(error), str(error.code or "")
            wait = error.response.headers.get("retry-after")
        except package.APITimeoutError:
            raise Passing(f"no answer within {self.options.timeout:g} s") from None
        except package.APIConnectionError as error:
            raise Passing(_message(error.__cause__ or error)) from None
        except RecursionError:
            raise Passing("invalid reply: it is nested too deeply") from None
        except (package.OpenAIError, ValueError) as error:
            raise Passing(f"invalid reply: {_message(error)}") from None
        else:
            return self._reply(request, completion)
        if status in (400, 413, 422) and any(sign in f"{code} {message}".lower() for sign in TOO_LONG):
            return mftkit.Reply("", 0, 0, "context")
        raise self._refusal(status, code, message, wait) from None

    def _body(self, request: mftkit.ChatRequest) -> mftkit.JsonObject:
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
        """Read the server's reply. Raises Passing if it is invalid."""
        try:
            choice = completion.choices[0]
            text, reasoning = _texts(choice.message)
            reason = str(choice.finish_reason or "stop")[:LONGEST_REASON]
        except (AttributeError, LookupError, TypeError, RecursionError):
            message = _one_line(str(getattr(completion, "error", "") or "it is empty"))
            raise Passing(f"invalid reply: {message}") from None
        usage = getattr(completion, "usage", None)
        prompt, made = (getattr(usage, key, None) or 0 for key in ("prompt_tokens", "completion_tokens"))
        if usage is None or not all(isinstance(count, int) and count >= 0 for count in (prompt, made)):
            return self._estimate(request, text, reason, reasoning)
        return mftkit.Reply(text, prompt, made, reason, reasoning=reasoning)

    def _estimate(self, request: mftkit.ChatRequest, text: str, reason: str, reasoning: str) -> mftkit.Reply:
        if not self._estimated:
            self._estimated = True
            self._retries.tell(
                f"{self.options.base_url} does not report tokens; estimating one per {BYTES_PER_TOKEN} bytes"
            )
        prompt = sum(len(message["content"].encode()) for message in request.messages)
        completion = len((reasoning + text).encode("utf-8", "replace"))
        counts = (-(-prompt // BYTES_PER_TOKEN), -(-completion // BYTES_PER_TOKEN))
        return mftkit.Reply(text, *counts, reason, reasoning=reasoning)

    def _refusal(self, status: int, code: str, message: str, wait: str | None) -> Exception:
        where, variable = self.options.base_url, self.options.key_variable
        if code == "insufficient_quota":
            return mftkit.ChatError(f"{where}: the account's quota is used up ({status}): {message}", 1)
        if status in (408, 409, 429) or status >= 500:
            return Passing(f"{status}: {message}", wait, crowded=status == 429)
        if status in (401, 403):
            problem = (
                f"rejects the key in {variable}"
                if self._key
                else f"requires a key: set the environment variable {variable}"
            )
            return mftkit.ChatError(f"{where} {problem} ({status}): {message}")
        if status == 404:
            return mftkit.ChatError(
                f"{where} has no model {self.options.model} (404): {message}{self._models()}"
            )
        return mftkit.ChatError(f"{where} rejects the request ({status}): {message}")

    def _models(self) -> str:
        """Return which models the server has, if it lists them."""
        try:
            names = [str(model.id) for model in self._client.with_options(timeout=5).models.list().data]
        except Exception:  # the error that is being reported matters more
            return f"; check {self.options.base_url}, which usually ends in /v1"
        similar = mftkit.nearest(self.options.model, names)
        listed = f"; it has: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else ""
        return _one_line(listed + (f"; did you mean {similar[0]}?" if similar else ""))


def _without_secrets(tell: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: tell(mftkit.without_secrets(line))


def _message(error: BaseException) -> str:
    """Return an error's message on one line, without the key."""
    return _one_line(str(getattr(error, "message", None) or str(error) or type(error).__name__))


def _one_line(text: str) -> str:
    """Return the first characters of a text on one line; the key is hidden before it is cut."""
    line = " ".join(text[:LONGEST_BODY].split())[: 20 * LONGEST_MESSAGE]
    return mftkit.without_secrets(line)[:LONGEST_MESSAGE]


def _secret_in(value: object) -> str | None:
    """Return the name of a value that is a key or a password; None if there is none."""
    if isinstance(value, list):
        return next(filter(None, map(_secret_in, value)), None)
    if not isinstance(value, dict):
        return None
    own = (name for name, inner in value.items() if isinstance(inner, str) and mftkit.names_secret(name))
    return next(own, None) or _secret_in(list(value.values()))


def _texts(message: Any) -> tuple[str, str]:
    """Return a message's text, and its reasoning if the server sends it apart from the text.

    Servers with a parser of reasoning send it in a field of the message; some send the content as a list of parts.
    """
    content = message.content or ""
    texts: list[str] = []
    thoughts = [getattr(message, name, None) for name in REASONING_FIELDS]
    for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
        thinks = part.get("type") in THINKING_PARTS
        (thoughts if thinks else texts).append(_part_text(part))
    reasoning = next((text for text in thoughts if isinstance(text, str) and text.strip()), "")
    return "".join(texts), reasoning


def _part_text(part: mftkit.JsonObject) -> str:
    """Return the text of a part of a content, which may be a list of parts itself."""
    inner = part.get("text") or part.get("thinking") or part.get("reasoning") or ""
    return inner if isinstance(inner, str) else "".join(map(_part_text, inner))
