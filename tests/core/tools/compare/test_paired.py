"""Paired tests, against scipy and against each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from mftkit.interfaces.evaluator import Verdict
from mftkit.tools.compare.paired import bootstrap, exact_p, favours, holm
from mftkit.tools.compare.verdict_files import read_verdicts, shared_rows


@pytest.mark.parametrize(("one", "other"), [(0, 1), (3, 9), (7, 7), (40, 12), (900, 1100)])
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


def test_verdicts_are_read_by_row_and_evaluator_and_damage_is_no_result(tmp_path: Path) -> None:
    verdict = {"scores": {"m": 1.0}, "passed": True, "note": "", "counts": [1, 2]}
    lines = [
        {"id": "a", "verdicts": {"e": [verdict]}},
        {"id": "a", "verdicts": {"f": [{"scores": {}, "passed": None}]}},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_verdicts(tmp_path, "t")
    assert found == {
        "e": {"a": [Verdict({"m": 1.0}, True, "", {"counts": [1, 2]})]},
        "f": {"a": [Verdict({}, None)]},
    }
    assert shared_rows([found["e"], {"b": []}]) == []
    (tmp_path / "t.jsonl").write_text("{")
    assert read_verdicts(tmp_path, "t") == {}
