"""Which attention a run computes, and that its numbers are the same under each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mftkit
from mftkit import MftError
from mftkit.models import select_adapter
from mftkit.models.native import attention_of
from mftkit.reporting.reporter import Reporter
from mftkit.spec import Spec
from mftkit.training.attention_choice import Varlen, check_flex, choose_varlen
from mftkit.training.precision import Precision
from mftkit.training.run_parts import Run
from mftkit.training.setup import build_run, check_run
from recorder import Recorder
from small_runs import rows, small_spec, write_rows

NOTE = "attention varlen: each sample is computed by itself, without padding and masks"
GEMMA_2 = {
    "model_type": "gemma2", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128,
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for task in ("big", "small"):
        write_rows(tmp_path / "data" / f"{task}.jsonl", rows(task, 40))
    return tmp_path


def spec_of(project: Path, attention: str = "auto", **changes: Any) -> Spec:
    given = small_spec(**changes)
    model = given["model"]
    # Masks of dropout are drawn in another order where tensors have other shapes.
    given["model"] = {**model, "attention": attention, "config": {**model["config"], "attention_dropout": 0}}
    return mftkit.load_spec(given, directory=project)


def built(spec: Spec) -> Run:
    return build_run(check_run(spec, Reporter()))


def train_lines(spec: Spec) -> list[dict[str, Any]]:
    lines = map(json.loads, (spec.output / "metrics.jsonl").read_text("utf-8").splitlines())
    return [line for line in lines if line["event"] == "train"]


@pytest.mark.parametrize("mode", ["auto", "padding", {"name": "pack", "options": {"attention": "shared"}}])
def test_losses_are_those_of_padded_rows_with_masks(project: Path, mode: Any) -> None:
    found = {}
    for attention in ("auto", "eager"):
        spec = spec_of(project, attention, tokenization=mode, output=f"runs/{attention}")
        mftkit.run(spec)
        found[attention] = train_lines(spec)
    recorded = json.loads((project / "runs/auto/environment.json").read_text("utf-8"))
    assert recorded["attention"] == "varlen"
    assert NOTE in json.loads((project / "runs/auto/plan.json").read_text("utf-8"))["notes"]
    assert len(found["auto"]) == len(found["eager"]) > 1
    for one, other in zip(found["auto"], found["eager"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=2e-5)
        assert one["padding"] == 0
    assert any(line["padding"] > 0 for line in found["eager"])


def test_a_micro_batch_is_counted_in_tokens(project: Path) -> None:
    long = [
        {"role": "human", "content": "count"},
        {"role": "bot", "content": "def count(value): return value\n" * 7},
    ]
    turns = {"id": 99, "data_name": "big", "chat_rounds": long}
    write_rows(project / "data" / "big.jsonl", [*rows("big", 40), *([turns] * 8)])
    changes = {"batch_size": 32, "micro_batch_size": 4}
    joined, padded = (
        built(spec_of(project, attention, tokenization="dynamic-padding", training=changes))
        for attention in ("varlen", "sdpa")
    )
    passes = {}
    for run in (joined, padded):
        checked = run.checked
        step = run.batcher.step(checked.sampler[1], checked.corpus.train, checked.mode.collate)
        passes[attention_of(run.checked.tuning.base_model(run.model))] = step.micro_batches
        most = 4 * max(checked.corpus.train.lengths[row].sum() for row in checked.sampler[1].rows)
        assert all(batch.real_tokens <= most for batch in step.micro_batches)
        assert sum(len(batch.sample_index) for batch in step.micro_batches) == 32
    assert len(passes["varlen"]) < len(passes["sdpa"]) == 8
    assert all(len(batch.input_ids) == 1 for batch in passes["varlen"])


def test_a_model_that_cannot_use_it_keeps_its_own_and_the_plan_says_why(project: Path) -> None:
    model = {"init": "random", "config": GEMMA_2, "tokenizer": {"train_bpe": 400}}
    run = built(spec_of(project, model=model))
    assert attention_of(run.checked.tuning.base_model(run.model)) != "varlen"
    assert not run.batcher.joins_rows
    (note,) = (note for note in run.plan.notes if note.startswith("attention "))
    assert "varlen cannot be used: attention varlen cannot compute softcap" in note
    with pytest.raises(
        MftError, match=r"model.attention: varlen cannot be used with Gemma2.*softcap; set model.at"
    ):
        built(spec_of(project, "varlen", model=model))


def test_an_attention_that_is_named_is_used(project: Path) -> None:
    run = built(spec_of(project, "sdpa"))
    assert attention_of(run.checked.tuning.base_model(run.model)) == "sdpa"
    assert not run.batcher.joins_rows
    assert not any(note.startswith("attention ") for note in run.plan.notes)


def test_it_cannot_be_compiled(project: Path) -> None:
    with pytest.raises(MftError, match="varlen cannot be compiled.*set training.compile to false"):
        check_run(spec_of(project, "varlen", training={"epochs": 1, "compile": True}), Reporter())


def test_a_resumed_run_keeps_the_attention_with_which_it_was_begun(project: Path) -> None:
    spec = spec_of(project, training={"epochs": 1, "checkpoint_every": 1, "max_steps": 2})
    mftkit.run(spec)
    assert attention_of(built(spec).model) == "varlen"  # type: ignore[arg-type]
    environment = spec.output / "environment.json"
    recorded = json.loads(environment.read_text("utf-8"))
    for earlier in ({"attention": "sdpa"}, {}):  # the second: begun before this was recorded
        del recorded["attention"]
        environment.write_text(json.dumps(recorded | earlier), "utf-8")
        run = built(spec)
        assert attention_of(run.model) == "sdpa"  # type: ignore[arg-type]
        recorded |= {"attention": ""}
    assert attention_of(build_run(check_run(spec, Reporter(), fresh=True)).model) == "varlen"  # type: ignore[arg-type]


def test_a_resumed_run_that_cannot_stay_with_it_warns(project: Path) -> None:
    model = {"init": "random", "config": GEMMA_2, "tokenizer": {"train_bpe": 400}}
    spec = spec_of(project, model=model, training={"epochs": 1, "checkpoint_every": 1, "max_steps": 1})
    mftkit.run(spec)
    environment = spec.output / "environment.json"
    recorded = json.loads(environment.read_text("utf-8"))
    environment.write_text(json.dumps(recorded | {"attention": "varlen"}), "utf-8")
    recorder = Recorder()
    run = build_run(check_run(spec, recorder), reporter=recorder)
    assert attention_of(run.model) != "varlen"  # type: ignore[arg-type]
    (warning,) = (text for text in recorder.warnings if "attention" in text)
    assert (
        "was begun with varlen, which cannot be used here: attention varlen cannot compute softcap" in warning
    )


def test_weights_of_a_resumed_run_are_those_of_an_unbroken_one(project: Path) -> None:
    weights = []
    for name, ends in (("whole", (6,)), ("parts", (3, 6))):
        for end in ends:
            training = {
                "max_steps": end, "checkpoint_every": 3, "batch_size": 4, "micro_batch_size": 2, "scheduler": "constant",
                "warmup": 1, "min_learning_rate": 0,
            }  # fmt: skip
            spec = spec_of(project, "varlen", training=training, output=f"runs/{name}")
            mftkit.run(spec)
        files = sorted((project / "runs" / name / "model").glob("*.safetensors"))
        weights.append(b"".join(file.read_bytes() for file in files))
    assert weights[0] == weights[1] != b""


def test_a_trial_leaves_the_random_state_to_the_run(project: Path) -> None:
    """Dropout depends on the seed alone, whatever was tried before."""
    draws = []
    for attention in ("auto", "sdpa"):
        built(spec_of(project, attention))
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [("cuda", "bfloat16", Varlen.TRY), ("cuda", "float32", Varlen.NO), ("mps", "float32", Varlen.NO)],
)
def test_other_devices(project: Path, device: str, dtype: str, expected: Varlen) -> None:
    """The kernel of CUDA computes in half precision alone."""
    precision = Precision(dtype, torch.float32, None)
    chosen = choose_varlen(spec_of(project), torch.device(device), precision, fresh=True)
    assert chosen is expected
    if (device, dtype) == ("cuda", "float32"):
        with pytest.raises(
            MftError, match=r"varlen needs bfloat16 on CUDA, and this run computes in float32; set"
        ):
            choose_varlen(spec_of(project, "varlen"), torch.device(device), precision, fresh=True)


def test_flex_attention_is_refused_on_a_cpu_before_any_work(project: Path) -> None:
    with pytest.raises(
        MftError, match=r"model\.attention: flex_attention has no backward pass on the device cpu.*set"
    ):
        check_run(spec_of(project, "flex_attention"), Reporter())
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"model_type": "llama", "attention_dropout": 0.1}, "attention_dropout 0.1"),
        ({"model_type": "llama"}, None),
        ({"model_type": "gpt_bigcode"}, "attn_pdrop 0.1"),  # by default
        ({"model_type": "gpt_bigcode", "attn_pdrop": 0.0, "resid_pdrop": 0.1}, None),
    ],
)
def test_flex_attention_is_refused_for_dropout(
    project: Path, config: dict[str, Any], fault: str | None
) -> None:
    _, adapter = select_adapter(config)
    spec, gpu = spec_of(project, "flex_attention"), torch.device("cuda")
    if fault is None:
        check_flex(spec, adapter, config, gpu)
    else:
        with pytest.raises(
            MftError, match=f"has no dropout, and the model trains with {fault}; set .* to 0 in model"
        ):
            check_flex(spec, adapter, config, gpu)
    check_flex(spec_of(project), adapter, config, gpu)
