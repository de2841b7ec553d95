from types import SimpleNamespace

import numpy as np
import torch

from mftkit.training.meter import Meter


def test_the_meter_goes_on_from_its_state() -> None:
    batch = SimpleNamespace(task=torch.tensor([0, 1, 1]), input_ids=torch.zeros(2, 4), real_tokens=6)
    step = SimpleNamespace(tokens=np.array([1.0, 2.0]), samples=np.array([1.0, 1.0]))

    def feed(meter: Meter) -> None:
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
