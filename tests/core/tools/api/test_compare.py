"""``mftkit.compare`` from Python: arms as objects, results as tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mftkit
from mftkit_registry import MftError
from small_runs import rows, small_spec


def test_a_comparison_of_given_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = small_spec(
        training={"max_steps": 3, "evaluate_every": 3, "batch_size": 4, "micro_batch_size": 4}, max_length=64
    )
    del spec["tasks"]
    spec["training"]["min_learning_rate"] = 0
    given = {"big": rows("big", 30), "small": rows("small", 20)}
    vary = {"training.learning_rate": [1e-3, 1e-2]}
    found = mftkit.compare(spec, vary=vary, arms={"patient": {"training.early_stopping": {"patience": 9}}},
                           data=given, progress=False)  # fmt: skip
    labels = ["unchanged", "learning_rate=0.001", "learning_rate=0.01", "patient"]
    assert found.path == tmp_path / "run-compare"
    assert (found.is_complete, found.signal, list(found.runs)) == (True, None, labels)
    assert found.table.columns.tolist() == labels
    assert found.table.index.tolist() == ["big", "small"]
    frame = found.metrics
    assert len(frame) == 8
    for arm, [run] in found.runs.items():
        own = frame[frame.arm == arm]
        assert own.loss.tolist() == [run.best[task].loss for task in own.task]
        assert own.step.tolist() == [run.best[task].step for task in own.task]
    assert found.never_acted == [
        "patient trained exactly as unchanged did, to the last digit of every validation loss: what it changes had no "
        "effect in runs of this length."
    ]
    assert "noise was not measured" in found.verdict
    assert found.best in labels
    assert "never acted" not in found._repr_html_()
    assert "patient trained exactly" in found._repr_html_()
    assert mftkit.report(found) == found.report() == found.path / "compare.html"
    run_spec = json.loads((found.runs["patient"][0].path / "spec.json").read_text())
    assert Path(run_spec["tasks"][0]["train"][0]).parent == found.path / "data"
    again = mftkit.compare(spec, vary=vary, data=given, progress=False)
    assert list(again.runs) == labels[1:3]
    assert again.metrics.loss.tolist() == frame[frame.arm.isin(labels[1:3])].loss.tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 0}, "seeds: should be at least 1"),
        ({"budget": "time"}, "budget: expected epochs or steps"),
        ({"vary": {"seed": [1, 2]}}, "seed cannot differ between arms"),
        ({"vary": {"training.epochs": []}}, "there are no values"),
        ({"arms": {"x": {"output": "y"}}}, r"arms\['x'\]: output cannot differ"),
        ({"vary": {"training.epochs": "1,2"}}, "vary: should be a dict from keys to lists"),
        ({"vary": {"training.epochs": 2}}, "vary: should be a dict from keys to lists"),
        ({"arms": ["tuning=lora"]}, "arms: should be a dict from names"),
        ({"losses": ["mixt"], "baselines": []}, "mixed"),
    ],
)
def test_what_is_refused(
    given: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MftError, match=message):
        mftkit.compare(small_spec(), progress=False, **given)  # type: ignore[arg-type]
