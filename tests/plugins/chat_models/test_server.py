"""The client of an OpenAI server, against real HTTP on the loopback."""

import base64
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

import mftkit
from chat_server import MODEL, Answer, ChatServer, serving
from mftkit.chat_client.client import ChatClient
from mftkit.chat_client.reply_cache import ReplyCache
from mftkit_plugins.chat_models import retrying
from mftkit_plugins.chat_models.server import Server

SECRET = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def connect(lines: list[str]) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def connected(server: ChatServer | str, **options: Any) -> Server:
        url = server if isinstance(server, str) else server.url
        model = Server(Server.Options(**{"model": MODEL, "base_url": url, "timeout": 5, **options}))
        model.start(lines.append)
        made.append(model)
        return model

    yield connected
    for model in made:
        model.close()


@contextmanager
def scripted(*answers: Answer) -> Iterator[ChatServer]:
    """Answers one after the other, the last one from then on."""

    def script(_body: dict[str, Any], number: int) -> Answer:
        return answers[min(number, len(answers) - 1)]

    with serving(script) as server:
        yield server


ASK = mftkit.ChatRequest.of("two words", "a key", "be brief", temperature=0.25, stop=["END"])
GOOD = Answer("three words here")


def test_what_is_sent_and_what_comes_back(connect: Callable[..., Server]) -> None:
    with scripted(GOOD) as server:
        model = connect(server, top_p=0.9, extra={"seed": 5}, limit_field="max_completion_tokens")
        reply = model.reply(ASK)
        [body], [headers] = server.bodies, server.headers
    assert reply == mftkit.Reply("three words here", 4, 3, "stop")
    assert body == {
        "model": MODEL,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "two words"}],
        "temperature": 0.25,
        "top_p": 0.9,
        "stop": ["END"],
        "max_completion_tokens": 2048,
        "seed": 5,
    }
    assert headers["authorization"] == f"Bearer {SECRET}"


def test_the_key_comes_from_the_named_variable_alone(
    connect: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_FULL_HINT", "other")
    with scripted(GOOD) as server:
        connect(server, key_variable="CACHE_FULL_HINT").reply(ASK)
        connect(server, key_variable="NOT_SET").reply(ASK)
    assert [h["authorization"] for h in server.headers] == ["Bearer other", "Bearer none"]
    with pytest.raises(mftkit.ChatError, match="requires a key: set the environment variable NOT_SET"):
        connect("https://api.openai.com/v1", key_variable="NOT_SET")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Answer(status=500, error={"message": "oops"}), "500: .*oops"),
        (Answer(status=503, error={"message": "loading"}), "503"),
        (Answer(status=429, error={"message": "slow down"}), "429"),
        (Answer(status=408, error={"message": "late"}), "408"),
        (Answer("words", cut=True), "."),
        (Answer(body=b'{"choices": [{"mess'), "invalid reply"),
        (Answer(body=b"<html>busy</html>"), "invalid reply"),
        (Answer(body=b'{"choices": []}'), "invalid reply"),
        (Answer(body=b'{"error": {"message": "upstream"}}'), "upstream"),
    ],
)
def test_what_may_pass_is_tried_again(
    connect: Callable[..., Server], lines: list[str], failure: Answer, said: str
) -> None:
    with scripted(failure, failure, GOOD) as server:
        reply = connect(server).reply(ASK)
        assert (reply.text, server.requests) == (GOOD.text, 3)
    assert len(lines) == 1, "one line for what comes again at once"
    assert "trying again in" in lines[0]
    with scripted(failure) as server, pytest.raises(mftkit.ChatError, match=said) as error:
        connect(server, retries=1).reply(ASK)
    assert error.value.exit_code == 2
    assert server.requests == 2


def test_a_silent_server_is_given_up_after_the_time_limit(connect: Callable[..., Server]) -> None:
    with scripted(Answer("late", seconds=3), GOOD) as server:
        started = time.monotonic()
        assert connect(server, timeout=0.3).reply(ASK).text == GOOD.text
        assert time.monotonic() - started < 2.5
        assert server.requests == 2


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(connect: Callable[..., Server], as_date: bool) -> None:
    # a date has whole seconds, so that up to one of them is lost
    value = formatdate(time.time() + 3, usegmt=True) if as_date else "1"
    limited = Answer(status=429, headers={"retry-after": value}, error={"message": "slow down"})
    with scripted(limited, GOOD) as server:
        connect(server).reply(ASK)
        first, second = server.times
    assert second - first >= 0.99


