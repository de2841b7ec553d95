"""Chat, text and fill in the middle in one run: exact losses, new splits in each epoch, and resuming."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mftkit
from fim_tokenizers import fim_tokenizer
from mftkit.data.corpus import prepare
from recorder import Recorder
from small_runs import comparable, metrics, rows, small_spec, write_rows

CODE = "def f{i}(a, b):\n    c = a + {i}\n    return b * c\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Rows of three tasks, and a tokenizer with StarCoder's tokens."""
    write_rows(tmp_path / "chat.jsonl", rows("chat", 20))
    write_rows(tmp_path / "text.jsonl", [{"text": f"# {i}\n" * (i % 5 + 1)} for i in range(12)])
    write_rows(tmp_path / "fill.jsonl", [{"code": CODE.format(i=i)} for i in range(16)])
    fim_tokenizer("starcoder2", adds_bos=True).save_pretrained(tmp_path / "tokenizer")
    return tmp_path


def load(project: Path, output: str = "run", fim: dict[str, Any] | None = None, **changes: Any) -> Any:
    training = {"epochs": 4, "batch_size": 8, "micro_batch_size": 3, "log_every": 1, "evaluate_every": 6}
    training |= {"checkpoint_every": 4, "keep_checkpoints": 99, **changes.pop("training", {})}
    spec = small_spec(training=training, output=output, **({"max_length": 128} | changes))
    spec["model"]["tokenizer"] = "tokenizer"
    spec["model"]["config"]["max_position_embeddings"] = 256
    fill = {"name": "fim", "options": {"splits": 3, "loss": "middle", **(fim or {})}}
    spec["tasks"] = [
        {"name": "chat", "train": ["chat.jsonl"], "valid": 0.1},
        {"name": "text", "train": ["text.jsonl"], "valid": 0.1, "format": "text"},
        {"name": "fill", "train": ["fill.jsonl"], "valid": 0.2, "format": fill, "columns": {"code": "text"}},
    ]
    return mftkit.load_spec(spec, directory=project)


def corpus(project: Path, spec: Any) -> Any:
    from transformers import AutoTokenizer

    return prepare(spec, AutoTokenizer.from_pretrained(project / "tokenizer"), Recorder())


def trained(run: Path) -> list[dict[str, Any]]:
    return [line for line in metrics(run) if line["event"] == "train"]


def test_three_formats_train_with_exact_losses(project: Path) -> None:
    """The first step's losses are plain cross-entropies of each task's own loss tokens."""
    training = {"epochs": 1, "max_steps": 1, "batch_size": 64, "learning_rate": 1e-30, "min_learning_rate": 0}
    config = {"attention_dropout": 0.0}
    spec = load(project, training=training, tokenization={"name": "padding"}, loss={"name": "token-balanced"})
    spec.model.config.update(config)
    mftkit.run(spec)
    (line,) = trained(project / "run")
    model, _tokenizer = mftkit.load_model(project / "run" / "model")
    model.double()
    made = corpus(project, spec)
    sums, counts = np.zeros(3), np.zeros(3)
    for i in range(len(made.train)):
        sample = made.train[i]
        tokens = torch.tensor(sample.tokens.astype(np.int64))
        with torch.no_grad():
            lps = model(input_ids=tokens[None]).logits[0].log_softmax(-1)
        mask = torch.tensor(sample.loss_mask)[1:]
        picked = lps[:-1].gather(1, tokens[1:, None])[:, 0][mask]
        sums[sample.task] -= float(picked.sum())
        counts[sample.task] += int(mask.sum())
    for task, name in enumerate(("chat", "text", "fill")):
        assert line["tasks"][name]["tokens"] == counts[task] == made.tasks[task].tokens
        assert line["tasks"][name]["loss"] == pytest.approx(sums[task] / counts[task], rel=2e-5)
    assert line["loss"] == pytest.approx((sums / counts).mean(), rel=2e-5)


