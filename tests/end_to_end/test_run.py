"""One run of two tasks, from the command line to a result that needs no mftkit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mftkit
from commands import environment, mft
from mftkit.reporting.reporter import Reporter
from small_runs import metrics, rows, small_spec, train, write_rows

TOLD = {"spec.json", "environment.json", "plan.json", "metrics.jsonl", "log.txt", "report.html"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs, made once; tests only look at it."""
    project = tmp_path_factory.mktemp("finished")
    write_rows(project / "data" / "big.jsonl", rows("big", 240))
    write_rows(project / "data" / "small.jsonl", rows("small", 60))
    return train(project, small_spec(training={"epochs": 4, "evaluate_every": "epoch"}))


def test_every_task_learns(finished: Path) -> None:
    valid = [line for line in metrics(finished) if line["event"] == "valid"]
    assert valid[0]["step"] == 0
    for task in ("big", "small"):
        assert valid[-1]["tasks"][task]["loss"] < 0.7 * valid[0]["tasks"][task]["loss"]


def test_the_metrics_are_those_of_the_contract(finished: Path) -> None:
    lines = metrics(finished)
    trained = [line for line in lines if line["event"] == "train"]
    for line in trained:
        assert set(line) == {
            "event", "step", "epoch", "loss", "tasks", "learning_rate", "grad_norm", "tokens_per_second", "padding",
            "time", "seconds", "peak_memory_bytes",
        }  # fmt: skip
        for task in line["tasks"].values():
            assert set(task) == {"loss", "weight", "tokens", "samples"}
    assert trained[-1]["epoch"] == 4
    assert lines[-1]["event"] == "end"
    assert lines[-1]["reason"] == "finished"
    best = min((line["loss"], line["step"]) for line in lines if line["event"] == "valid" and line["step"])
    assert lines[-1]["best_step"] == best[1]


def test_an_epoch_counts_every_sample_and_token_once(project: Path) -> None:
    spec = small_spec(training={"epochs": 2, "log_every": 1})
    spec["tasks"] = spec["tasks"][:1]
    mftkit.run(mftkit.load_spec(spec, directory=project))
    trained = [
        line["tasks"]["big"] | {"epoch": line["epoch"]}
        for line in metrics(project / "run")
        if line["event"] == "train"
    ]
    for epoch in (0, 1):
        lines = [line for line in trained if epoch < line["epoch"] <= epoch + 1]
        assert sum(line["samples"] for line in lines) == 228
        assert sum(line["tokens"] for line in lines) == sum(line["tokens"] for line in trained) / 2


def test_the_directory_is_that_of_the_contract(finished: Path) -> None:
    names = {entry.name for entry in finished.iterdir() if not entry.name.startswith(".")}
    assert names == {*TOLD, "checkpoints", "model", "tokenizer"}
    used = json.loads((finished / "environment.json").read_text())["components"]
    assert {
        "kind": "loss",
        "name": "token-balanced",
        "distribution": "mftkit",
        "version": mftkit.__version__,
    } in used
    assert len(list((finished / "checkpoints").iterdir())) <= 3  # the two newest, and the best


