"""The suite for engines finds what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch.distributed as dist
from torch import Tensor, nn

import mftkit
import mftkit.testing


class Good(mftkit.Engine):
    """Sums every gradient once per step."""

    def reduce(self, trained: list[nn.Parameter]) -> None:
        for parameter in trained:
            assert parameter.grad is not None
            dist.all_reduce(parameter.grad)


class NotWhatCameLater(Good):
    """Knows only the parameters that were there when the model was divided, as FSDP2 does."""

    def distribute(self, model: Any) -> Any:
        self.known = {id(p) for p in model.parameters()}
        return model

    def reduce(self, trained: list[nn.Parameter]) -> None:
        super().reduce([p for p in trained if id(p) in self.known])


class NeverSkips(Good):
    def update(self, skip: Tensor) -> None:
        super().update(skip * 0)


class LosesMoments(Good):
    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        super().load_optimizer_state({**state, "state": {}})


class MoreShards(Good):
    def describe(self) -> dict[str, Any]:
        return {"replicas": 2, "shards": 2}


class Breaks(Good):
    def wrapped(self, model: nn.Module, optimizer: Any) -> nn.Module:
        raise OSError("no such device")


def suite(engine: type[mftkit.Engine]) -> mftkit.testing.EngineConformance:
    return type("Suite", (mftkit.testing.EngineConformance,), {"component": engine})()  # type: ignore[no-any-return]


def test_a_good_one_passes() -> None:
    checks = suite(Good)
    checks.test_what_it_states()
    checks.test_whole_model()
    checks.test_adapter()
    checks.test_resuming()


def test_gradients_of_an_adapter_that_are_not_summed() -> None:
    checks = suite(NotWhatCameLater)
    checks.test_whole_model()
    with pytest.raises(
        mftkit.testing.ConformanceError, match="an adapter, trained: the norms of the gradients of the steps"
    ):
        checks.test_adapter()


@pytest.mark.parametrize(
    ("engine", "check", "message"),
    [
        (NeverSkips, "test_whole_model", "the norms of the gradients of the steps are"),
        (LosesMoments, "test_resuming", "step of parameter 0"),
        (MoreShards, "test_what_it_states", "the number of processes, 2, but has 2 and 2"),
        (Breaks, "test_whole_model", "in 2 processes: OSError: no such device"),
    ],
)
def test_what_is_wrong_is_named(engine: type[mftkit.Engine], check: str, message: str) -> None:
    with pytest.raises(mftkit.testing.ConformanceError, match=message):
        getattr(suite(engine), check)()
