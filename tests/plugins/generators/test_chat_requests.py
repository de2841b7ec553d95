"""Replies of no use: asked for again within limits, then given up and counted. A generator that asks a model
is tried as a task uses it, with a server that answers well, badly, or not at all."""

import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mftkit
from chat_server import MODEL, Answer, ChatServer, content, good, serving
from mftkit.data.rows.formats import read_conversation
from mftkit.plugins import installed, kinds

Make = Callable[..., tuple[list[dict[str, Any]], Counter[str]]]
SEEDS: list[dict[str, Any]] = [
    {"instruction": "Explain to a friend what a list is.", "output": "a row of values"},
    {
        "instruction": "Is this name a good one?",
        "is_classification": True,
        "instances": [{"input": "x", "output": "no"}],
    },
    {
        "instruction": "Write a loop over these numbers.",
        "input": "1 2 3",
        "output": "for n in (1, 2, 3): ...",
    },
]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as made:
        yield made


@pytest.fixture
def make(server: ChatServer, tmp_path: Path) -> Make:
    """Rows of a generator and what it counted; ``directory`` and ``concurrency`` as well as its options."""

    def made(name: str, **options: Any) -> tuple[list[dict[str, Any]], Counter[str]]:
        counts: Counter[str] = Counter()
        chat = {"model": MODEL, "base_url": server.url, "concurrency": options.pop("concurrency", 4)}
        directory = tmp_path / options.pop("directory", "work")
        seed = options.pop("seed", 7)
        given = {"model": {"name": "openai", "options": chat}, "round": 2, **options}
        generator = installed.build(kinds.DATA_GENERATOR, name, given)
        context = mftkit.GenerationContext(seed, "a-task", directory, lambda **more: counts.update(more))
        return list(generator.rows(context)), counts

    return made


@pytest.fixture
def seeds(tmp_path: Path) -> str:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    return str(path)


def options_of(name: str, seeds: str) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {
        "code-exercises": {"samples": 12, "exercises": 3, "refine": True},
        "self-instruct": {"samples": 12, "seeds": seeds, "asked": 3},
        "camel": {"topics": ["sorting"], "subtopics": 3, "goal": 2},
    }
    return options[name]


