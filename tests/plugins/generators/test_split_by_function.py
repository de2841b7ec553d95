"""A function lies on one side, training or validation, in every task that is made of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from data_path import sections, tokenizer
from mftkit.data.corpus import prepare
from mftkit.data.samples import Samples
from recorder import Recorder

SOURCE = [str(Path(os.__file__).with_name(name)) for name in ("json", "logging", "asyncio", "textwrap.py")]
SAMPLES = {"completion": 150, "comment": 100, "text-to-code": 130, "repair": 60}


def groups(samples: Samples, number_of_tasks: int) -> list[set[str]]:
    found: list[set[str]] = [set() for _ in range(number_of_tasks)]
    for index in range(len(samples)):
        path, line = samples.origin(index).rsplit(":", 1)
        row = json.loads(Path(path).read_text(encoding="utf-8").split("\n")[int(line) - 1])
        found[samples.task[index]].add(row["group"])
    return found


def test_the_same_side_in_every_task(tmp_path: Path) -> None:
    tasks = []
    for kind, samples in SAMPLES.items():
        options = {"kind": kind, "samples": samples, "paths": SOURCE}
        tasks.append({"name": kind, "generator": {"name": "python-source", "options": options}, "valid": 0.2})
    made = prepare(sections(tmp_path, *tasks, max_length=4096), tokenizer(), Recorder())
    train, valid = groups(made.train, len(tasks)), groups(made.valid, len(tasks))
    held_out = {group for task in valid for group in task}
    assert not any(held_out & task for task in train)
    for kind, in_train, in_valid in zip(SAMPLES, train, valid, strict=True):
        assert len(in_train) + len(in_valid) == SAMPLES[kind]
        assert 0 < len(in_valid) < SAMPLES[kind] / 2
    shared = [one & other for one in valid for other in valid if one is not other]
    assert all(shared)
