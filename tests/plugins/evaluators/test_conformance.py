"""What every evaluator promises; the judge asks a scripted server."""

from __future__ import annotations

from dataclasses import replace

import pytest

import mftkit
from built_in import suites
from chat_server import MODEL, Answer, ChatServer
from mftkit.plugins import executors, kinds
from mftkit.testing.evaluators import some_answered

SERVER = ChatServer(lambda _body, _number: Answer("[[A]]"))
CHAT = {"name": "openai", "options": {"base_url": SERVER.url, "model": MODEL}}


@pytest.fixture(autouse=True)
def _weak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(executors.WEAK, "1")


FEW = {"given": tuple(some_answered()[:3])}
"""Executions take a fifth of a second each."""


def _with_database(given: mftkit.Answered) -> mftkit.Answered:
    row = {**given.row.row, "schema": "CREATE TABLE t (x);", "query": "SELECT x FROM t"}
    right, other = given.answers
    answers = (replace(right, text="SELECT x FROM t"), other)
    return replace(given, row=replace(given.row, row=row), answers=answers)


SQL = {"given": tuple(map(_with_database, some_answered()))}
globals().update(
    suites(kinds.EVALUATOR, judge={"options": {"model": CHAT}}, pass_at_k=FEW, tests_pass=FEW, sql=SQL)
)
