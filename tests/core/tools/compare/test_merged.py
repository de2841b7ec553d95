"""Arms that are not trained: merged single models and soups, made and measured by the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import mftkit
from commands import mft
from mftkit.reporting.reporter import Reporter
from mftkit.tools.api.compare import CompareResult
from mftkit.tools.compare.result import read_result
from mftkit.tools.validation_losses import validation_losses
from mftkit.training.setup import build_run, check_run
from small_runs import metrics, rows, small_spec, train, write_rows

TRAINING = {
    "max_steps": 2, "evaluate_every": 2, "checkpoint_every": 2, "batch_size": 4, "micro_batch_size": 4,
    "learning_rate": 1e-2, "min_learning_rate": 0,
}  # fmt: skip
EVALUATE = {"evaluators": ["exact-match", "edit-similarity"], "limit": 3, "max_new_tokens": 4}
UNSEEN = {"name": "unseen", "data": ["data/unseen.jsonl"], "evaluators": ["loss"]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("merged")
    write_rows(root / "data" / "big.jsonl", rows("big", 60))
    write_rows(root / "data" / "small.jsonl", rows("small", 40))
    write_rows(root / "data" / "unseen.jsonl", rows("unseen", 3))
    train(root, small_spec(training=TRAINING | {"max_steps": 1}, output="start"), name="start.json")
    spec = small_spec(training=TRAINING, model={"path": "start/model"})
    spec["tuning"] = {"method": "lora", "rank": 2}
    spec["loss"] = "mixed"  # so the spec unchanged is the baseline
    spec["tasks"][0]["evaluate"] = EVALUATE
    spec["evaluation"] = {"batch_size": 4, "tasks": [UNSEEN]}
    (root / "adapters.json").write_text(json.dumps(spec))
    (root / "whole.json").write_text(json.dumps(small_spec(training=TRAINING)))
    return root


def compare(project: Path, spec: str, output: str, *arguments: str) -> tuple[dict[str, Any], str]:
    done = mft("compare", spec, "--output", output, *arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    return json.loads((project / output / "compare.json").read_text()), done.stdout + done.stderr


WISH = ("--baselines", "mixed", "--soup", "mixed", "--seeds", "2", "--merged", "arithmetic")
TIES = ("--merged", '{"method": "ties", "density": 0.3}')


@pytest.fixture(scope="module")
def adapters(project: Path) -> tuple[dict[str, Any], str]:
    return compare(project, "adapters.json", "out", *WISH, *TIES)


def arm(document: dict[str, Any], label: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in document["arms"] if each["label"] == label)
    return found


def test_the_single_models_are_trained_for_them_and_each_seed_has_a_measured_model(
    project: Path, adapters: tuple[dict[str, Any], str]
) -> None:
    document, printed = adapters
    labels = [each["label"] for each in document["arms"]]
    assert labels == ["single", "mixed", "merged", "merged (ties, density=0.3)", "soup of mixed"]
    assert "Not trained: merged, merged (ties, density=0.3), soup of mixed." in printed
    assert document["complete"]
    spec = mftkit.load_spec(project / "adapters.json", ["seed=8"])
    for label in labels[2:4]:
        made = arm(document, label)
        assert len(made["directories"]) == 2
        losses = validation_losses(spec, project / "out" / made["directories"][1], Reporter())
        assert made["losses"]["small"][1] == pytest.approx(losses["small"].loss, rel=1e-6)
        assert made["model_losses"] == made["losses"]
        assert made["mean_rank"] is not None


def test_an_average_is_the_mean_of_the_updates_and_ties_is_a_whole_model(
    project: Path, adapters: tuple[dict[str, Any], str]
) -> None:
    document, _ = adapters
    singles = [project / "out" / run["directory"] / "model" for run in arm(document, "single")["runs"]][:2]
    merged, ties = (
        project / "out" / arm(document, label)["directories"][0]
        for label in ("merged", "merged (ties, density=0.3)")
    )
    assert len({update(each).norm() for each in singles}) == 2
    expected = (update(singles[0]).double() + update(singles[1]).double()) / 2
    assert (update(merged).double() - expected).abs().max() < 1e-8
    assert json.loads((merged / "adapter_config.json").read_text())["r"] == 4
    assert not (ties / "adapter_config.json").exists()
    name = "model.layers.0.self_attn.q_proj.weight"
    kept = (
        load_file(ties / "model.safetensors")[name]
        != load_file(project / "start/model/model.safetensors")[name]
    )
    assert 0 < kept.float().mean() < 0.9


def update(adapter: Path) -> Any:
    """B A of one module, with its scale."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    weights = load_file(adapter / "adapter_model.safetensors")
    a, b = (weights[f"base_model.model.model.layers.0.self_attn.q_proj.lora_{side}.weight"] for side in "AB")
    return config["lora_alpha"] / config["r"] * b @ a


