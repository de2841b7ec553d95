"""``mft affinity``: tasks planted to agree and to fight, the intervals, the samples drawn, the command line."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import mftkit
from mftkit.cli import main
from mftkit.reporting.reporter import Reporter
from mftkit.spec.spec import Spec
from mftkit.tools.affinity.intervals import Settings, summarize
from mftkit.tools.affinity.measure import cosines, measure
from mftkit.tools.affinity.parameters import choose
from mftkit.tools.affinity.sampling import Halves, step_of
from mftkit_registry import MftError
from recorder import Recorder
from small_runs import small_spec, write_rows

SETTINGS = Settings("run", "some-loss", "as it starts", "all", 10, 30, 4, 0)


def answers(task: str, answer: str, count: int = 48) -> list[dict[str, Any]]:
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


def planted(directory: Path, **changes: Any) -> Spec:
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
def test_tasks_of_the_same_rows_help_and_opposed_ones_fight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the weights of a run that never trained the third: the first two agree, and it is apart."""
    spec = planted(tmp_path)
    assert mftkit.run(spec).reason == "finished"
    capsys.readouterr()
    where = str(tmp_path / "spec.json")
    common = ["--batches", "6", "--samples", "4"]
    assert main(["affinity", where, *common, "--step", "12", "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    written = json.loads((tmp_path / "out" / "affinity.json").read_text())
    found = {tuple(pair["tasks"]): pair for pair in written["pairs"]}
    assert found["yes", "agreed"]["cosine"] > 0.9
    assert found["yes", "agreed"]["verdict"] == "help"
    assert found["yes", "no"]["cosine"] < found["yes", "agreed"]["cosine"] - 0.5
    assert written["cosine"][0][0] == pytest.approx(found["yes", "agreed"]["cosine"], abs=0.1)
    assert written["state"].endswith("step-00000012")
    assert written["parameters"].startswith("trained parameters of decoder layers 0, 1")
    assert re.search(r"^help each other: .*yes and agreed", printed.out, re.MULTILINE)
    assert "\nfight each other: none beyond chance\n" in printed.out
    assert printed.out.strip().endswith("affinity.html")
    page = (tmp_path / "out" / "affinity.html").read_text()
    assert 'class="plot"' in page
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)

    # The same again, to the last digit; and the run is as it was.
    assert main(["affinity", where, *common, "--step", "12", "--output", str(tmp_path / "again")]) == 0
    assert json.loads((tmp_path / "again" / "affinity.json").read_text()) == written
    fresh = measure(
        spec,
        batches=3,
        samples=2,
        seed=1,
        layers=None,
        all_parameters=True,
        checkpoint=None,
        reporter=Reporter(),
    )
    assert fresh.settings.parameters == "all trained parameters"
    assert fresh.settings.state == "as the spec starts it"


def test_a_run_of_other_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = planted(tmp_path)
    assert mftkit.run(spec).reason == "finished"
    write_rows(tmp_path / "data" / "no.jsonl", answers("no", "words that make another vocabulary"))
    where = str(tmp_path / "spec.json")
    capsys.readouterr()
    assert main(["affinity", where, "--step", "7"]) == 2
    assert "has no checkpoint of step 7; it has those of steps 6, 12" in capsys.readouterr().err
    assert main(["affinity", where, "--run", str(tmp_path / "nowhere")]) == 2
    assert "there is no directory" in capsys.readouterr().err
    assert main(["affinity", where, "--step", "12", "--set", "model.config.num_hidden_layers=1"]) == 2
    assert "has another model than the spec (differs in model" in capsys.readouterr().err
    assert main(["affinity", where, "--layers", "none"]) == 2
    assert "--layers none: expected a whole number" in capsys.readouterr().err


def test_intervals_and_what_they_say() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (30, 3, 3))
    centre = np.array([[0.5, 0.4, 0.0], [0.4, 0.5, -0.3], [0.0, -0.3, 0.5]])
    found = summarize(("a", "b", "c"), centre + (noise + noise.transpose(0, 2, 1)) / 2, 0, SETTINGS)
    verdicts = {(pair.first, pair.second): pair.verdict for pair in found.pairs}
    assert verdicts == {("b", "c"): "fight", ("a", "c"): "not distinguishable", ("a", "b"): "help"}
    assert [pair.first for pair in found.selves] == ["a", "b", "c"]
    width = found.high - found.low
    assert (np.abs(found.cosine - centre) < 0.06).all()
    # About 2 * 1.96 standard errors; off the diagonal the noise is the mean of two draws.
    assert np.allclose(np.diag(width), 3.92 * 0.1 / 30**0.5, rtol=0.5)
    assert summarize(("a", "b", "c"), centre + noise, 0, SETTINGS).to_json()["pairs"]


