"""``mft affinity``: tasks planted to agree and to fight, the intervals, the samples drawn, the command line."""

import json
import re

import numpy as np
import pytest
import torch

import mftkit
from mftkit.affinity.intervals import summarise
from mftkit.affinity.measuring import cosines, measure
from mftkit.affinity.parameters import choose
from mftkit.affinity.sampling import Halves, step_of
from mftkit.cli import main
from mftkit.reporter import Reporter
from mftkit_registry import MftError
from small_runs import small_spec, write_rows


def answers(task, answer, count=48):
    """Rows whose answers are all alike: ``answer``."""
    return [
        {
            "id": i,
            "data_name": task,
            "chat_rounds": [
                {"role": "human", "content": f"number {i % 12} please"},
                {"role": "bot", "content": answer},
            ],
        }
        for i in range(count)
    ]


def planted(directory, **changes):
    """Two tasks with the same rows, and one that answers the same questions otherwise."""
    for task, answer in (("yes", "yes it is so"), ("agreed", "yes it is so"), ("no", "qqq zzz 777")):
        write_rows(directory / "data" / f"{task}.jsonl", answers(task, answer))
    spec = small_spec(
        tasks=[
            {"name": name, "train": [f"data/{name}.jsonl"], "valid": 0} for name in ("yes", "agreed", "no")
        ],
        loss="task-focal",
        training={"max_steps": 12, "learning_rate": 0.01, "checkpoint_every": 6, "log_every": 6},
        **changes,
    )
    (directory / "spec.json").write_text(json.dumps(spec))
    return mftkit.load_spec(directory / "spec.json")


@pytest.mark.long
def test_tasks_of_the_same_rows_help_and_opposed_ones_fight(tmp_path, capsys):
    """At a checkpoint of a run that trained on the two which agree."""
    spec = planted(tmp_path)
    trained = mftkit.load_spec(tmp_path / "spec.json", ["balancer=fixed", "tasks.2.weight=0"])
    assert mftkit.run(trained).reason == "finished"
    capsys.readouterr()
    where = str(tmp_path / "spec.json")
    common = ["--batches", "6", "--samples", "4"]
    assert main(["affinity", where, *common, "--step", "12", "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    told = json.loads((tmp_path / "out" / "affinity.json").read_text())
    found = {tuple(pair["tasks"]): pair for pair in told["pairs"]}
    assert found["yes", "agreed"]["cosine"] > 0.9
    assert found["yes", "agreed"]["verdict"] == "help"
    assert found["yes", "no"]["cosine"] < found["yes", "agreed"]["cosine"] - 0.5
    assert told["cosine"][0][0] == pytest.approx(found["yes", "agreed"]["cosine"], abs=0.1)
    assert told["state"].endswith("step-00000012")
    assert told["parameters"].startswith("trained parameters of decoder layers 0, 1")
    assert "help each other: yes and agreed" in printed.out
    assert printed.out.strip().endswith("affinity.html")
    page = (tmp_path / "out" / "affinity.html").read_text()
    assert "Plotly.newPlot" in page
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)

    # The same again, to the last digit; and the run is as it was.
    assert main(["affinity", where, *common, "--step", "12", "--output", str(tmp_path / "again")]) == 0
    assert json.loads((tmp_path / "again" / "affinity.json").read_text()) == told
    fresh = measure(
        spec, batches=3, samples=2, seed=1, layers=None, everything=True, state=None, reporter=Reporter()
    )
    assert fresh.settings["parameters"] == "all trained parameters"
    assert fresh.settings["state"] == "as the spec starts it"


def test_cosines_are_those_of_the_definition():
    one, other = torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(0))
    found = cosines(one, other)

    def cosine(a, b):
        return float(torch.nn.functional.cosine_similarity(a, b, dim=0))

    four = [cosine(a[0], b[2]) for a in (one, other) for b in (one, other)]
    assert float(found[0, 2]) == pytest.approx(np.mean(four), abs=1e-6)
    assert float(found[1, 1]) == pytest.approx(cosine(one[1], other[1]), abs=1e-6)
    assert not cosines(one, torch.zeros_like(other)).isnan().any()


def test_intervals_and_verdicts():
    drawn = np.random.default_rng(0)
    table = np.zeros((20, 3, 3))
    table[:, 0, 1] = 0.5 + 0.05 * drawn.standard_normal(20)
    table[:, 0, 2] = -0.4 + 0.05 * drawn.standard_normal(20)
    table[:, 1, 2] = 0.3 * drawn.choice([-1, 1], 20)
    found = summarise(("a", "b", "c"), table, 0, {})
    assert {(pair.first, pair.second): pair.verdict for pair in found.pairs} == {
        ("a", "b"): "help", ("a", "c"): "fight", ("b", "c"): "not distinguishable",
    }  # fmt: skip
    error = table[:, 0, 1].std() / 20**0.5
    assert found.high[0, 1] - found.low[0, 1] == pytest.approx(3.92 * error, rel=0.15)
    assert [pair.first + pair.second for pair in found.pairs] == ["ac", "bc", "ab"]


class Corpus:
    """Three tasks: 20 samples, 7 and 2."""

    def __init__(self, *counts):
        self.tasks = [mftkit.TaskInfo(f"task-{i}") for i in range(len(counts))]
        self.train = self
        self.task = np.repeat(np.arange(len(counts)), counts)
        self.lengths = np.full(len(self.task), 5)
        self.counting = self.lengths - 1


class Told(Reporter):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def test_halves_share_no_sample_and_each_task_is_in_each():
    corpus, told = Corpus(20, 7, 2), Told()
    halves = Halves(corpus, 5, 2, 0, told)
    of_first = []
    for batch in range(5):
        one, other = halves.half(batch, False), halves.half(batch, True)
        assert not set(one) & set(other)
        assert np.bincount(corpus.task[one]).tolist() == [2, 2, 1]
        of_first += [*one[:2], *other[:2]]
    assert len(set(of_first)) == 20, "none comes again before all have come"
    assert "task-1 (7 samples), task-2 (2 samples)" in told.warnings[0]
    step = step_of(3, halves.half(0, False), corpus, 3)
    assert step.samples.tolist() == [2, 2, 1]
    assert step.tokens.tolist() == [8, 8, 4]
    assert all(len({corpus.task[row[0]] for row in rows}) == 1 for rows in step.passes(4, 0, 1))


def test_a_task_of_one_sample_is_refused():
    with pytest.raises(MftError, match="task-1 has 1 training samples"):
        Halves(Corpus(20, 1), 5, 2, 0, Told())


def test_last_layers_are_chosen():
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2) for _ in range(12)])
    model.head = torch.nn.Linear(2, 9)
    assert choose(model, 2).startswith("trained parameters of decoder layers 10, 11")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {f"layers.{n}.{what}" for n in (10, 11) for what in ("weight", "bias")}
    with pytest.raises(MftError, match="--layers all"):
        choose(torch.nn.Linear(2, 2), 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--layers", "0"], "--layers: should be"), (["--run", "nowhere"], "holds no checkpoint")],
)
def test_what_is_wrong_is_told(tmp_path, capsys, arguments, says):
    planted(tmp_path)
    assert main(["affinity", str(tmp_path / "spec.json"), *arguments]) == 2
    assert says in capsys.readouterr().err
