"""Queries by their results, on databases of files and of statements."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.plugins import installed, kinds
from mftkit_plugins.evaluators.execution.sandbox import Sandbox
from mftkit_plugins.evaluators.sql.execution import Database, Queries
from mftkit_plugins.evaluators.sql.queries import is_ordered, normalised, query_of
from mftkit_plugins.evaluators.sql.results import same_rows

SCHEMA = "CREATE TABLE t (name TEXT, size REAL, n INTEGER);\nINSERT INTO t VALUES ('a', 0.1, 1), ('b', 0.2, 2), ('b', NULL, 2);"
SUM = {"prompt": "Sum?", "answer": "SELECT name, sum(n) FROM t GROUP BY name", "schema": SCHEMA}
Make = Callable[..., Any]

ANSWERS = {
    "the same": ("select name,  SUM(n) from t group by name;", True, True),
    "fenced": ("So:\n```sql\nSELECT name, sum(n) FROM t GROUP BY name;\n```\nIt sums.", True, True),
    "another query": ("SELECT name, total(n) FROM t GROUP BY 1 ORDER BY 2 DESC", True, False),
    "columns in another order": ("SELECT sum(n), name FROM t GROUP BY name", False, False),
    "a duplicate": ("SELECT name, sum(n) FROM t GROUP BY name UNION ALL SELECT 'b', 4", False, False),
    "an error": ("SELECT name FROM u", False, False),
    "a change": ("DELETE FROM t", False, False),
    "two statements": ("SELECT name, sum(n) FROM t GROUP BY name; SELECT 1", False, False),
    "nothing": ("", False, False),
    "a file": ("ATTACH 'x.sqlite' AS x", False, False),
    "without end": ("WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r", False, False),
    "too much": ("WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r", False, False),
}  # fmt: skip


@pytest.mark.parametrize("executor", ["bubblewrap", "rlimits"])
def test_a_result_decides(evaluated: Make, executor: str) -> None:
    why = installed.build(kinds.EXECUTOR, executor, {}).unavailable()
    if why is not None:
        pytest.skip(f"{executor} cannot be used here: {why}")
    made = evaluated("sql", isolation=executor, seconds=0.5, output_kib=64)
    found = dict(zip(ANSWERS, made(SUM, *(answer for answer, _e, _t in ANSWERS.values())), strict=True))
    assert {name: each.passed for name, each in found.items()} == {
        name: e for name, (_a, e, _t) in ANSWERS.items()
    }
    exact = {name: bool(each.scores["exact"]) for name, each in found.items()}
    assert exact == {name: same for name, (_a, _e, same) in ANSWERS.items()}
    notes = {name: each.note for name, each in found.items()}
    assert notes["an error"] == "no such table: u"
    assert notes["a change"] == notes["a file"] == "not authorized"
    assert notes["without end"] == "it takes too long"
    assert notes["too much"] == "it returns too much"
    assert notes["a duplicate"] == "another result: 3 rows, not the 2 expected ones"


def test_columns_may_be_in_any_order(evaluated: Make) -> None:
    made = evaluated("sql", columns="any")
    assert made.passed(SUM, ANSWERS["columns in another order"][0], "SELECT name, name FROM t") == [
        True,
        False,
    ]


def test_order_counts_if_the_right_query_orders(evaluated: Make) -> None:
    ordered = {**SUM, "answer": "SELECT name FROM t ORDER BY n, size"}
    inside = {**SUM, "answer": "SELECT name FROM (SELECT name FROM t ORDER BY n)"}
    reverse = "SELECT name FROM t ORDER BY n DESC"
    made = evaluated("sql")
    found = made.each([(ordered, [reverse]), (inside, [reverse])])
    assert [each.passed for row in found for each in row] == [False, True]


def test_databases_are_files(evaluated: Make, tmp_path: Path) -> None:
    for name, last in (("shop/one", 1), ("shop/two", 2), ("flat", 1)):
        path = tmp_path / "dbs" / f"{name}.sqlite"
        path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(path) as connection:
            connection.executescript(f"CREATE TABLE t (x); INSERT INTO t VALUES (1), ({last}), (x'00ff');")
        connection.close()
    made = evaluated("sql", databases="dbs")
    answers = ("SELECT x FROM t", "SELECT DISTINCT x FROM t", "SELECT x FROM t WHERE x = 1 OR x = x'00ff'")
    rows = [{"prompt": "All?", "query": "SELECT x FROM t", "db_id": name} for name in ("shop", "flat")]
    found = made.each([(row, answers) for row in rows])
    assert [[each.passed for each in row] for row in found] == [[True, False, False], [True, False, True]]
    before = (tmp_path / "dbs" / "flat.sqlite").read_bytes()
    assert made.passed(rows[1], "DROP TABLE t") == [False]
    assert (tmp_path / "dbs" / "flat.sqlite").read_bytes() == before


def test_one_that_ends_its_process_does_not_harm_the_next(evaluated: Make) -> None:
    made = evaluated("sql", memory_mib=64, output_kib=1 << 19)
    bomb = "SELECT hex(zeroblob(300000000))"
    assert made.passed(SUM, bomb, SUM["answer"], bomb + " AS x", SUM["answer"] + " ") == [
        False,
        True,
        False,
        True,
    ]


class Fragile(mftkit.Executor):
    """Answers every query with one row, but ends at the query BOMB."""

    def unavailable(self) -> str | None:
        return None

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        queries = json.loads(program.stdin)["queries"]
        good = queries[: queries.index("BOMB")] if "BOMB" in queries else queries
        how: Any = "exited" if good == queries else "memory"
        lines = "".join(json.dumps({"rows": [[query]]}) + "\n" for query in good)
        return mftkit.Execution(how, 137, lines + '{"rows', "", 0.1)


def test_after_the_end_of_a_process_the_other_queries_run_in_another_one() -> None:
    sandbox = Sandbox(Fragile(mftkit.Options()), mftkit.Limits(), 1)
    database = Database(schema="x")
    queries = ["a", "BOMB", "b", "c"]
    found = Queries().results([(database, query) for query in queries], sandbox)
    assert found[database, "BOMB"].error == "it takes too much memory"
    assert [found[database, query].rows for query in "abc"] == [[("a",)], [("b",)], [("c",)]]


def test_what_cannot_be_evaluated_is_refused(evaluated: Make, tmp_path: Path) -> None:
    for options, row, message in (
        ({}, {"schema": SCHEMA}, 'data.jsonl:1 has no query to compare with, under "query" or as its answer'),
        ({}, {"answer": "SELECT 1"}, 'data.jsonl:1 has no database: neither statements under "schema"'),
        ({}, {**SUM, "answer": "SELECT z FROM t"}, "the query of data.jsonl:1 fails: no such column: z"),
        ({}, {**SUM, "schema": "CREATE"}, "the database cannot be made: "),
        ({}, {**SUM, "schema": "\0"}, "the database cannot be made: "),
        ({"databases": "."}, {**SUM, "db_id": "shop"}, "the database shop of data.jsonl:1 is missing"),
        ({"databases": "."}, {**SUM, "db_id": "../x"}, 'has no name of a database under "db_id"'),
    ):
        with pytest.raises(mftkit.MftError, match=message):
            evaluated("sql", **options).check(row)


def test_texts_of_queries() -> None:
    assert query_of("```\nSELECT 1 ; \n```") == "SELECT 1"
    assert normalised("SELECT  a.B FROM T -- x\n WHERE c='It''s'") == normalised(
        "select a.b from t where C = 'It''s';"
    )
    assert normalised("SELECT 'A'") != normalised("SELECT 'a'")
    assert is_ordered("SELECT a FROM (SELECT 1) order\n by a")
    assert not is_ordered("SELECT 'x order by y' FROM (SELECT 1 ORDER BY 1)")


def test_rows_are_compared_closely() -> None:
    def same(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]], ordered: bool = False) -> bool:
        return same_rows(found, expected, ordered=ordered, columns="position")

    assert same([], [])
    assert not same([(None,)], [])
    assert same([(1,), ("a",), (None,), (b"x",)], [("a",), (b"x",), (None,), (1.0,)])
    assert not same([(1,), (1,), (2,)], [(1,), (2,), (2,)])
    assert same([(0.1 + 0.2, "a"), (0.3, "b")], [(0.3, "a"), (0.1 + 0.2, "b")])
    assert not same([(0.3,)], [(0.3001,)])
    assert not same([("1",)], [(1.0,)])
    assert not same([(1,), (2,)], [(2,), (1,)], ordered=True)
    assert not same([(None, 2)], [(2, None)])


def test_many_columns_in_any_order_are_compared_soon() -> None:
    drawn = random.Random(1)
    expected = [tuple(drawn.randrange(most) for most in (2, 3, 5, 7, 11, 13, 17)) for _ in range(300)]
    turned = [row[::-1] for row in expected]
    assert same_rows(turned, expected, ordered=False, columns="any")
    assert same_rows(turned, expected, ordered=True, columns="any")
    started = time.monotonic()
    wrong = [(*row[:-1], drawn.randrange(19)) for row in expected]
    assert not same_rows(wrong, expected, ordered=False, columns="any")
    assert time.monotonic() - started < 5  # in each of 5,040 orders it takes minutes