def test_cosines_are_those_of_the_gradients() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(3, 50), torch.randn(3, 50)
    one[2] = other[2] = 0
    found = cosines(one, other)
    cosine = torch.nn.functional.cosine_similarity
    expected = (
        cosine(one[0], one[1], 0)
        + cosine(other[0], other[1], 0)
        + cosine(one[0], other[1], 0)
        + cosine(other[0], one[1], 0)
    ) / 4
    assert float(found[0, 1]) == pytest.approx(float(expected), abs=1e-6)
    assert float(found[1, 1]) == pytest.approx(float(cosine(one[1], other[1], 0)), abs=1e-6)
    assert found[2].tolist() == found[:, 2].tolist() == [0, 0, 0]


def corpus_of(*counts: int) -> Any:
    """As much of a corpus as sampling reads."""
    task = np.repeat(np.arange(len(counts)), counts)
    lengths = np.arange(len(task)) % 7 + 2
    train = SimpleNamespace(task=task, lengths=lengths, loss_tokens=lengths - 1)
    tasks = [SimpleNamespace(name=f"task-{i}") for i in range(len(counts))]
    return SimpleNamespace(train=train, tasks=tasks)


def test_halves_share_no_sample_and_rows_are_of_one_task() -> None:
    recorder = Recorder()
    corpus = corpus_of(40, 6)
    halves = Halves(corpus, 5, 4, 0, recorder)
    for batch in range(5):
        first, second = halves.half(batch, False), halves.half(batch, True)
        assert not {*first.tolist()} & {*second.tolist()}
        assert np.bincount(corpus.train.task[first]).tolist() == [4, 3]
    used = np.concatenate([halves.half(batch, second) for batch in range(5) for second in (False, True)])
    assert len(set(used[corpus.train.task[used] == 0].tolist())) == 40, "each of 40 once"
    assert recorder.warnings == [
        "intervals are too narrow, since batches share samples, for task-1 (6 samples); lower --batches or --samples"
    ]
    step = step_of(1, halves.half(0, False), corpus.train, 2)
    assert step.samples.tolist() == [4, 3]
    assert step.row_task is not None
    assert [corpus.train.task[row].tolist() for row in step.rows] == [[task] for task in step.row_task]
    with pytest.raises(MftError, match="task-1 has 1 training samples, but at least two are needed"):
        Halves(corpus_of(4, 1), 3, 2, 0, recorder)


def test_layers_are_counted_from_the_end() -> None:
    model = torch.nn.ModuleDict(
        {
            "layers": torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(4)),
            "head": torch.nn.Linear(2, 9),
        }
    )
    wrapped = torch.nn.ModuleDict({"model": model})
    assert choose(wrapped, None) == "all trained parameters"
    assert choose(wrapped, 2) == "trained parameters of decoder layers 2, 3 (--layers all compares all)"
    trained = {name for name, p in wrapped.named_parameters() if p.requires_grad}
    assert trained == {f"model.layers.{i}.{part}" for i in (2, 3) for part in ("weight", "bias")}
    with pytest.raises(MftError, match="--layers: no trained parameter is in a numbered layer"):
        choose(torch.nn.ModuleDict({"head": torch.nn.Linear(2, 2)}), 1)
