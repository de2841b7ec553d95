"""Against TorchJD itself, the conformance suite, and a run that trains an adapter."""

import json

import pytest
import torch
from mft_torchjd import COMBINERS, combiners
from torchjd import aggregation

import mftkit
import mftkit.testing

TASKS = tuple(mftkit.TaskInfo(name) for name in ("a", "b", "c", "d"))
DIRECT = {
    "PCGrad": lambda: aggregation.PCGrad(),
    "CAGrad": lambda: aggregation.CAGrad(c=0.5),
    "UPGrad": lambda: aggregation.UPGrad(),
    "DualProj": lambda: aggregation.DualProj(),
    "MGDA": lambda: aggregation.MGDA(),
    "IMTLG": lambda: aggregation.IMTLG(),
    "AlignedMTL": lambda: aggregation.AlignedMTL(),
}
ONES = torch.ones(len(TASKS), dtype=torch.float64)


def made(kind, **options):
    component = getattr(combiners, kind)
    return component(component.Options(**options), TASKS)


def suite(kind, **options):
    held = {"component": getattr(combiners, kind), "options": options}
    return type(f"TestConformanceOf{kind}", (mftkit.testing.GradientCombinerConformance,), held)


for _kind in DIRECT:
    globals()[f"TestConformanceOf{_kind}"] = suite(_kind)
TestConformanceOfAnotherC = suite("CAGrad", c=0.1)
TestConformanceOfMedian = suite("AlignedMTL", scale="median")


def rows(seed=0):
    """Gradients [4, 50], of which most conflict."""
    drawn = torch.Generator().manual_seed(seed)
    made = torch.randn(4, 50, dtype=torch.float64, generator=drawn)
    made[1] -= 0.8 * made[0]
    made[2:] -= 0.6 * made[:2]
    return made * torch.tensor([[1.0], [0.5], [2.0], [0.1]])


def test_every_combiner_is_registered_and_tested():
    assert {kind for kind, _ in COMBINERS.values()} == set(DIRECT)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", DIRECT)
def test_it_gives_what_torchjd_gives(kind, seed):
    gradients = rows(seed)
    combiner = made(kind)
    found = combiner.combine(gradients, ONES)
    torch.default_generator.manual_seed(0)
    direct = DIRECT[kind]()(gradients)
    factor = 1 if kind == "PCGrad" else len(TASKS)
    torch.testing.assert_close(found, factor * direct, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [1e-5, 1e4])
@pytest.mark.parametrize("kind", DIRECT)
def test_the_size_of_gradients_changes_nothing_but_the_size(kind, size):
    found = made(kind).combine(rows() * size, ONES) / size
    torch.testing.assert_close(found, made(kind).combine(rows(), ONES), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", DIRECT)
def test_an_absent_task_is_left_out(kind):
    weights = ONES.clone()
    weights[2] = 0.0
    gradients = rows() * weights.unsqueeze(1)
    direct = made(kind).combine(gradients[[0, 1, 3]], ONES[:3])
    torch.testing.assert_close(made(kind).combine(gradients, weights), direct)


@pytest.mark.parametrize("kind", ["PCGrad", "UPGrad", "DualProj"])
def test_tasks_that_do_not_conflict_train_as_without_it(kind):
    gradients = torch.eye(4, 9, dtype=torch.float64)
    torch.testing.assert_close(made(kind).combine(gradients, ONES), gradients.sum(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["UPGrad", "DualProj", "MGDA", "AlignedMTL"])
def test_no_task_is_opposed(kind):
    gradients = torch.tensor([[1.0, 0.0, 0.0], [-0.9, 0.5, 0.0], [0.0, 0.0, 1.0], [0.1, -0.3, 1.0]])
    assert ((gradients @ gradients.sum(0)) < 0).any() or kind != "UPGrad"
    assert (gradients @ made(kind).combine(gradients, ONES) >= -1e-3).all()


def test_orders_are_drawn_for_each_step_and_restored():
    one, other = made("PCGrad", seed=3), made("PCGrad", seed=3)
    drawn = [one.combine(rows(), ONES) for _ in range(5)]
    other.load_state_dict({"turn": 4})
    assert torch.equal(other.combine(rows(), ONES), drawn[4])
    assert any(not torch.equal(drawn[0], later) for later in drawn[1:])


def test_a_missing_solver_is_an_error(monkeypatch):
    def missing(_self):
        raise ImportError("CAGradWeighting requires ['clarabel'] to be installed")

    monkeypatch.setattr(combiners.CAGrad, "weighting", missing)
    with pytest.raises(mftkit.MftError, match="clarabel"):
        made("CAGrad")


def spec(**changes):
    llama = {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
    }
    return {
        "name": "tiny",
        "output": "run",
        "model": {"init": "random", "config": llama, "tokenizer": {"train_bpe": 300}, "dtype": "float32"},
        "tuning": {"method": "lora", "rank": 4, "alpha": 8},
        "tasks": [{"name": name, "train": [f"{name}.jsonl"], "valid": 0.2} for name in ("double", "negate")],
        "data": {"cache": "cache"},
        "tokenization": {"name": "pack", "options": {"scope": "task"}},
        "max_length": 64,
        "gradients": "pcgrad",
        "training": {
            "max_steps": 4, "batch_size": 4, "micro_batch_size": 2, "log_every": 1, "learning_rate": 0.01,
            "evaluate_every": 4, "checkpoint_every": 2,
        },
        **changes,
    }  # fmt: skip


def project(directory, **changes):
    for task, answer in (("double", "two times"), ("negate", "minus")):
        lines = [{"prompt": f"{task} {n}", "response": f"{answer} {n} is {n % 7}"} for n in range(40)]
        (directory / f"{task}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (directory / "spec.json").write_text(json.dumps(spec(**changes)))
    return directory


def lines(directory, name="run"):
    return [json.loads(line) for line in (directory / name / "metrics.jsonl").read_text().splitlines()]


def test_a_run_trains_an_adapter_and_resumes_exactly(tmp_path):
    read = mftkit.load_spec(project(tmp_path) / "spec.json")
    assert mftkit.run(read).reason == "finished"
    whole = lines(tmp_path)
    first, last = (line["loss"] for line in whole if line["event"] == "valid")
    assert last < first
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    used = {row["kind"]: row["distribution"] for row in environment["components"]}
    assert used["gradient-combiner"] == "mftkit-torchjd"

    # Remove the end and resume from the checkpoint of step 2, whose state holds the number of draws.
    store = tmp_path / "run" / "checkpoints" / "step-00000004"
    for file in store.iterdir():
        file.unlink()
    store.rmdir()
    kept = [json.dumps(line) for line in whole if line["event"] != "end"]
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(kept) + "\n")
    assert mftkit.run(read).reason == "finished"
    measured = ("time", "seconds", "tokens_per_second", "peak_memory_bytes")
    timeless = [
        [{key: value for key, value in line.items() if key not in measured} for line in each]
        for each in (whole, lines(tmp_path))
    ]
    assert timeless[0] == timeless[1]