@pytest.mark.parametrize("mixing", [None, {"proportions": {"chat": 1, "text": 1, "fill": 3}}])
def test_each_epoch_trains_its_own_split_and_a_resumed_run_the_same(
    project: Path, mixing: dict[str, Any] | None
) -> None:
    spec = load(project, mixing=mixing)
    mftkit.run(spec)
    lines = trained(project / "run")
    made = corpus(project, spec)
    of_fill = made.train.task == 2
    tokens = []
    for epoch in range(4):
        of_epoch = [line for line in lines if epoch < line["epoch"] <= epoch + 1]
        tokens.append(sum(line["tasks"].get("fill", {}).get("tokens", 0) for line in of_epoch))
        expected = made.train.in_epoch(epoch).loss_tokens
        drawn = np.flatnonzero(of_fill) if mixing is None else made.mixture.epoch(epoch)
        assert tokens[-1] == expected[[i for i in drawn if of_fill[i]]].sum()
        samples = sum(line["tasks"].get("fill", {}).get("samples", 0) for line in of_epoch)
        assert samples == (of_fill.sum() if mixing is None else made.mixture.draws[2])
    assert len(set(tokens[:3])) > 1
    if mixing is None:
        assert tokens[3] == tokens[0]

    stop = len(lines) * 2 // 3  # in the third epoch
    whole, run = project / "whole", project / "run"
    shutil.move(run, whole)
    shutil.copytree(whole, run)
    write_rows(run / "metrics.jsonl", [line for line in metrics(whole) if line["event"] != "end"])
    for step in (run / "checkpoints").iterdir():
        if int(step.name.removeprefix("step-")) > stop:
            shutil.rmtree(step)
    shutil.rmtree(project / "cache")  # it is made again, to the same tokens
    listener = Recorder()
    mftkit.run(load(project, mixing=mixing), reporter=listener)
    assert any(note.startswith("resuming from step") for note in listener.notes)
    assert comparable(metrics(run)) == comparable(metrics(whole))
    mine, theirs = (load_file(each / "model" / "model.safetensors") for each in (run, whole))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_one_split_is_the_first_of_several(project: Path) -> None:
    one, three = (corpus(project, load(project, fim={"splits": splits})) for splits in (1, 3))
    assert one.tasks == three.tasks
    for split in ("train", "valid"):
        mine, theirs = getattr(one, split), getattr(three, split)
        assert len(mine) == len(theirs)
        assert all((mine[i].tokens == theirs[i].tokens).all() for i in range(len(mine)))
        assert all(mine.origin(i) == theirs.origin(i) for i in range(len(mine)))
    assert one.train.in_epoch(5) is one.train
    assert one.reports == tuple(
        type(report)(**{**report.__dict__, "cached": one.reports[i].cached})
        for i, report in enumerate(three.reports)
    )


def test_a_row_that_is_too_long_in_one_split_is_in_no_epoch(project: Path) -> None:
    """Splits of a token make a sample longer by some tokens, so the limit hits some splits of a row alone."""
    spec = load(project, fim={"rate": 1, "splits": 6})
    del spec.tasks[:2]
    whole = corpus(project, spec)
    lengths = np.array([whole.train.in_epoch(epoch).lengths for epoch in range(6)])
    limit = int(np.median(lengths))
    assert ((lengths > limit).any(axis=0) & (lengths <= limit).any(axis=0)).any()
    data = {"cache": "cache", "overlong": "drop"}
    spec = load(project, fim={"rate": 1, "splits": 6}, max_length=limit, data=data)
    del spec.tasks[:2]
    kept = corpus(project, spec)
    for epoch in range(6):
        assert kept.train.in_epoch(epoch).lengths.max() <= limit
        assert len(kept.train.in_epoch(epoch)) == len(kept.train)
    assert len(kept.train) == (lengths <= limit).all(axis=0).sum()


def test_the_run_ends_middles_where_the_family_does(project: Path) -> None:
    mftkit.run(load(project, training={"epochs": 1}))
    settings = json.loads((project / "run/model/generation_config.json").read_text())
    from transformers import AutoTokenizer

    tok: Any = AutoTokenizer.from_pretrained(project / "run/model")
    ends = settings["eos_token_id"]
    assert tok.convert_tokens_to_ids("<|endoftext|>") in (ends if isinstance(ends, list) else [ends])