def test_a_soup_is_one_model_of_all_seeds_and_is_not_ranked(
    project: Path, adapters: tuple[dict[str, Any], str]
) -> None:
    document, _ = adapters
    soup = arm(document, "soup of mixed")
    runs = [project / "out" / run["directory"] / "model" for run in arm(document, "mixed")["runs"]]
    expected = (update(runs[0]).double() + update(runs[1]).double()) / 2
    [place] = soup["directories"]
    assert (update(project / "out" / place).double() - expected).abs().max() < 1e-8
    assert len(soup["losses"]["big"]) == 1
    assert soup["mean_rank"] is None
    assert "soup of mixed" not in [one["arm"] for one in document["noise"]["differences"]]


def test_metrics_are_those_of_the_last_evaluations(
    project: Path, adapters: tuple[dict[str, Any], str]
) -> None:
    document, printed = adapters

    def measured(run: str, task: str, metric: str) -> float:
        lines = [line for line in metrics(project / "out" / run) if line["event"] == "evaluation"]
        return float(lines[-1]["tasks"][task][metric]["value"])

    name = "edit-similarity/edit-similarity"
    mixed, single = arm(document, "mixed"), arm(document, "single")
    assert mixed["metrics"]["big"][name] == [measured(run["directory"], "big", name) for run in mixed["runs"]]
    own = [run["directory"] for run in single["runs"] if run["task"] == "big"]
    assert single["metrics"]["big"][name] == [measured(run, "big", name) for run in own]
    unseen = [
        [measured(run["directory"], "unseen", "loss/loss") for run in single["runs"] if run["seed"] == seed]
        for seed in (7, 8)
    ]
    assert single["metrics"]["unseen"]["loss/loss"] == pytest.approx([sum(each) / 2 for each in unseen])
    merged = arm(document, "merged")
    folder = project / "out" / merged["directories"][0]
    written = json.loads((folder.parent / "evaluation" / "evaluation.json").read_text())["tasks"]
    assert merged["metrics"]["big"][name][0] == written["big"][name]["value"]
    [loss] = [one for one in document["metrics"] if one["metric"] == "loss/loss"]
    means = {each["label"]: sum(each["metrics"]["unseen"]["loss/loss"]) / 2 for each in document["arms"][:4]}
    assert loss["best"] == min(means, key=lambda label: means[label])
    assert {one["arm"] for one in loss["differences"]} == means.keys() - {loss["best"]}
    assert "metrics of the last evaluation" in printed
    html = (project / "out/compare.html").read_text()
    assert "Metrics of the last evaluation" in html
    assert "Paired tests" in html


def test_every_other_arm_is_paired_with_the_reference(adapters: tuple[dict[str, Any], str]) -> None:
    document, _ = adapters
    tests = {(one["task"], one["metric"], one["arm"]): one for one in document["paired"]}
    assert {one["reference"] for one in tests.values()} == {"mixed"}
    exact = tests["big", "exact-match/exact-match", "merged"]
    assert (exact["test"], exact["rows"], exact["seeds"]) == ("mcnemar", 3, 2)
    assert ("unseen", "loss/loss", "single") not in tests  # two models of a seed were evaluated on it
    found = tests["unseen", "loss/loss", "soup of mixed"]
    own = {each["label"]: each["metrics"]["unseen"]["loss/loss"] for each in document["arms"]}
    assert found["difference"] == pytest.approx(own["soup of mixed"][0] - sum(own["mixed"]) / 2)
    assert found["low"] <= found["difference"] <= found["high"]


