"""Paired tests, against scipy and against each other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sacrebleu import BLEU
from scipy.stats import binomtest

from mftkit.evaluation.results import write_rows
from mftkit.interfaces.evaluator import Answer, Answered, EvaluationRow, Verdict
from mftkit.plugins import installed, kinds
from mftkit.tools.compare.paired import bootstrap, exact_p, favours, holm
from mftkit.tools.compare.pairing import task_tests
from mftkit.tools.compare.verdict_files import read_verdicts, shared_rows


@pytest.mark.parametrize(("one", "other"), [(0, 1), (3, 9), (7, 7), (40, 12), (900, 1100), (20000, 20300)])
def test_mcnemar_is_the_exact_binomial_test_of_the_rows_that_differ(one: int, other: int) -> None:
    assert exact_p(one, other) == pytest.approx(binomtest(one, one + other).pvalue, rel=1e-9)


def test_a_row_votes_once_however_many_seeds_it_has() -> None:
    random = np.random.default_rng(1)
    one, other = (random.integers(2, size=(3, 200)).astype(float) for _ in range(2))
    better = sum(one[:, row].sum() > other[:, row].sum() for row in range(200))
    worse = sum(one[:, row].sum() < other[:, row].sum() for row in range(200))
    assert favours(one, other) == (better, worse)
    assert favours(np.repeat(one[:1], 3, axis=0), np.repeat(other[:1], 3, axis=0)) == favours(
        one[:1], other[:1]
    )


def test_the_bootstrap_finds_a_difference_and_its_error() -> None:
    random = np.random.default_rng(0)
    values = random.normal(0.5, 1.0, 400)
    low, high, p = bootstrap(lambda drawn: float(values[drawn].mean()), len(values), 3)
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert (low, high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.02
    )
    assert p == pytest.approx(2 / 1001)
    assert bootstrap(lambda drawn: float(values[drawn].mean()), len(values), 3) == (low, high, p)
    noise = values - values.mean()
    assert bootstrap(lambda drawn: float(noise[drawn].mean()), len(noise), 3)[2] > 0.5


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
def test_few_rows_are_no_evidence_even_if_all_favour_one_side(rows: int) -> None:
    values = np.full(rows, 0.3)
    p = bootstrap(lambda drawn: float(values[drawn].mean()), rows, 3)[2]
    assert p == pytest.approx(binomtest(rows, rows).pvalue)


def test_holms_values_reject_what_his_procedure_rejects() -> None:
    random = np.random.default_rng(2)
    values = random.uniform(size=30) ** 4
    order = np.argsort(values)
    rejected = set()
    for rank, index in enumerate(order):
        if values[index] > 0.05 / (30 - rank):
            break
        rejected.add(int(index))
    assert rejected
    assert {i for i, p in enumerate(holm(list(values))) if p <= 0.05} == rejected


def evaluated(root: Path, arm: str, evaluator: str, answers: list[list[str]]) -> tuple[str, list[Path]]:
    """The files of an arm's evaluations: for each seed, an answer per row, of which "a b c d" is right."""
    built, places = build(evaluator), []
    for seed, of_seed in enumerate(answers):
        answered = [
            Answered(EvaluationRow(f"r{i}", {}, "a b c d"), (Answer(text),)) for i, text in enumerate(of_seed)
        ]
        verdicts = built.score(answered, None)
        lines: list[dict[str, Any]] = [
            {"id": row.row.id, "verdicts": {evaluator: [dataclasses.asdict(v) | v.more for v in each]}}
            for row, each in zip(answered, verdicts, strict=True)
        ]
        for line in lines:
            for verdict in line["verdicts"][evaluator]:
                del verdict["more"]
        places.append(root / arm / str(seed))
        places[-1].mkdir(parents=True)
        (places[-1] / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return arm, places


def build(evaluator: str) -> Any:
    return installed.build(kinds.EVALUATOR, evaluator, {})


TASK: Any = SimpleNamespace(name="t")
RIGHT, WRONG = "a b c d", "a b x y"


def test_right_and_wrong_answers_are_tested_by_rows_over_seeds(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    answers = [
        [[RIGHT if right else WRONG for right in of_seed] for of_seed in random.random((2, 60)) < share]
        for share in (0.7, 0.4)
    ]
    one, other = (
        evaluated(tmp_path, label, "exact-match", each) for label, each in zip("ab", answers, strict=True)
    )
    [found] = task_tests(TASK, {"exact-match": build("exact-match")}, one, other, 3)
    right = np.array(answers) == RIGHT
    net = right[0].sum(axis=0) - right[1].sum(axis=0).astype(int)
    better, worse = int((net > 0).sum()), int((net < 0).sum())
    assert (found.favours_arm, found.favours_reference) == (better, worse)
    assert found.p == pytest.approx(binomtest(better, better + worse).pvalue)
    pairs = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    assert found.p_pairs == pytest.approx(binomtest(pairs[0], sum(pairs)).pvalue)
    assert found.difference == pytest.approx(right[0].mean() - right[1].mean())
    error = (right[0].mean(axis=0) - right[1].mean(axis=0)).std() / np.sqrt(60)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.15)


def test_corpus_scores_are_computed_again_from_the_drawn_rows(tmp_path: Path) -> None:
    given = [[RIGHT, WRONG, "a b", "q r s t u v", RIGHT, "a"], [WRONG, "c d", RIGHT, "a b c", "x", "y z"]]
    one, other = (evaluated(tmp_path, label, "bleu", [each]) for label, each in zip("ab", given, strict=True))
    [found] = task_tests(TASK, {"bleu": build("bleu")}, one, other, 3)
    scores = [BLEU().corpus_score(each, [["a b c d"] * 6]).score for each in given]
    assert found.difference == pytest.approx(scores[0] - scores[1])
    random, drawn = np.random.default_rng(3), []
    for _ in range(1000):
        rows = random.integers(6, size=6)
        each = [BLEU().corpus_score([side[i] for i in rows], [["a b c d"] * 6]).score for side in given]
        drawn.append(each[0] - each[1])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert found.test == "bootstrap"


def test_verdicts_are_read_by_row_and_evaluator_and_damage_is_no_result(tmp_path: Path) -> None:
    verdict = {"scores": {"m": 1.0}, "passed": True, "note": "", "counts": [1, 2]}
    lines: list[dict[str, Any]] = [
        {"id": "a", "answers": [{"text": "one\u2028two\x85three"}], "verdicts": {"e": [verdict]}},
        {"id": "a", "verdicts": {"f": [{"scores": {}, "passed": None}]}},
    ]
    write_rows(tmp_path, "t", lines)
    found = read_verdicts(tmp_path, "t")
    assert found == {
        "e": {"a": [Verdict({"m": 1.0}, True, "", {"counts": [1, 2]})]},
        "f": {"a": [Verdict({}, None)]},
    }
    assert shared_rows([found["e"], {"b": []}]) == []
    (tmp_path / "t.jsonl").write_text("{")
    assert read_verdicts(tmp_path, "t") == {}


def test_a_metric_that_is_no_share_of_right_answers_is_not_tested_as_one(tmp_path: Path) -> None:
    """Of pass@2 the rows' mean differences say nothing: one arm solves every row by one of two answers."""
    evaluators = {"pass-at-k": installed.build(kinds.EVALUATOR, "pass-at-k", {"k": (2, 1)})}

    def side(label: str, answers: list[tuple[bool, bool]]) -> tuple[str, list[Path]]:
        rows = [[{"scores": {}, "passed": each} for each in of_row] for of_row in answers]
        (tmp_path / label).mkdir()
        lines = [{"id": f"r{n}", "verdicts": {"pass-at-k": each}} for n, each in enumerate(rows)]
        write_rows(tmp_path / label, "t", lines)
        return label, [tmp_path / label]

    one, other = side("a", [(True, False)] * 40), side("b", [(True, True), (False, False)] * 20)
    two, _one = task_tests(TASK, evaluators, one, other, 3)
    assert (two.metric, two.difference, two.test) == ("pass-at-k/pass@2", 0.5, "bootstrap")
    assert two.p == pytest.approx(2 / 1001)
    assert two.favours_arm is None