def test_the_result_loads_without_mftkit_and_its_template_renders_what_was_trained(finished: Path) -> None:
    messages = [
        {"role": "user", "content": "big: sort a list (0)"},
        {"role": "assistant", "content": "def sort_list_0(value):\n    return sort(value)\n"},
    ]
    code = (
        "import json, sys\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "ids = tokenizer.apply_chat_template(json.loads(sys.argv[2]), return_dict=True, return_tensors='pt')['input_ids']\n"
        "assert model(input_ids=ids, labels=ids).loss.isfinite()\n"
        "assert tokenizer.pad_token_id != tokenizer.eos_token_id\n"
        "assert not [name for name in sys.modules if name.startswith('mftkit')]\n"
        "print(json.dumps(ids[0].tolist()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(finished / "model"), json.dumps(messages)],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) in trained_ids(finished)


def trained_ids(run: Path) -> Any:
    """The token ids of every sample that the run was given, from the cache."""
    from mftkit.data.corpus import prepare

    spec = mftkit.load_spec(run / "spec.json")
    _, tokenizer = mftkit.load_model(run / "model")
    assert tokenizer is not None
    corpus = prepare(spec, tokenizer, Reporter())
    return [corpus.train[i].tokens.tolist() for i in range(len(corpus.train))] + [
        corpus.valid[i].tokens.tolist() for i in range(len(corpus.valid))
    ]


def test_a_finished_run_says_so(finished: Path) -> None:
    before = (finished / "metrics.jsonl").read_bytes()
    done = mft("run", "spec.json", cwd=finished.parent)
    assert done.returncode == 0
    assert "finished" in done.stderr
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_a_run_of_a_version_with_fewer_keys_is_the_same_spec(finished: Path) -> None:
    """A key that came later, at its default, makes no other spec."""
    path = finished / "spec.json"
    whole = path.read_text()
    before = json.loads(whole)
    del before["mixing"], before["training"]["max_grad_norm"]
    path.write_text(json.dumps(before))
    done = mft("run", "spec.json", cwd=finished.parent)
    path.write_text(whole)
    assert (done.returncode, "holds this spec's finished run" in done.stderr) == (0, True)


def test_another_specs_run_is_refused(finished: Path) -> None:
    done = mft("run", "spec.json", "--set", "seed=8", cwd=finished.parent)
    assert done.returncode == 2
    assert "seed" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_written_spec_is_itself_runnable(finished: Path) -> None:
    done = mft("run", finished / "spec.json", cwd=finished.parent.parent)
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stderr


def test_a_dry_run_plans_and_touches_nothing(project: Path) -> None:
    (project / "spec.json").write_text(json.dumps(small_spec()))
    done = mft("run", "spec.json", "--dry-run", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "228" in done.stdout
    assert not (project / "run").exists()
    assert (project / "cache").exists()


def test_fresh_starts_over_and_leaves_other_files_alone(project: Path) -> None:
    run = train(project, small_spec(training={"max_steps": 2}))
    (run / "notes.txt").write_text("mine")
    train(project, small_spec(training={"max_steps": 3}), "--fresh")
    assert metrics(run)[-1]["step"] == 3
    assert (run / "notes.txt").read_text() == "mine"


def quick(project: Path, **changes: Any) -> Any:
    """A run of a few steps in this process."""
    return mftkit.load_spec(small_spec(**changes, training={"max_steps": 4}), directory=project)


@pytest.mark.parametrize("loss", ["token-balanced", "sample-balanced", "sample-focal", "task-focal", "mixed"])
def test_every_loss_trains(project: Path, loss: Any) -> None:
    outcome = mftkit.run(quick(project, loss=loss))
    assert outcome.reason == "finished"
    lines = metrics(project / "run")
    assert lines[-2]["loss"] < lines[0]["loss"]


@pytest.mark.parametrize(
    "tokenization",
    [
        "padding",
        "dynamic-padding",
        {"name": "pack", "options": {"attention": "shared", "scope": "task"}},
    ],
)
def test_every_mode_trains(project: Path, tokenization: Any) -> None:
    outcome = mftkit.run(quick(project, tokenization=tokenization))
    assert outcome.reason == "finished"
    lines = metrics(project / "run")
    assert lines[-2]["loss"] < lines[0]["loss"]


def test_weights_of_the_spec_reach_the_loss(project: Path) -> None:
    spec = small_spec(balancer="fixed", training={"max_steps": 2})
    spec["tasks"][0]["weight"] = 3.0
    mftkit.run(mftkit.load_spec(spec, directory=project))
    line = next(line for line in metrics(project / "run") if line["event"] == "train")
    assert [task["weight"] for task in line["tasks"].values()] == [1.5, 0.5]


def test_the_split_into_micro_batches_does_not_change_the_numbers(project: Path) -> None:
    lines = []
    for micro in (16, 3):
        spec = small_spec(output=f"run-{micro}", loss="task-focal", training={"max_steps": 4})
        spec["training"]["micro_batch_size"] = micro
        spec["model"]["config"]["attention_dropout"] = 0.0
        mftkit.run(mftkit.load_spec(spec, directory=project))
        lines.append([line["loss"] for line in metrics(project / f"run-{micro}") if line["event"] == "train"])
    assert lines[0] == pytest.approx(lines[1], rel=1e-5)


def test_early_stopping(project: Path) -> None:
    stopping = {"early_stopping": {"patience": 1}, "learning_rate": 0.0001, "min_learning_rate": 0.0001}
    spec = small_spec(training={"max_steps": 40, "evaluate_every": 1, "checkpoint_every": 50, **stopping})
    spec["training"]["learning_rate"] = 0.5  # far too large: it gets worse at once
    outcome = mftkit.run(mftkit.load_spec(spec, directory=project))
    assert outcome.reason == "early-stopped"
    assert metrics(project / "run")[-1]["reason"] == "early-stopped"
    assert (project / "run" / "model" / "config.json").exists()


@pytest.mark.parametrize(("rate", "what"), [(1e30, "the gradient"), (1e38, "the loss")])
def test_numbers_that_are_not_finite_end_the_run_with_step_task_and_rows(
    project: Path, rate: Any, what: Any
) -> None:
    spec = small_spec(
        training={"learning_rate": rate, "warmup": 0, "scheduler": "constant", "max_grad_norm": None}
    )
    (project / "spec.json").write_text(json.dumps(spec))
    done = mft("run", "spec.json", cwd=project)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    end = metrics(project / "run")[-1]
    assert (end["event"], end["reason"]) == ("end", "failed")
    assert end["error"].startswith(f"{what} is not finite in step 2; tasks: big")
    assert "big.jsonl:" in end["error"]
    assert end["error"].endswith(
        "rerun with --fresh or another output."
    )  # there is no checkpoint to speak of
    assert not (project / "run" / "model").exists()