def test_one_refusal_holds_up_all_requests(connect: Callable[..., Server]) -> None:
    limited = Answer(status=429, headers={"retry-after": "1"}, error={"message": "slow down"})
    with scripted(limited, GOOD) as server:
        model = connect(server)
        with pytest.raises(retrying.Passing) as caught:
            model._attempt(ASK)
        model._retries._failed(caught.value, 0)
        model._retries._until = time.monotonic() + 0.5
        model.reply(ASK)
        assert server.times[1] - server.times[0] >= 1.4


def test_many_requests_at_a_server_that_takes_few_wait_their_turn(
    connect: Callable[..., Server], tmp_path: Path
) -> None:
    def script(body: dict[str, Any], number: int) -> Answer:
        if number % 3:  # counted, not timed: a busy machine changes nothing
            return Answer(status=429, error={"message": "too many requests"})
        return Answer(body["messages"][-1]["content"])

    with serving(script) as server:
        model = Server(
            Server.Options(model=MODEL, base_url=server.url, concurrency=8, retries=3, longest_wait=0.02)
        )
        with ChatClient(model, ReplyCache(tmp_path / "r", "x"), lambda _line: None, lambda: None) as chat:
            texts = [reply.text for reply in chat.ask_all(mftkit.ChatRequest.of(str(i)) for i in range(24))]
        refused = server.requests - len(texts)
    assert texts == [str(i) for i in range(24)]
    assert refused in range(46, 51)


def test_a_wait_that_is_too_long_ends_it(connect: Callable[..., Server]) -> None:
    limited = Answer(status=429, headers={"retry-after": "3600"}, error={"message": "tomorrow"})
    with (
        scripted(limited) as server,
        pytest.raises(
            mftkit.ChatError, match=r"asks to wait 3600 s, longer than longest_wait \(60 s\)"
        ) as error,
    ):
        connect(server).reply(ASK)
    assert (server.requests, error.value.exit_code) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "said", "code"),
    [
        (Answer(status=401, error={"message": "bad key"}), "rejects the key in OPENAI_API_KEY .401.", 2),
        (Answer(status=403, error={"message": "not you"}), "rejects the key in OPENAI_API_KEY .403.", 2),
        (
            Answer(status=404, error={"message": "none"}),
            "has no model scriptde .* did you mean scripted?",
            2,
        ),
        (
            Answer(status=400, error={"message": "temperature"}),
            r"rejects the request \(400\): .*temperature",
            2,
        ),
        (
            Answer(status=429, error={"message": "pay", "code": "insufficient_quota"}),
            "quota is used up",
            1,
        ),
    ],
)
def test_what_will_not_pass_is_reported_at_once(
    connect: Callable[..., Server], answer: Answer, said: str, code: int
) -> None:
    with scripted(answer) as server, pytest.raises(mftkit.ChatError, match=said) as error:
        connect(server, model="scriptde").reply(ASK)
    assert (server.requests, error.value.exit_code) == (1, code)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "This model's maximum context length is 4096 tokens", "code": None},
        {"message": "too big", "code": "context_length_exceeded"},
    ],
)
def test_messages_that_are_too_long_are_an_answer(
    connect: Callable[..., Server], error: dict[str, Any]
) -> None:
    with scripted(Answer(status=400, error=error)) as server:
        reply = connect(server).reply(ASK)
    assert reply == mftkit.Reply("", 0, 0, "context")
    assert not reply.complete


def test_cut_off_and_empty_replies_are_returned_as_they_are(connect: Callable[..., Server]) -> None:
    with scripted(Answer("half a", finish="length"), Answer("")) as server:
        model = connect(server)
        cut, empty = model.reply(ASK), model.reply(ASK)
    assert (cut.finish_reason, cut.complete) == ("length", False)
    assert (empty.text, empty.complete) == ("", False)


def test_tokens_that_are_not_reported_are_estimated(connect: Callable[..., Server], lines: list[str]) -> None:
    with scripted(Answer("x" * 10, usage=False)) as server:
        model = connect(server)
        assert model.reply(ASK) == mftkit.Reply("x" * 10, 5, 3, "stop")
        model.reply(ASK)
    assert [line for line in lines if "does not report tokens" in line] == lines[:1]


def test_a_server_that_is_not_there_is_the_users_mistake(connect: Callable[..., Server]) -> None:
    with scripted(GOOD) as server:
        url = server.url
    with pytest.raises(
        mftkit.ChatError, match=r"does not respond \(3 attempts\): .*; check base_url"
    ) as error:
        connect(url, retries=2).reply(ASK)
    assert error.value.exit_code == 2


