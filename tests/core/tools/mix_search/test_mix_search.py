"""``mft mix search``, from specialists to proportions, by the real command on tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import mft
from mftkit.reporting.reporter import Reporter
from mftkit.runs.record import read_run
from mftkit.spec import load_spec
from mftkit.tools.compare.outcomes import task_outcomes
from mftkit.tools.merging.merging import ToMerge, merge_models
from mftkit.tools.merging.options import MergeOptions
from mftkit.tools.mix_search.candidates import Candidate, score
from mftkit.tools.mix_search.meter import Measured
from mftkit.tools.validation_losses import validation_losses
from small_runs import rows, small_spec, write_rows

TRAINING = {
    "max_steps": 2, "evaluate_every": 2, "checkpoint_every": 2, "batch_size": 4, "micro_batch_size": 4,
    "learning_rate": 1e-2, "min_learning_rate": 0,
}  # fmt: skip
EVALUATE = {"evaluators": ["loss", "edit-similarity"], "limit": 2, "max_new_tokens": 3}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mix")
    write_rows(root / "data" / "big.jsonl", rows("big", 60))
    write_rows(root / "data" / "small.jsonl", rows("small", 40))
    spec = small_spec(training=TRAINING, loss="mixed")
    spec["tasks"][0]["evaluate"] = EVALUATE
    (root / "spec.json").write_text(json.dumps(spec))
    return root


def search(project: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    done = mft("mix", "search", "spec.json", *arguments, "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def found(project: Path) -> dict[str, Any]:
    return search(project, "--candidates", "6", "--verify", "1", "--write", "better.json")[0]


def lines(directory: Path) -> list[str]:
    return (directory / "candidates.jsonl").read_text().splitlines()


def candidate(document: dict[str, Any], big: float) -> dict[str, Any]:
    by_share = {each["proportions"]["big"]: each for each in document["candidates"]}
    return by_share[big]  # type: ignore[no-any-return]


def test_a_candidate_is_measured_as_the_models_merged_on_disk_are(
    project: Path, found: dict[str, Any], tmp_path: Path
) -> None:
    assert len(found["candidates"]) == len(lines(project / "run-mix")) == 6
    runs = [Path(one["directory"]) for one in found["specialists"]]
    merge_models(ToMerge(runs, MergeOptions(), 7), tmp_path / "average", Reporter())
    expected = validation_losses(load_spec(project / "spec.json"), tmp_path / "average", Reporter())
    for task, loss in candidate(found, 0.5)["losses"].items():
        assert loss == pytest.approx(expected[task].loss, abs=1e-6)


def test_a_corner_is_the_specialist_and_sizes_are_those_of_the_training_samples(
    found: dict[str, Any],
) -> None:
    for one, share in zip(found["specialists"], (1.0, 0.0), strict=True):
        assert one["step"] == 2
        own = task_outcomes(read_run(Path(one["directory"])))[one["task"]].at_model
        assert candidate(found, share)["losses"][one["task"]] == pytest.approx(own, abs=1e-6)
    assert found["baselines"]["by size"]["proportions"] == {"big": 0.613, "small": 0.387}  # 57 and 36 samples


def test_the_best_is_the_lowest_mean_and_is_written_for_a_spec(project: Path, found: dict[str, Any]) -> None:
    values = [each["value"] for each in found["candidates"]]
    assert values == sorted(values)
    assert values[0] == pytest.approx(sum(found["best"]["losses"].values()) / 2)
    section = {"mixing": {"proportions": found["best"]["proportions"]}}
    assert json.loads((project / "run-mix" / "proportions.json").read_text()) == section
    written, base = load_spec(project / "better.json"), load_spec(project / "spec.json")
    assert written.mixing is not None
    assert written.mixing.proportions == found["best"]["proportions"]
    different = {key for key, value in written.dump().items() if value != base.dump()[key]}
    assert different == {"mixing", "output"}
    assert "share of big" in (project / "run-mix" / "mix.html").read_text()


def test_verifying_trains_ordinary_runs_with_the_proportions(project: Path, found: dict[str, Any]) -> None:
    trained = found["verified"]["mixings"]
    assert len(trained) in (2, 3)
    for one in trained:
        run = read_run(Path(one["runs"][0]))
        assert run.spec["mixing"]["proportions"] == one["proportions"]
        assert run.spec["training"]["max_steps"] == 2
        known = task_outcomes(run)
        assert one["measured"] == {task: known[task].at_model for task in ("big", "small")}
        assert one["predicted"] == candidate(found, one["proportions"]["big"])["losses"]


def test_the_table_names_the_baselines_and_the_section_for_a_spec(
    project: Path, found: dict[str, Any]
) -> None:
    done = mft("mix", "search", "spec.json", "--candidates", "6", "--verify", "1", cwd=project)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    heading = next(line for line in printed if "uniform" in line)
    shares = next(line for line in printed if "share of big" in line).split()[3:]
    assert len(shares) == len(
        heading.replace("other ", "other").replace("by size", "size").replace(", ", "").split()
    )
    assert f"For a spec: {json.dumps({'mixing': found['mixing']})}" in printed
    assert any(line.startswith("  trained with  predicted  measured") for line in printed)
    assert "One seed: the noise of training was not measured" in done.stdout


def test_a_stopped_search_measures_only_what_is_missing(project: Path, found: dict[str, Any]) -> None:
    file = project / "run-mix" / "candidates.jsonl"
    before = lines(project / "run-mix")
    file.write_text("\n".join(before[:4]) + "\n" + before[4][:30])  # killed while it wrote the fifth
    again, messages = search(project, "--candidates", "6")
    assert "4 candidates were measured before" in messages
    assert "2 of 2 runs are finished already" in messages
    assert again["candidates"] == found["candidates"]
    assert lines(project / "run-mix")[5:] == before[4:]
    weighted, _ = search(project, "--candidates", "4", "--weights", "big=0")
    assert weighted["best"]["value"] == min(each["losses"]["small"] for each in weighted["candidates"])
    assert len(lines(project / "run-mix")) == 7


def test_models_of_a_comparison_are_used_and_metrics_may_decide(project: Path, found: dict[str, Any]) -> None:
    wish = ("--singles", "run-mix/training", "--candidates", "4", "--output", "other")
    by_loss, _ = search(project, *wish, "--by", "loss/loss")
    assert not by_loss["higher_is_better"]
    assert by_loss["specialists"] == found["specialists"]
    for each in by_loss["candidates"]:
        assert each["losses"] == candidate(found, each["proportions"]["big"])["losses"]
        assert each["value"] == each["metrics"]["big"]["loss/loss"]
    by_text, _ = search(project, *wish, "--by", "edit-similarity/edit-similarity")
    values = [each["value"] for each in by_text["candidates"]]
    assert by_text["higher_is_better"]
    assert values == sorted(values, reverse=True)
    assert len(lines(project / "other")) == 4  # measured once, with all metrics


def test_adapters_are_merged_as_one_adapter_and_a_spec_that_mixes_is_a_baseline(
    project: Path, tmp_path: Path
) -> None:
    lora = ("--set", 'tuning={"method": "lora", "rank": 2}', "--set", "training.max_steps=1")
    mixing = ("--set", 'mixing={"proportions": {"big": 1, "small": 3}, "by": "tokens", "epoch_samples": 60}')
    document, _ = search(project, *lora, *mixing, "--candidates", "5", "--output", "lora")
    runs = [Path(one["directory"]) for one in document["specialists"]]
    merge_models(ToMerge(runs, MergeOptions(), 7), tmp_path / "average", Reporter())
    expected = validation_losses(load_spec(project / "spec.json"), tmp_path / "average", Reporter())
    for task, loss in candidate(document, 0.5)["losses"].items():
        assert loss == pytest.approx(expected[task].loss, abs=1e-6)
    assert document["baselines"]["the spec's"]["proportions"]["big"] == pytest.approx(0.25, abs=0.02)
    section = document["mixing"]
    assert (document["proportions_of"], section["by"], section["epoch_samples"]) == ("tokens", "tokens", 60)


def test_a_candidate_is_the_mean_of_the_seeds() -> None:
    metrics = [{"b": {"exact-match/share": {"value": v, "higher_is_better": True}}} for v in (0.5, 1.0)]
    models = [Measured({"a": loss}, own) for loss, own in zip((1.0, 2.0), metrics, strict=True)]
    found = Candidate.of_seeds((0.4, 0.6), "random", models)
    assert (found.losses, found.metrics) == ({"a": 1.5}, {"b": {"exact-match/share": 0.75}})
    assert Candidate.from_json(found.to_json(["a", "b"]), ["a", "b"]) == found
    assert (score(found, "loss", {"a": 3.0}), score(found, "exact-match/share", {})) == (1.5, 0.75)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--candidates", "3"), "--candidates 3: expected at least 4"),
        (
            ("--by", "bleu/bleu"),
            "--by bleu/bleu: expected loss or EVALUATOR/METRIC, and the spec evaluates with",
        ),
        (
            ("--weights", "bog=2"),
            "--weights bog: no task of this name has a value by loss; did you mean big?",
        ),
        (("--by", "loss/bits"), "--by loss/bits: loss measures loss, perplexity"),
        (("--weights", "big=-1"), "expected TASK=WEIGHT"),
        (("--weights", "big=0,small=0"), "--weights: are all 0"),
        (("--budget", "days"), "--budget days: expected epochs or steps"),
        (("--singles", "data"), "data holds no comparison; give the output of mft compare"),
        (("--write", "spec.json"), "--write: spec.json exists"),
    ],
)
def test_mistakes_are_reported_before_anything_is_written(
    project: Path, arguments: tuple[str, ...], problem: str
) -> None:
    done = mft("mix", "search", "spec.json", "--output", "nothing", *arguments, cwd=project)
    assert done.returncode == 2
    assert problem in done.stderr
    assert not (project / "nothing").exists()
