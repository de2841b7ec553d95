"""What every evaluator promises; the judge asks a scripted server."""

from __future__ import annotations

import pytest

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

globals().update(suites(kinds.EVALUATOR, judge={"options": {"model": CHAT}}, pass_at_k=FEW, tests_pass=FEW))
