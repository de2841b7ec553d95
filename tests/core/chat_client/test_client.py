"""A chat: replies in order, each on the disk before it is seen, within a budget."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.base.checksums import CHECKSUM
from mftkit.chat_client.client import ChatClient
from mftkit.chat_client.reply_cache import ReplyCache
from mftkit.interfaces.chat import BudgetSpent, ChatError, ChatRequest, Reply


class Echo(mftkit.ChatModel):
    """Answers in a random-looking time with what it was asked; keeps what it was given."""

    concurrency = 1
    batch_size = 1

    def __init__(self, concurrency: int = 4, batch_size: int = 1, **options: Any) -> None:
        super().__init__(mftkit.ChatOptions(**{"reply_tokens": 10, **options}))
        self.concurrency, self.batch_size = concurrency, batch_size
        self.batches: list[list[str]] = []
        self.started = self.closed = 0
        self.fails: Callable[[str], Exception | None] = lambda _text: None

    def start(self, tell: Callable[[str], None]) -> None:
        self.started += 1

    def replies(self, requests: Any) -> list[Reply]:
        texts = [request.messages[-1]["content"] for request in requests]
        self.batches.append(texts)
        time.sleep(0.002 * (len(texts[0]) * 7 % 5))
        for text in texts:
            if error := self.fails(text):
                raise error
        return [Reply(f"{text}!", 2, 3, "stop") for text in texts]

    def close(self) -> None:
        self.closed += 1

    @property
    def asked(self) -> list[str]:
        return sorted(text for batch in self.batches for text in batch)


def chat(path: Path, model: Echo, identity: str = "echo") -> ChatClient:
    return ChatClient(model, ReplyCache(path, identity), lambda _line: None, lambda: None)


def requests(count: int, start: int = 0) -> list[ChatRequest]:
    return [ChatRequest.of("x" * (1 + i % 5) + str(i)) for i in range(start, start + count)]


@pytest.mark.parametrize(("concurrency", "batch"), [(1, 1), (8, 1), (1, 4), (3, 4)])
def test_replies_come_in_order_and_are_not_asked_for_again(
    tmp_path: Path, concurrency: int, batch: int
) -> None:
    path = tmp_path / "replies.jsonl"
    for run in range(2):
        model = Echo(concurrency, batch)
        with chat(path, model) as asking:
            replies = list(asking.ask_all(iter(requests(30))))
            assert [r.text for r in replies] == [r.messages[0]["content"] + "!" for r in requests(30)]
            assert {r.cached for r in replies} == {bool(run)}
            usage = asking.usage
        assert (usage.asked, usage.cached, usage.tokens) == ((0, 30, 150) if run else (30, 0, 150))
        assert len(model.asked) == (0 if run else 30)
        assert model.started == model.closed == (0 if run else 1)
        assert max((len(b) for b in model.batches), default=batch) == batch


def test_requests_are_under_way_together(tmp_path: Path) -> None:
    barrier = threading.Barrier(4, timeout=10)
    model = Echo(4)
    model.fails = lambda _text: None if barrier.wait() >= 0 else OSError()
    with chat(tmp_path / "r", model) as asking:
        assert len(list(asking.ask_all(requests(8)))) == 8


def test_equal_requests_have_replies_of_their_own_and_a_key_sets_apart(tmp_path: Path) -> None:
    path = tmp_path / "r"
    for asked in (4, 0):
        model = Echo()
        with chat(path, model) as asking:
            user = [{"role": "user", "content": "same"}]
            for key in (None, None, "a", "a"):
                asking.ask(user, key=key)
        assert len(model.asked) == asked
    for more in ({"key": "b"}, {"temperature": 0.5}):
        model = Echo()
        with chat(path, model) as asking:
            asking.ask(user, **more)
        assert model.asked == ["same"]
    other = Echo()
    with chat(path, other, "another model") as asking:
        asking.ask(user)
    assert other.asked == ["same"]


def test_seeds_differ_and_come_again(tmp_path: Path) -> None:
    seeds: list[list[int]] = []
    for name in ("a", "b"):
        model = Echo(1)
        found: list[int] = []
        answer = model.replies

        def kept(requests: Any, found: list[int] = found, answer: Any = answer) -> Any:
            found += [request.seed for request in requests]
            return answer(requests)

        model.replies = kept  # type: ignore[method-assign]
        with chat(tmp_path / name, model) as asking:
            list(asking.ask_all([*requests(3), *requests(3)]))
        seeds.append(found)
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 6


def test_a_line_that_a_kill_cut_short_is_asked_again_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with chat(path, Echo(1)) as asking:
        list(asking.ask_all(requests(10)))
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) - 30, len(whole.splitlines(keepends=True)[0]) + 5):
        path.write_bytes(whole[:size])
        left = whole[:size].count(b"\n")
        model = Echo()
        with chat(path, model) as asking:
            list(asking.ask_all(requests(10)))
        assert len(model.asked) == 10 - left
        assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_line_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with chat(path, Echo(1)) as asking:
        list(asking.ask_all(requests(3)))
    lines = path.read_text().splitlines()
    altered = lines[1].replace('"text": "', '"text": "x')
    path.write_text("\n".join([lines[0], "\0\0\0", "[]", altered, lines[2]]) + "\n")
    assert ReplyCache(path, "echo").damaged == 3
    model = Echo(1)
    with chat(path, model) as asking:
        list(asking.ask_all(requests(3)))
    assert len(model.asked) == 1, "the other two are in the cache"


def test_a_reply_is_on_the_disk_when_it_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with chat(path, Echo()) as asking:
        for number, reply in enumerate(asking.ask_all(requests(9)), 1):
            texts = [json.loads(line)["text"] for line in path.read_text().splitlines()]
            assert reply.text in texts
            assert len(texts) >= number


def test_an_error_comes_in_its_place_and_what_was_answered_stays(tmp_path: Path) -> None:
    path = tmp_path / "r"
    model = Echo(2)
    model.fails = lambda text: ChatError("gone", 1) if text.endswith("5") else None
    seen: list[str] = []
    with pytest.raises(ChatError, match="gone"), chat(path, model) as asking:
        seen.extend(reply.text for reply in asking.ask_all(requests(20)))
    assert len(seen) == 5
    mended = Echo()
    with chat(path, mended) as asking:
        assert len(list(asking.ask_all(requests(20)))) == 20
    answered = {text for text in model.asked if not text.endswith("5")}
    assert not answered & set(mended.asked)


def taken(path: Path, **options: Any) -> tuple[int, Echo, str]:
    """Replies until the budget ends them, the model, and what was said."""
    model = Echo(**options)
    replies: list[Reply] = []
    message = ""
    with chat(path, model) as asking:
        try:
            replies += asking.ask_all(requests(40))
        except BudgetSpent as spent:
            message = str(spent)
    return len(replies), model, message


def test_a_budget_ends_at_the_same_request_whatever_is_under_way(tmp_path: Path) -> None:
    # A reply costs 5 tokens, and may cost 10 and its prompt (16, and a byte each); so the last that is made
    # is the one before which at least 10 + 16 + its bytes are left.
    counts = set()
    for concurrency in (1, 3, 8):
        number, model, message = taken(tmp_path / str(concurrency), concurrency=concurrency, max_tokens=120)
        assert len(model.asked) == number
        assert number * 5 <= 120
        assert "of 120 tokens (max_tokens)" in message
        counts.add(number)
    assert len(counts) == 1
    assert 15 <= counts.pop() < 24


def test_a_raised_budget_goes_on_and_the_same_one_costs_nothing(tmp_path: Path) -> None:
    number, first, _ = taken(tmp_path / "r", max_tokens=100)
    again, second, message = taken(tmp_path / "r", max_tokens=100)
    assert (again, second.asked, bool(message)) == (number, [], True)
    assert second.started == 0
    more, third, _ = taken(tmp_path / "r", max_tokens=1000)
    assert more == 40
    assert not set(first.asked) & set(third.asked)


def test_a_budget_of_money(tmp_path: Path) -> None:
    prices = {"price_in": 1e6, "price_out": 2e6}  # 2 and 6 a reply; at most 18 and some, and 20, before it
    number, _, message = taken(tmp_path / "r", max_cost=100.0, **prices)
    assert 6 <= number <= 8
    assert f"a cost of {number * 8} of 100 (max_cost)" in message
    with pytest.raises(ValueError, match="max_cost needs prices"):
        mftkit.ChatOptions(max_cost=1.0)


def test_requests_are_taken_a_little_ahead_only(tmp_path: Path) -> None:
    taken_from: list[int] = []

    def endless() -> Iterator[ChatRequest]:
        for i in range(10_000):
            taken_from.append(i)
            yield ChatRequest.of(str(i))

    with chat(tmp_path / "r", Echo(2)) as asking:
        replies = asking.ask_all(endless())
        for _ in range(3):
            next(replies)
    assert len(taken_from) <= 8


def test_a_model_of_the_wrong_number_of_replies_is_an_error(tmp_path: Path) -> None:
    model = Echo(1, 2)
    model.replies = lambda requests: [Reply("one", 1, 1, "stop")]  # type: ignore[method-assign]
    with chat(tmp_path / "r", model) as asking, pytest.raises(ValueError, match="zip"):
        list(asking.ask_all(requests(2)))


def test_closing_keeps_what_is_under_way(tmp_path: Path) -> None:
    path = tmp_path / "r"
    model = Echo(4)
    with chat(path, model) as asking:
        next(asking.ask_all(requests(20)))
    recorded = len(path.read_text().splitlines())
    assert recorded == len(model.asked)


@pytest.mark.parametrize("opened", ["<think>", "[THINK]", ""])
def test_reasoning_is_kept_in_the_record_and_is_no_part_of_the_reply(tmp_path: Path, opened: str) -> None:
    closed = "[/THINK]" if "[" in opened else "</think>"

    class Thinker(Echo):
        def replies(self, requests: Any) -> list[Reply]:
            return [
                Reply(f"{opened}A draft.\n{closed}\n{reply.text}", 2, 3, "stop")
                for reply in super().replies(requests)
            ]

    for cached in (False, True):
        with chat(tmp_path / "r", Thinker()) as opened_chat:
            reply = opened_chat.ask([{"role": "user", "content": "hi"}])
        assert (reply.text, reply.reasoning, reply.cached, reply.complete) == (
            "hi!",
            "A draft.",
            cached,
            True,
        )
    [record] = map(json.loads, (tmp_path / "r").read_text().splitlines())
    assert (record["text"], record["reasoning"]) == ("hi!", "A draft.")


def test_a_reply_that_ends_in_its_reasoning_is_incomplete(tmp_path: Path) -> None:
    class CutOff(Echo):
        def replies(self, requests: Any) -> list[Reply]:
            return [Reply("<think>\nI have to", 2, 3, "length") for _ in requests]

    with chat(tmp_path / "r", CutOff()) as opened:
        reply = opened.ask([{"role": "user", "content": "hi"}])
    assert (reply.text, reply.reasoning, reply.complete) == ("", "I have to", False)


@pytest.mark.parametrize(
    ("text", "answer"),
    [("<think>a</think>b", "b"), ("a\n</think>\nb", "b"), ("Use `<think>`.", "Use `<think>`.")],
)
def test_replies_of_earlier_versions_are_split_when_they_are_read(
    tmp_path: Path, text: str, answer: str
) -> None:
    with chat(tmp_path / "r", Echo()) as opened:
        opened.ask([{"role": "user", "content": "hi"}])
    record = json.loads((tmp_path / "r").read_text())
    del record["reasoning"], record[CHECKSUM]
    (tmp_path / "r").write_text(json.dumps({**record, "text": text}) + "\n")
    with chat(tmp_path / "r", Echo()) as opened:
        reply = opened.ask([{"role": "user", "content": "hi"}])
    assert (reply.text, reply.cached) == (answer, True)
