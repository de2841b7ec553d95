"""``mft affinity --subsets``: gradients of samples against a reference, and predictions against real training."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mftkit
from mftkit.cli import main
from mftkit.reporting.reporter import Reporter
from mftkit.tools.affinity.sample_gradients import choose_samples, sample_gradients
from mftkit.tools.affinity.sketch import CountSketch
from mftkit.training.setup import build_run, check_run
from mftkit_registry import MftError
from small_runs import small_spec, write_rows

TASKS = {"yes": "yes it is so", "agreed": "yes it is so", "no": "qqq zzz 777"}


def write_spec(directory: Path, tasks: tuple[str, ...], output: str, **training: Any) -> Path:
    """Tasks of the same questions: two with the same answers, one with others."""
    spec = small_spec(
        name=output,
        output=output,
        tasks=[{"name": name, "train": [f"data/{name}.jsonl"], "valid": 0.3} for name in tasks],
        training={"max_steps": 8, "learning_rate": 0.01, "checkpoint_every": 8, "log_every": 8} | training,
    )
    spec["model"]["config"]["attention_dropout"] = 0.0
    path = directory / f"{output}.json"
    path.write_text(json.dumps(spec))
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on all tasks, and runs from it on subsets."""
    directory = tmp_path_factory.mktemp("subsets")
    for task, answer in TASKS.items():
        rows = [
            {
                "id": i,
                "data_name": task,
                "chat_rounds": [
                    {"role": "human", "content": f"number {i % 20} please"},
                    {"role": "bot", "content": answer},
                ],
            }
            for i in range(120)
        ]
        write_rows(directory / "data" / f"{task}.jsonl", rows)
    base = write_spec(directory, tuple(TASKS), "base", max_steps=16)
    mftkit.run(mftkit.load_spec(base))
    for subset in (("yes",), ("no",), ("yes", "agreed"), ("yes", "no")):
        training = {"max_steps": 30 * len(subset), "evaluate_every": 30}
        path = write_spec(directory, subset, "-".join(subset), **training)
        spec = json.loads(path.read_text()) | {"output": f"subsets/{'-'.join(subset)}"}
        spec["model"] = spec["model"] | {"start_from": str(directory / "base")}
        path.write_text(json.dumps(spec))
        mftkit.run(mftkit.load_spec(path))
    return directory


def test_predictions_agree_with_real_training(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task of the same rows helps, one of other answers to the same questions does not, in both."""
    common = ["affinity", str(project / "base.json"), "--run", str(project / "base"), "--batches", "6"]
    common += ["--samples", "4", "--projection", "64", "--measured", str(project / "subsets")]
    capsys.readouterr()
    assert main([*common, "--output", str(project / "out")]) == 0
    printed = capsys.readouterr().out
    written = json.loads((project / "out" / "affinity.json").read_text())
    found = written["subsets"]
    predicted = {tuple(one["tasks"]): one for one in found["predicted"]}
    assert len(predicted) == 7
    losses = {subset: one["losses"]["yes"]["loss"] for subset, one in predicted.items()}
    measured = {
        tuple(point["subset"]): point["measured"]
        for point in found["measured"]["points"]
        if point["task"] == "yes"
    }
    for each in (losses, measured):
        assert each["yes", "agreed"] < each["yes",] < each["yes", "no"]
    assert found["proposed"] == [["yes", "agreed"], ["no"]]
    assert found["measured"]["within_tasks"]["spearman"] > 0
    assert found["measured"]["within_tasks"]["points"] == 5
    assert re.search(r"^yes \+ agreed +\d\.\d{4} +-?\d\.\d{4} +- ", printed, re.MULTILINE)
    assert re.search(r"Of 4 pairs of measured subsets .* predicted in the measured order", printed)
    page = (project / "out" / "affinity.html").read_text()
    assert "Which tasks to train together" in page
    assert "Predicted and measured losses" in page

    # The same to the last digit by the same seed; and the cosines are those without --subsets.
    assert main([*common, "--output", str(project / "again")]) == 0
    assert json.loads((project / "again" / "affinity.json").read_text()) == written
    assert main([*common[:-2], "--output", str(project / "plain")]) == 0
    plain = json.loads((project / "plain" / "affinity.json").read_text())
    assert plain == {key: value for key, value in written.items() if key != "subsets"}


def test_gradients_of_samples_are_those_of_a_reference(project: Path) -> None:
    """By transformers' own logits and whole gradients; there is never more than one parameter's gradient."""
    run = build_run(check_run(mftkit.load_spec(project / "base.json"), Reporter()))
    model, samples = run.logprob_model, run.checked.corpus.train
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts: list[torch.Tensor] = []

    class Whole(CountSketch):
        """Keeps gradients as they are."""

        def add(self, number: int, gradient: torch.Tensor) -> None:
            assert sum(parameter.grad is not None for parameter in trained) == 1
            parts.append((number, gradient.flatten().double().clone()))  # type: ignore[arg-type]

        def take(self) -> torch.Tensor:
            whole = torch.cat([part for _, part in sorted(parts, key=lambda one: one[0])])
            parts.clear()
            return whole

    sizes = [parameter.numel() for parameter in trained]
    sketch = Whole(sizes, sum(sizes), 0, run.device)
    members = choose_samples(samples, tuple(TASKS), 2, 0, "training")
    found = sample_gradients(model, samples, members, run.batcher, sketch, 0, lambda _: None)
    assert found.task.tolist() == [0, 0, 1, 1, 2, 2]
    model.eval()
    for row, member in enumerate(members):
        sample = samples[int(member)]
        ids = torch.tensor(sample.tokens.astype(np.int64))
        mask = torch.tensor(np.asarray(sample.loss_mask, dtype=bool))[1:]
        logprobs = run.model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
        loss = -logprobs.gather(1, ids[1:, None])[:, 0][mask].mean()
        expected = torch.cat([each.flatten() for each in torch.autograd.grad(loss, trained)])
        assert found.losses[row] == pytest.approx(float(loss.detach()), rel=1e-5)
        assert np.allclose(found.gradients[row], expected.numpy(), atol=1e-5)
    assert not np.allclose(found.gradients, found.drawn, atol=1e-3)
    assert all(parameter.grad is None for parameter in trained)


def test_mistakes_are_explained(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(project / "base.json")
    assert main(["affinity", where, "--measured", str(tmp_path)]) == 2
    assert "holds no run; give the directory of a run" in capsys.readouterr().err
    other = write_spec(project, ("yes", "agreed"), "two")
    assert main(["affinity", str(other), "--measured", str(project / "subsets")]) == 2
    assert "trains no, which SPEC does not have; it has yes, agreed" in capsys.readouterr().err
    with pytest.raises(MftError, match="task b has 1 validation samples, but at least two are needed"):
        choose_samples(type("S", (), {"task": np.array([0, 0, 1])})(), ("a", "b"), 3, 0, "validation")
