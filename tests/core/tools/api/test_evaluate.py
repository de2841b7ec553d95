"""From Python, an adapter: its best models, its losses on the run's rows and on others, its merged form, its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mftkit
from mftkit_registry import MftError
from small_runs import metrics, rows, small_spec

BIG, SMALL = rows("big", 40), rows("small", 20)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> mftkit.RunResult:
    project = tmp_path_factory.mktemp("adapter")
    spec = small_spec(
        tuning={"method": "lora", "rank": 2},
        training={"max_steps": 6, "evaluate_every": 2, "batch_size": 4, "micro_batch_size": 4},
        max_length=64,
        output=str(project / "run"),
        data={"cache": str(project / "cache")},
    )
    spec["tasks"] = [{"name": "big", "valid": 0.2}, {"name": "small"}]
    given: dict[str, Any] = {"big": BIG, "small": {"train": SMALL[:15], "validation": SMALL[15:]}}
    return mftkit.run(spec, data=given, progress=False)


def test_the_losses_are_those_of_the_run(result: mftkit.RunResult) -> None:
    found = mftkit.evaluate(result, progress=False)
    [line] = [x for x in metrics(result.path) if x["event"] == "valid" and x["step"] == result.best_step]
    assert {name: task.loss for name, task in found.losses.items()} == pytest.approx(
        {name: task["loss"] for name, task in line["tasks"].items()}, abs=1e-6
    )
    assert found.metrics.tokens.tolist() == [task["tokens"] for task in line["tasks"].values()]
    assert found.metrics.samples.tolist() == [8, 5]
    assert found.mean == pytest.approx(line["loss"], abs=1e-6)
    assert f"{found.losses['big'].loss:.4f}" in found._repr_html_()


def test_other_rows_and_fewer_tasks(result: mftkit.RunResult) -> None:
    one = mftkit.evaluate(result.path, tasks=["small"], progress=False)
    assert list(one.losses) == ["small"]
    same = mftkit.evaluate(result.path / "model", data={"small": pd.DataFrame(SMALL[15:])}, progress=False)
    assert list(same.losses) == ["small"]
    assert same.losses["small"].loss == pytest.approx(one.losses["small"].loss)
    other = mftkit.evaluate(result, data={"small": SMALL[:3]}, progress=False)
    assert (other.losses["small"].samples, other.losses["small"].loss != one.losses["small"].loss) == (
        3,
        True,
    )
    with pytest.raises(MftError, match="no task 'smal'.*did you mean 'small'"):
        mftkit.evaluate(result, tasks=["smal"], progress=False)
    with pytest.raises(MftError, match="takes validation rows alone"):
        mftkit.evaluate(result, data={"small": {"train": SMALL}}, progress=False)
    with pytest.raises(MftError, match=r"small has no validation samples"):
        mftkit.evaluate(result, overrides={"tasks.1.valid": 0}, progress=False)


def test_models_of_a_run(result: mftkit.RunResult, tmp_path: Path) -> None:
    import torch

    _, tokenizer = result.model()
    best, _ = result.model("best:big")
    assert tokenizer is not None
    ids = tokenizer("def f(x):", return_tensors="pt").input_ids
    with pytest.raises(MftError, match="big"):
        result.model("best:bigg")
    with pytest.raises(MftError, match="@STEP, @last"):
        result.model("last one")
    last, _ = result.model(6)
    merged = mftkit.merge(result, tmp_path / "merged", progress=False)
    assert merged.difference < 1e-3
    loaded, _ = merged.model()
    adapted, _ = result.model()
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, adapted(ids).logits, atol=1e-4)
        assert best(ids).logits.shape == loaded(ids).logits.shape
        assert torch.allclose(last(ids).logits, adapted(ids).logits, atol=1e-5)
    at_step = mftkit.evaluate(f"{result.path}@6", progress=False)
    assert at_step.mean == pytest.approx(mftkit.evaluate(result, progress=False).mean, abs=1e-5)
    found = mftkit.evaluate(tmp_path / "merged", result.path / "spec.json", progress=False)
    assert found.mean == pytest.approx(mftkit.evaluate(result, progress=False).mean, abs=1e-5)
    with pytest.raises(MftError, match="belongs to no run"):
        mftkit.evaluate(tmp_path / "merged", progress=False)


def test_pages(result: mftkit.RunResult, tmp_path: Path) -> None:
    assert mftkit.report(result) == result.path / "report.html"
    both = mftkit.report([result, str(result.path)], output=tmp_path / "both.html")
    assert both.is_file()
    with pytest.raises(MftError, match="output is required"):
        mftkit.report(result, result)
    with pytest.raises(MftError, match="at least one run"):
        mftkit.report()