def test_a_server_that_dies_and_comes_back(connect: Callable[..., Server], lines: list[str]) -> None:
    with scripted(GOOD) as server:
        model = connect(server, retries=2, longest_wait=0.05)
        model.reply(ASK)
        server.stop()
        with pytest.raises(
            mftkit.ChatError, match=r"no longer responds \(3 attempts\).*run again to continue"
        ) as error:
            model.reply(ASK)
        assert error.value.exit_code == 1
        server.start()
        assert model.reply(ASK).text == GOOD.text
    assert "trying again" in lines[0]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=401, error={"message": f"Incorrect API key provided: {SECRET}"}),
        Answer(status=400, error={"message": f"odd header {SECRET}"}),
        Answer(status=500, error={"message": f"oops {SECRET}"}),
        Answer(status=404, error={"message": f"none for {SECRET}"}),
        Answer(body=f'{{"error": "{SECRET}"}}'.encode()),
        Answer(status=400, error={"message": f"{'x' * 450} {SECRET} {SECRET}"}),
        Answer(status=400, error={"message": f"Basic {base64.b64encode(f'me:{SECRET}'.encode()).decode()}"}),
        Answer(status=404, error={"message": f"no page ?api_key={SECRET.replace('-', '%2D')}"}),
    ],
)
def test_the_key_stands_in_no_message_log_or_traceback(
    connect: Callable[..., Server], lines: list[str], caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    with scripted(answer) as server, pytest.raises(mftkit.ChatError) as error:
        connect(server, retries=1).reply(ASK)
    shown = "".join(traceback.format_exception(error.value)) + "".join(lines)
    assert "[key]" in shown
    assert not any(SECRET[start : start + 8] in shown for start in range(len(SECRET) - 7))
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpcore")]
    assert SECRET not in "".join(ours)


@pytest.mark.parametrize("key", ["sk-one\nsk-two", "sk one", "sk-\u00e9", "Bearer\tsk-one"])
def test_a_key_that_no_header_may_have_is_refused_unseen(
    connect: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(mftkit.ChatError, match="variable OPENAI_API_KEY contains a space, a line") as error:
        connect("http://127.0.0.1:1/v1")
    assert not any(part in str(error.value) for part in key.split())


@pytest.mark.parametrize("extra", [{"api_key": "sk-1"}, {"inner": [{"Authorization": "Bearer x"}]}])
def test_a_key_among_the_options_is_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="set the key in the environment"):
        Server.Options(model="m", extra=extra)


def test_a_key_that_the_server_sends_back_is_not_written(
    connect: Callable[..., Server], tmp_path: Path
) -> None:
    with scripted(Answer(f"Your key is {SECRET}, is it not?", finish=SECRET)) as server:
        replies = ReplyCache(tmp_path / "replies.jsonl", {})
        with ChatClient(connect(server), replies, print, lambda: None) as client:
            reply = client.ask([{"role": "user", "content": "hello"}])
    assert reply.text == "Your key is [key], is it not?"
    assert SECRET not in (tmp_path / "replies.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://x",
        "http://",
        "http://h\n/v1",
        "http://me:word@host/v1",
        "http://me:w/rd@host/v1",
        "http://h/v1?key=1",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"should be a URL|contains a password"):
        Server.Options(model="m", base_url=url)


def test_what_is_no_reply_ends_with_the_generation(connect: Callable[..., Server]) -> None:
    """Closing wakes a request that waits for its next try."""
    import threading

    with scripted(Answer(status=500, error={"message": "oops"})) as server:
        model = connect(server, longest_wait=60)
        model._retries._sleep = lambda seconds: type(model._retries)._sleep(model._retries, 30)  # type: ignore[method-assign]
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                model.reply(ASK)
            except mftkit.ChatError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        model.close()
        thread.join(5)
        assert "the generation is over" in str(errors[0])


@pytest.mark.parametrize(
    "message",
    [
        {"content": "An answer.", "reasoning_content": "A draft."},
        {"content": "An answer.", "reasoning": "A draft.", "reasoning_content": None},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "A draft."}]},
                {"type": "text", "text": "An answer."},
            ]
        },
    ],
)
def test_reasoning_that_the_server_sends_apart(
    connect: Callable[..., Server], message: dict[str, object]
) -> None:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
        "usage": usage,
    }
    with scripted(Answer(body=json.dumps(body).encode())) as server:
        reply = connect(server).reply(ASK)
    assert reply == mftkit.Reply("An answer.", 4, 3, "stop", reasoning="A draft.")