NAMES = ("code-exercises", "self-instruct", "camel")


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_read_by_a_task_and_say_where_they_come_from(name: str, make: Make, seeds: str) -> None:
    rows, counts = make(name, **options_of(name, seeds))
    assert len(rows) == counts["kept"] == (3 if name == "camel" else 12)
    for number, row in enumerate(rows, 1):
        read_conversation(row)
        assert row["id"] == f"{name}-{number:06d}"
        assert (row["generator"], row["model"], row["data_name"]) == (name, MODEL, "a-task")
        assert row["topic"]
        assert row["round"] >= 1
    assert len({json.dumps(row["messages"]) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_same_whatever_is_under_way(
    name: str, make: Make, seeds: str, server: ChatServer
) -> None:
    def slow(body: dict[str, Any], number: int) -> Answer:
        return Answer(good(body, number).text, seconds=0.005 * (number * 7 % 4))

    server.script = slow
    one = make(name, **options_of(name, seeds), concurrency=1, directory="one")
    asked = server.counts()
    server.bodies.clear()
    assert make(name, **options_of(name, seeds), concurrency=8, directory="eight") == one
    assert server.most_at_once > 1
    assert set(asked) <= set(server.counts())
    server.bodies.clear()
    assert make(name, **options_of(name, seeds), directory="one") == one
    assert server.requests == 0


BAD = {
    "empty reply": Answer(" \n"),
    "cut off": Answer("[half", finish="length"),
    "wrong format": Answer("I cannot do that, { sorry"),
}


@pytest.mark.parametrize(
    ("name", "bad"),  # what the agents of camel say has no format
    [(name, bad) for name in NAMES for bad in BAD if (name, bad) != ("camel", "wrong format")],
)
def test_a_bad_reply_is_asked_for_again(
    name: str, bad: str, make: Make, seeds: str, server: ChatServer
) -> None:
    def script(body: dict[str, Any], number: int) -> Answer:
        return BAD[bad] if number % 5 == 3 else good(body, number)

    server.script = script
    rows, counts = make(name, **options_of(name, seeds), concurrency=1)
    assert len(rows) == (3 if name == "camel" else 12)
    bad_counts = {what: number for what, number in counts.items() if what.endswith(bad)}
    assert sum(bad_counts.values()) >= 1
    assert not [what for what in counts if "given up" in what]
    assert not [
        row
        for row in rows
        for turn in row["messages"]
        if not turn["content"].strip() or "sorry" in turn["content"]
    ]


def test_a_request_is_given_up_after_its_tries(make: Make, server: ChatServer) -> None:
    def script(body: dict[str, Any], number: int) -> Answer:
        prompt = body["messages"][-1]["content"]
        return Answer("") if prompt.startswith("Solve") and "sorts" in prompt else good(body, number)

    server.script = script
    rows, counts = make("code-exercises", samples=30, exercises=5, tries=2)
    assert len(rows) == 30
    assert counts["solutions: given up"] > 0
    assert counts["solutions: empty reply"] == 2 * counts["solutions: given up"]
    assert not [row for row in rows if "sorts" in row["messages"][0]["content"]]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_never_answers_well_ends_soon(
    name: str, make: Make, seeds: str, server: ChatServer
) -> None:
    server.script = lambda _body, _number: Answer("")
    options = options_of(name, seeds) | (
        {"subtopics": 0, "topics": list("abcdefghij")} if name == "camel" else {}
    )
    rows, counts = make(name, **options, tries=2)
    assert rows == []
    assert server.requests <= 3 * 2 * 2 * 2
    assert [what for what in counts if "given up" in what]


def test_solutions_are_code_of_the_topics_language(make: Make, tmp_path: Path) -> None:
    topics = tmp_path / "rust.json"
    topics.write_text(json.dumps({"language": "Rust", "topics": {"ownership": ["moves", "borrows"]}}))
    rows, _ = make("code-exercises", samples=4, exercises=2, topics=str(topics))
    assert {row["topic"] for row in rows} == {"ownership: moves", "ownership: borrows"}
    assert all(row["messages"][1]["content"].startswith("```rust\n") for row in rows)
    python, _ = make("code-exercises", samples=4, directory="python")
    for row in python:
        ast.parse(row["messages"][1]["content"].removeprefix("```python\n").removesuffix("\n```"))


def test_exercises_that_come_again_are_left_out(make: Make, server: ChatServer) -> None:
    def script(body: dict[str, Any], number: int) -> Answer:
        text = content(body["messages"][-1]["content"])
        return (
            Answer(json.dumps([{"exercise": f"One of {i}"} for i in range(3)]))
            if "exercise" in text
            else Answer(text)
        )

    server.script = script
    rows, counts = make("code-exercises", samples=10)
    assert len(rows) == 3
    assert counts["exercises: repeated"] >= 3 * 2 * 2


def test_prompts_are_refined_only_where_asked_for(make: Make, server: ChatServer) -> None:
    def asked(**options: Any) -> list[str]:
        server.bodies.clear()
        make("code-exercises", samples=4, directory=str(options), **options)
        return [body["messages"][-1]["content"] for body in server.bodies]

    assert not [text for text in asked() if text.startswith("Below is a request")]
    refined = asked(refine=True)
    assert [text for text in refined if text.startswith("Below is a request")]
    assert all("with data of a shop" in text for text in refined if "Give 5 exercises" in text)


def test_new_tasks_are_shown_from_the_next_round_on(make: Make, seeds: str, server: ChatServer) -> None:
    make("self-instruct", samples=12, seeds=seeds, asked=3, shown_seeds=2, shown_made=2)
    prompts = [
        b["messages"][-1]["content"]
        for b in server.bodies
        if b["messages"][-1]["content"].startswith("Come up")
    ]
    own = [sum(seed["instruction"] in prompt for seed in SEEDS) for prompt in prompts]
    assert own[:2] == [3, 3], "seeds stand in for what is not there yet"
    assert set(own[2:]) == {2}


def test_a_classification_has_its_output_first(make: Make, seeds: str, server: ChatServer) -> None:
    rows, _ = make("self-instruct", samples=12, seeds=seeds, asked=4)
    prompts = [body["messages"][-1]["content"] for body in server.bodies]
    first = [p for p in prompts if p.startswith("Make up") and "the label first" in p]
    assert first
    assert all('[{"output": "no", "input": "x"}]' in prompt for prompt in first)
    assert {row["topic"] for row in rows} == {"classification", "generation"}


def test_tasks_that_are_too_similar_or_odd_are_dropped(make: Make, seeds: str, server: ChatServer) -> None:
    listed = [
        "Explain to a friend what a list is!",
        "Draw a picture of the tree of calls.",
        "Too short",
        "Write a parser for the dates in this log file.",
        "* is this a sentence of its own",
    ]

    def script(body: dict[str, Any], number: int) -> Answer:
        prompt = body["messages"][-1]["content"]
        text = "\n".join(f"{i}. {task}" for i, task in enumerate(listed, 9))
        return Answer(text) if prompt.startswith("Come up") else good(body, number)

    server.script = script
    rows, counts = make("self-instruct", samples=9, seeds=seeds)
    assert {row["group"] for row in rows} == {listed[3]}
    for why in ("too similar", "blocked word", "too short or long", "no sentence"):
        assert counts[f"tasks: {why}"] > 0


def test_an_input_with_two_outputs_is_left_out(make: Make, seeds: str, server: ChatServer) -> None:
    found = [{"input": "a", "output": "1"}, {"input": "a", "output": "2"}, {"input": "b", "output": "3"}]

    def script(body: dict[str, Any], number: int) -> Answer:
        prompt = body["messages"][-1]["content"]
        return Answer(json.dumps(found)) if prompt.startswith("Make up") else good(body, number)

    server.script = script
    rows, _ = make("self-instruct", samples=3, seeds=seeds, instances=3)
    assert {row["messages"][1]["content"] for row in rows} == {"3"}


def test_a_session_goes_on_until_its_goal_or_the_students_end(make: Make, server: ChatServer) -> None:
    def script(body: dict[str, Any], number: int) -> Answer:
        system = body["messages"][0]["content"]
        if "part 1" in system and "In each turn ask" in system and len(body["messages"]) > 3:
            return Answer("Thank you. <DONE>")
        return good(body, number)

    server.script = script
    rows, counts = make("camel", topics=["sorting"], subtopics=2, goal=3)
    turns = {row["topic"]: len(row["messages"]) for row in rows}
    assert turns == {"sorting: part 0 of sorting": 6, "sorting: part 1 of sorting": 2}
    assert counts["sessions: ended by the student"] == 1
    pairs, _ = make("camel", topics=["sorting"], subtopics=2, goal=3, rows="exchange", directory="pairs")
    assert [len(row["messages"]) for row in pairs] == [2] * 4


def test_a_session_ends_where_the_context_does(make: Make, server: ChatServer) -> None:
    def script(body: dict[str, Any], number: int) -> Answer:
        if len(body["messages"]) > 4:
            return Answer(
                status=400, error={"message": "maximum context length", "code": "context_length_exceeded"}
            )
        return good(body, number)

    server.script = script
    rows, counts = make("camel", topics=["sorting", "trees"], subtopics=0, goal=9)
    assert [len(row["messages"]) for row in rows] == [4, 4]
    assert counts["questions: too long for the model"] == 2, "not asked again: it stays too long"


def test_each_side_sees_itself_as_the_assistant(make: Make, server: ChatServer) -> None:
    [row], _ = make("camel", topics=["sorting"], subtopics=0, goal=2, student_role="Ada", teacher_role="Bob")
    student, teacher = server.bodies[2]["messages"], server.bodies[3]["messages"]
    said = [turn["content"] for turn in row["messages"]]
    assert [m["role"] for m in student] == ["system", "user", "assistant", "user"]
    assert [m["content"] for m in student[2:]] == said[:2]
    assert student[0]["content"].startswith("You are Ada, talking to Bob about sorting.")
    assert [m["content"] for m in teacher[1:]] == said[:3]
    assert [m["role"] for m in teacher] == ["system", "user", "assistant", "user"]
    assert teacher[0]["content"].startswith("You are Bob, talking to Ada about sorting.")


def test_the_student_may_be_another_model(make: Make, server: ChatServer) -> None:
    other = {"name": "openai", "options": {"model": "other", "base_url": server.url}}
    make("camel", topics=["sorting"], subtopics=1, goal=1, student_model=other)
    assert [body["model"] for body in server.bodies] == [MODEL, "other", MODEL]


@pytest.mark.parametrize("name", NAMES)
def test_no_more_is_asked_than_is_wanted(name: str, make: Make, seeds: str, server: ChatServer) -> None:
    options = options_of(name, seeds) | {"samples": 2, "round": 16}
    rows, counts = make(name, **options)
    assert len(rows) == counts["kept"] == 2
    # prompts, refined prompts and solutions; tasks, kinds and instances; subtopics, and two exchanges of two sessions
    assert server.requests == {"code-exercises": 1 + 1 + 2, "self-instruct": 1 + 2 + 2, "camel": 1 + 8}[name]


@pytest.mark.parametrize("name", ["code-exercises", "self-instruct"])
def test_more_rows_cost_only_what_is_new(name: str, make: Make, seeds: str, server: ChatServer) -> None:
    options = options_of(name, seeds)
    some, _ = make(name, **options | {"samples": 5})
    more, _ = make(name, **options)
    assert more[: len(some)] == some
    assert max(server.counts().values()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_what_a_budget_paid_for_is_used(
    name: str, make: Make, seeds: str, server: ChatServer, tmp_path: Path
) -> None:
    """Every good solution, instance or answer that came becomes a row, also in the round that the budget ends in."""
    options = options_of(name, seeds) | {"round": 16}
    whole, _ = make(name, **options, directory="whole")
    last = {"code-exercises": "Solve this", "self-instruct": "Make up", "camel": "You are an experienced"}[
        name
    ]
    server.bodies.clear()
    [replies] = (tmp_path / "whole").glob("replies-*.jsonl")
    spent = [json.loads(line) for line in replies.read_text().splitlines()]
    tokens = sum(reply["prompt_tokens"] + reply["completion_tokens"] for reply in spent)
    # at its longest the last request takes more than it did, so there is no room for it
    chat = {"model": MODEL, "base_url": server.url, "reply_tokens": 50, "max_tokens": tokens}
    generator = installed.build(
        kinds.DATA_GENERATOR, name, {**options, "model": {"name": "openai", "options": chat}}
    )
    rows: list[dict[str, Any]] = []
    context = mftkit.GenerationContext(7, "a-task", tmp_path / "some", lambda **_: None)
    with pytest.raises(mftkit.BudgetSpent):
        rows.extend(generator.rows(context))  # extends until it is raised
    paid = [body for body in server.bodies if body["messages"][0]["content"].startswith(last)]
    pairs = [turn for row in rows for turn in row["messages"] if turn["role"] == "assistant"]
    assert 0 < len(pairs) == len(paid) < sum(len(row["messages"]) // 2 for row in whole)
