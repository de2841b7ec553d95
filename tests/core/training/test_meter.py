import json
from types import SimpleNamespace

import numpy as np
import torch

from mftkit.runs.metrics_file import MetricsFile
from mftkit.training.meter import Meter


def test_lines_past_a_step_and_ends_are_cut(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for line in (
        {"event": "valid", "step": 0},
        {"event": "train", "step": 5},
        {"event": "end", "step": 5},
        {"event": "train", "step": 6},
    ):
        file.write(line)
    file.cut(5)
    assert [(line["event"], line["step"]) for line in file.read()] == [("valid", 0), ("train", 5)]


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"event": "valid", "step": 0}\n{"event": "tra')
    assert MetricsFile(path).read() == [{"event": "valid", "step": 0}]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write({"event": "train", "loss": float("nan"), "tasks": {"a": {"loss": float("inf")}}})
    text = file.path.read_text()
    assert json.loads(text) == {"event": "train", "loss": None, "tasks": {"a": {"loss": None}}}


def test_the_meter_resumes_from_its_state():
    batch = SimpleNamespace(task=torch.tensor([0, 1, 1]), input_ids=torch.zeros(2, 4), real_tokens=6)
    step = SimpleNamespace(tokens=np.array([1.0, 2.0]), samples=np.array([1.0, 1.0]))

    def feed(meter):
        meter.add_micro_batch(torch.tensor([-1.0, -2.0, -3.0]), batch)
        meter.add_step(step, torch.tensor(2.5))

    whole = Meter(2, torch.device("cpu"), torch.float64)
    feed(whole)
    resumed = Meter(2, torch.device("cpu"), torch.float64)
    resumed.load_state_dict(whole.state_dict())
    feed(whole)
    feed(resumed)
    assert resumed.nll.tolist() == whole.nll.tolist() == [2.0, 10.0]
    assert (resumed.positions, resumed.real_tokens, resumed.steps) == (16, 12, 2)
    assert float(resumed.objective) == 5.0
    assert resumed.tokens.tolist() == [2.0, 4.0]
