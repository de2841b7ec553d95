from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_path import chat_row, sections, tokenizer, write_lines
from mftkit.data.corpus import Corpus, prepare
from mftkit.data.mixing import Mixture, apportion
from mftkit.spec import MixingSpec
from recorder import Recorder

SIZES = (40, 10, 4)
TASK = np.repeat(np.arange(3), SIZES)
TOK = tokenizer()


def mixed(*draws: int, seed: int = 3) -> Mixture:
    return Mixture(TASK, draws, seed)


def test_an_epoch_draws_so_many_of_each_task() -> None:
    drawn = mixed(12, 25, 0).epoch(5)
    assert np.bincount(TASK[drawn], minlength=3).tolist() == [12, 25, 0]


@pytest.mark.parametrize("draws", [(7, 13, 4), (40, 9, 1), (3, 60, 11)])
def test_no_sample_comes_again_before_the_others_of_its_task(draws: tuple[int, int, int]) -> None:
    """Over epochs, too: the counts of a task's samples never differ by more than 1."""
    mixture, seen = mixed(*draws), Counter[int]()
    for epoch in range(30):
        seen.update(mixture.epoch(epoch).tolist())
        for task, size in enumerate(SIZES):
            counts = [seen[int(i)] for i in np.flatnonzero(task == TASK)]
            assert sum(counts) == (epoch + 1) * draws[task]
            assert max(counts) - min(counts) <= 1, (epoch, size)


def test_an_epoch_is_a_function_of_the_seed_and_its_number() -> None:
    one = mixed(7, 25, 3)
    later = one.epoch(1000)
    assert one.epoch(0).tolist() != one.epoch(6).tolist()
    assert mixed(7, 25, 3).epoch(1000).tolist() == later.tolist()
    assert mixed(7, 25, 3, seed=4).epoch(1000).tolist() != later.tolist()


def test_passes_differ_and_tasks_of_one_size_differ() -> None:
    twice = Mixture(np.repeat([0, 1], 20), (60, 60), 0).epoch(0).reshape(6, 20)
    orders = [(row - row.min()).tolist() for row in twice]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert all(one != other for i, one in enumerate(orders) for other in orders[:i])


def test_a_tiny_task_may_fill_a_large_epoch() -> None:
    drawn = Mixture(np.array([0, 1, 1, 1]), (300_000, 200_000), 0).epoch(2)
    counts = np.bincount(drawn, minlength=4)
    assert counts[0] == 300_000
    assert counts[1:].max() - counts[1:].min() <= 2


@pytest.mark.parametrize("total", [4, 7, 100, 1001])
def test_largest_remainders(total: int) -> None:
    parts = np.array([0.2, 0.0, 0.5, 1e-12, 0.3])
    counts = apportion(parts, total)
    assert sum(counts) == total
    assert counts[1] == 0
    assert all(count >= 1 for count, part in zip(counts, parts, strict=True) if part)
    assert all(abs(count - total * part) < 4 for count, part in zip(counts, parts, strict=True))


def prepared(tmp_path: Path, mixing: dict[str, Any] | None) -> Corpus:
    """Tasks of 60, 20 and 5 samples; the answers of the last are long."""
    tasks = []
    for name, count, words in (("big", 60, 2), ("mid", 20, 2), ("long", 5, 40)):
        rows = [chat_row(f"{name} {i}?", f"{i} " + "word " * words) for i in range(count)]
        path = write_lines(tmp_path / f"{name}.jsonl", rows)
        tasks.append({"name": name, "train": [str(path)], "valid": 0})
    spec = sections(tmp_path, *tasks)
    spec.mixing = None if mixing is None else MixingSpec.model_validate(mixing)
    return prepare(spec, TOK, Recorder())


@pytest.mark.parametrize(
    ("mixing", "samples"),
    [
        (None, [60, 20, 5]),
        ({"temperature": 1.0}, [60, 20, 5]),
        ({"temperature": 1e9}, [29, 28, 28]),
        ({"temperature": 2.0}, [46, 26, 13]),
        ({"temperature": 1e-4}, [83, 1, 1]),
        ({"proportions": {"big": 1, "mid": 2, "long": 1}, "epoch_samples": 40}, [10, 20, 10]),
        ({"proportions": {"big": 0, "mid": 0.5, "long": 0.5}}, [0, 43, 42]),
    ],
)
def test_samples_of_an_epoch(tmp_path: Path, mixing: dict[str, Any] | None, samples: list[int]) -> None:
    made = prepared(tmp_path, mixing)
    found = [task.samples for task in made.tasks]
    assert sum(found) == sum(samples)
    assert all(abs(one - other) <= 1 for one, other in zip(found, samples, strict=True)), found
    sizes = [60, 20, 5]
    tokens = [int(made.train.loss_tokens[made.train.task == i].sum()) for i in range(3)]
    expected = [round(t * s / n) for t, s, n in zip(tokens, found, sizes, strict=True)]
    assert [task.tokens for task in made.tasks] == expected


def test_proportions_by_tokens_are_of_counting_tokens(tmp_path: Path) -> None:
    given = {"big": 0.5, "mid": 0.25, "long": 0.25}
    made = prepared(tmp_path, {"proportions": given, "by": "tokens", "epoch_samples": 4000})
    assert made.mixture is not None
    drawn = np.concatenate([made.mixture.epoch(epoch) for epoch in range(5)])
    tokens = np.bincount(made.train.task[drawn], made.train.loss_tokens[drawn])
    assert tokens / tokens.sum() == pytest.approx(list(given.values()), abs=0.005)


def test_temperature_by_tokens(tmp_path: Path) -> None:
    whole = prepared(tmp_path, {"temperature": 1.0, "by": "tokens"})
    assert [task.samples for task in whole.tasks] == [60, 20, 5]
    even = prepared(tmp_path, {"temperature": 1e9, "by": "tokens", "epoch_samples": 4000})
    tokens = [task.tokens for task in even.tasks]
    assert max(tokens) / min(tokens) == pytest.approx(1, abs=0.02)


def test_the_streams_do_not_repeat_each_other() -> None:
    epochs = [Mixture(np.zeros(50, np.int64), (50,), 0).epoch(epoch).tolist() for epoch in range(4)]
    assert all(one != other for one, other in pairwise(epochs))
