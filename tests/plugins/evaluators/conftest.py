from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.plugins import executors, installed, kinds
from mftkit.plugins.executors import choose_executor


class Evaluated:
    """What an evaluator makes of answers."""

    def __init__(self, evaluator: mftkit.Evaluator, context: mftkit.EvaluationContext) -> None:
        self.evaluator = evaluator
        self.context = context

    def check(self, *rows: mftkit.JsonObject) -> None:
        self.evaluator.check(numbered(rows), self.context)

    def prompt(self, row: mftkit.JsonObject) -> mftkit.EvaluationPrompt | None:
        return self.evaluator.prompt(numbered([row])[0], self.context)

    def __call__(self, row: mftkit.JsonObject, *answers: str) -> list[mftkit.Verdict]:
        return self.each([(row, answers)])[0]

    def each(self, pairs: Sequence[tuple[mftkit.JsonObject, Sequence[str]]]) -> list[list[mftkit.Verdict]]:
        rows = numbered([row for row, _answers in pairs])
        self.evaluator.check(rows, self.context)
        given = [
            mftkit.Answered(row, tuple(map(mftkit.Answer, answers)))
            for row, (_row, answers) in zip(rows, pairs, strict=True)
        ]
        return [list(row) for row in self.evaluator.score(given, self.context)]

    def passed(self, row: mftkit.JsonObject, *answers: str) -> list[bool | None]:
        return [verdict.passed for verdict in self(row, *answers)]


def numbered(rows: Sequence[mftkit.JsonObject]) -> list[mftkit.EvaluationRow]:
    return [
        mftkit.EvaluationRow(str(n), row, row.get("answer"), str(row.get("prompt", "")), f"data.jsonl:{n}")
        for n, row in enumerate(rows, 1)
    ]


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Evaluated]:
    """``evaluated(name, samples=1, chat=True, **options)``: an evaluator as an evaluation uses it."""
    monkeypatch.setenv(executors.WEAK, "1")

    def made(name: str, *, samples: int = 1, chat: bool = True, **options: Any) -> Evaluated:
        def none(_ref: Any) -> Any:
            raise AssertionError("not needed")

        context = mftkit.EvaluationContext(
            "t", 7, tmp_path, lambda _note: None, none,
            lambda ref: choose_executor(ref, lambda _line: None), chat, samples,
        )  # fmt: skip
        return Evaluated(installed.build(kinds.EVALUATOR, name, options, directory=tmp_path), context)

    return made