def test_tables_in_python_have_the_same_numbers(project: Path, adapters: tuple[dict[str, Any], str]) -> None:
    document, _ = adapters
    found = CompareResult(project / "out", read_result(project / "out"))
    table = found.evaluations.set_index(["arm", "seed", "task", "metric"])["value"]
    for label, seed, index in (("merged", 8, 1), ("soup of mixed", 7, 0)):
        own = arm(document, label)["metrics"]["unseen"]["loss/loss"]
        assert table[label, seed, "unseen", "loss/loss"] == own[index]
    assert list(found.paired["p"]) == [one["p"] for one in document["paired"]]
    assert found.metrics.groupby("arm").size().to_dict() == {
        "single": 4, "mixed": 4, "merged": 4, "merged (ties, density=0.3)": 4, "soup of mixed": 2,
    }  # fmt: skip


def test_what_is_there_is_not_merged_again(project: Path, adapters: tuple[dict[str, Any], str]) -> None:
    document, _ = adapters
    files = list((project / "out/merges").rglob("*.safetensors")) + list(
        (project / "out/merges").rglob("measured.json")
    )
    before = {file: file.stat().st_mtime_ns for file in files}
    again, printed = compare(project, "adapters.json", "out", *WISH, *TIES)
    assert "merged, measuring" not in printed
    assert {file: file.stat().st_mtime_ns for file in files} == before
    assert again == document


def test_whole_models_are_merged_by_their_differences_from_the_start(project: Path) -> None:
    wish = ("--baselines", "", "--merged", '{"method": "arithmetic", "weight": 0.75}')
    document, _ = compare(project, "whole.json", "whole", *wish)
    runs = [load_file(project / "whole" / run["directory"] / "model/model.safetensors")
            for run in arm(document, "single")["runs"]]  # fmt: skip
    made = arm(document, "merged (arithmetic, weight=0.75)")
    merged = load_file(project / "whole" / made["directories"][0] / "model.safetensors")
    start = start_of(project)
    for name, tensor in merged.items():
        begun = start[name].double()
        expected = begun + 0.75 * sum(run[name].double() - begun for run in runs)
        assert (tensor.double() - expected).abs().max() < 1e-6


def start_of(project: Path) -> dict[str, Any]:
    """The random weights of the seed, as a run's own checks make them."""
    spec = mftkit.load_spec(
        project / "whole.json",
        [f"model.tokenizer={project / 'whole/tokenizer'}", f"output={project / 'none'}"],
    )
    return dict(build_run(check_run(spec, Reporter())).model.state_dict())


def test_models_of_a_failed_run_are_not_merged_and_the_arm_has_no_result(project: Path) -> None:
    loss = 'loss={"name": "sample-focal", "options": {"alpha": 1e300}}'
    wish = ("--baselines", "", "--merged", "arithmetic", "--set", loss)
    done = mft("compare", "whole.json", "--output", "failed", *wish, cwd=project)
    assert done.returncode == 1
    assert "merged, seed 7: not merged, because these runs have no result: single, big, seed 7" in done.stderr
    document = json.loads((project / "failed" / "compare.json").read_text())
    assert arm(document, "merged")["losses"] == {"big": [None], "small": [None]}
    assert not document["complete"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--soup", "equal"], "it is the average of the models of all seeds; give --seeds 2 or more"),
        (["--soup", "equal", "--seeds", "2"], "each seed starts from other random weights"),
        (["--soup", "equl", "--seeds", "2"], "there is no arm 'equl'; did you mean equal?"),
        (["--soup", "single", "--seeds", "2"], "it has a model for each task, not one for all; see --merged"),
        (["--merged", "tees"], "merge method tees: expected arithmetic, ties, dare; did you mean ties?"),
        (["--merged", '{"method": "dare", "density": 2}'], "density: should be above 0 and at most 1"),
        (["--merged", '{"method": "dare", "densty": 1}'], "no key 'densty'; did you mean density?"),
    ],
)
def test_mistakes_are_reported_before_anything_is_trained(
    project: Path, arguments: list[str], message: str
) -> None:
    done = mft("compare", "whole.json", "--output", "none", *arguments, cwd=project)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not (project / "none" / "runs").exists()
