"""Compiled layers: their results, how many graphs there are, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import mftkit
from forked import run_forked
from mftkit.models.recomputation import selective_contexts
from mftkit.processes import Processes
from mftkit.training import compiled_layers
from mftkit.training.compiled_layers import CompiledLayers
from mftkit.training.compiling import check_compiling, compiles_head, length_step
from mftkit.training.engine_choice import no_engine
from mftkit_registry import MftError
from recorder import Recorder
from small_runs import metrics, rows, small_spec, unfinished, write_rows

# Warnings of torch's own code: it hides the first where it is shown, which is too late where warnings are errors.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:.*Function'> should not be instantiated"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),
]
WITHOUT_DROPOUT = {"attention_dropout": 0.0}


@pytest.fixture(autouse=True)
def without_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace and guard as ever, but run what was traced: making kernels takes a C++ compiler a minute."""
    if not request.node.get_closest_marker("engines"):
        monkeypatch.setattr(compiled_layers, "BACKEND", "eager")
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("compiling")
    write_rows(directory / "data" / "big.jsonl", rows("big", 60))
    write_rows(directory / "data" / "small.jsonl", rows("small", 20))
    return directory


class Layer(nn.Module):
    """A module that torch compiles: it traces no call that runs torch's built-in modules alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x @ self.weight)


def layers(count: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(Layer() for _ in range(count)))


def spec(output: str, config: dict[str, Any] = WITHOUT_DROPOUT, **changes: Any) -> dict[str, Any]:
    training = {"max_steps": 6, "log_every": 1, "evaluate_every": 3} | changes.pop("training", {})
    made = small_spec(output=output, training=training, **changes)
    made["model"]["config"] |= config
    return made


def run(project: Path, made: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    outcome = mftkit.run(mftkit.load_spec(made, directory=project), **options)
    assert outcome.reason == "finished"
    return metrics(project / made["output"])


def losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in lines if line["event"] in ("train", "valid")]


def falls(lines: list[dict[str, Any]]) -> bool:
    found = losses(lines)
    return found[-1] < found[0]


def test_each_shape_is_one_graph_and_none_runs_uncompiled_in_training() -> None:
    warned: list[str] = []
    model = layers()
    expected = layers()
    compiled = CompiledLayers(list(model), 12, warned.append)
    for width in range(2, 14):  # more than torch compiles by default
        x = torch.rand(width, 8, requires_grad=True)
        assert torch.equal(model(x), expected(x))
    assert compiled.graphs == compiled.bound == 12
    model(torch.rand(3, 8, requires_grad=True))
    assert compiled.graphs == 12
    assert not warned
    model(torch.rand(20, 8, requires_grad=True))
    model(torch.rand(21, 8, requires_grad=True))
    assert compiled.graphs == 14
    (message,) = warned
    assert "13 graphs are compiled, more than the 12" in message


def test_selective_checkpointing_is_compiled_without_torchs_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Checkpointed(Layer):
        def forward(self, x: torch.Tensor) -> Any:
            return checkpoint(super().forward, x, use_reentrant=False, context_fn=selective_contexts)

    logger = logging.getLogger("torch._higher_order_ops.wrap")
    monkeypatch.setattr(logger, "propagate", True)
    logger.addHandler(caplog.handler)
    torch._logging._internal.warning_once.cache_clear()  # each is shown once in a process
    layer = Checkpointed()
    compiled = CompiledLayers([layer], 1, lambda _message: None)
    layer(torch.rand(3, 8, requires_grad=True)).sum().backward()
    logger.removeHandler(caplog.handler)
    assert compiled.graphs == 1
    assert not [record for record in caplog.records if "context_fn" in record.getMessage()]


def test_evaluation_runs_the_layers_as_they_are() -> None:
    model = layers()
    compiled = CompiledLayers(list(model), 1, lambda _message: None)
    model.eval()
    model(torch.rand(3, 8))
    assert compiled.graphs == 0
    assert list(model.state_dict()) == list(layers().state_dict())


def test_layers_without_a_graph_are_reported_once() -> None:
    class Untraced(Layer):
        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x)

    warned: list[str] = []
    model = torch.nn.Sequential(Untraced(), Untraced())
    CompiledLayers(list(model), 1, warned.append)
    for _ in range(3):
        model(torch.rand(3, 8, requires_grad=True))
    (message,) = warned
    assert "made no graph of Untraced, so the layers run uncompiled" in message


def test_a_layer_that_cannot_be_traced_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_graph: object, _inputs: object) -> Any:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(compiled_layers, "BACKEND", broken)
    model = layers()
    CompiledLayers(list(model), 1, lambda _message: None)
    with pytest.raises(
        MftError, match=r"(?s)training.compile: Layer cannot be compiled: .*no kernel for this"
    ):
        model(torch.rand(3, 8))


def test_a_machine_without_a_compiler_and_a_sharding_engine_are_refused() -> None:
    engine = no_engine(Processes().group)
    check_compiling(engine)
    lacking = pytest.raises(MftError, match="needs a C\\+\\+ compiler on a CPU.*install g\\+\\+")
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}), lacking:
        check_compiling(engine)

    class Sharding(mftkit.Engine):
        shards_weights = True

    with pytest.raises(MftError, match="training.compile: engine single process divides the weights"):
        check_compiling(Sharding(mftkit.Engine.Options()))


@pytest.mark.parametrize("length", [1, 7, 63, 64, 96, 4096, 5000])
def test_there_are_at_most_eight_lengths(length: int) -> None:
    step = length_step(length)
    assert 1 <= -(-length // step) <= 8
    assert length < 64 or step % 8 == 0


@pytest.mark.parametrize(
    ("changes", "graphs"),
    [
        ({"tokenization": "pack", "training": {"gradient_checkpointing": "selective"}}, 2),
        ({"tokenization": "dynamic-padding", "tuning": {"method": "lora", "rank": 4, "dropout": 0.0}}, 12),
    ],
    ids=["pack", "lora"],
)
def test_a_compiled_run_has_the_losses_of_the_same_run(
    changes: dict[str, Any], graphs: int, data: Path
) -> None:
    training = changes.pop("training", {})
    name = str(changes["tokenization"])
    plain = run(data, spec(f"{name}-plain", **changes, training=training))
    reporter = Recorder()
    made = spec(f"{name}-compiled", **changes, training=training | {"compile": True})
    compiled = run(data, made, reporter=reporter)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-5)
    counts = [line["compiled"] for line in compiled if line["event"] == "train"]
    assert 1 <= counts[-1] <= graphs
    assert counts == sorted(counts)
    assert not any("compile" in warning for warning in reporter.warnings)
    assert not any("compiled" in line for line in plain)


@pytest.mark.engines
@pytest.mark.parametrize("checkpointing", [False, True, "selective"])
def test_kernels_train_as_eager_layers_and_resume_exactly(
    checkpointing: object, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(data / "data")
    training = {"gradient_checkpointing": checkpointing, "checkpoint_every": 3, "keep_checkpoints": 9}
    plain = run(tmp_path, spec("plain", training=training))
    training["compile"] = True
    compiled = run(tmp_path, spec("compiled", training=training))
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-4)
    with_dropout = spec("run", {"attention_dropout": 0.1}, training=training)
    whole = run(tmp_path, with_dropout)
    unfinished(tmp_path / "run", keep=(3,))
    torch._dynamo.reset()
    again = run(tmp_path, with_dropout)
    assert losses(again) == losses(whole)


@pytest.mark.engines
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_kernels_train_adapters_as_eager_layers(method: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(data / "data")
    tuning = {"method": method, "rank": 4, "dropout": 0.0}
    plain = run(tmp_path, spec("plain", tuning=tuning))
    compiled = run(tmp_path, spec("compiled", tuning=tuning, training={"compile": True}))
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-3)
    assert falls(compiled)


PROCESSES = """
import os
from pathlib import Path
import mftkit
from mftkit.training import compiled_layers
from small_runs import small_spec
compiled_layers.BACKEND = "eager"
count = int(os.environ.get("WORLD_SIZE", "1"))
for engine in ["ddp", {"name": "deepspeed", "options": {"stage": 2}}] if count > 1 else ["ddp"]:
    name = engine if isinstance(engine, str) else "deepspeed"
    training = {"max_steps": 4, "log_every": 1, "evaluate_every": 2, "batch_size": 5, "micro_batch_size": 2,
                "gradient_checkpointing": True, "compile": count > 1}
    spec = small_spec(engine=engine, loss="task-focal", output=f"{count}-{name}", training=training)
    spec["model"]["config"]["attention_dropout"] = 0.0
    mftkit.run(mftkit.load_spec(spec, directory=Path.cwd()))
"""


@pytest.mark.engines
def test_several_processes_train_compiled_layers_as_one_process_without(data: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(data / "data")
    run_forked(PROCESSES, (1, 2), tmp_path)
    plain = metrics(tmp_path / "1-ddp")
    for engine in ("ddp", "deepspeed"):
        compiled = metrics(tmp_path / f"2-{engine}")
        assert losses(compiled) == pytest.approx(losses(plain), rel=1e-4)
        assert all(line["compiled"] > 1 for line in compiled if line["event"] == "train")


@pytest.mark.parametrize(
    ("device", "options", "shards", "expected"),
    [
        ("cuda", {"compile": True}, False, True),
        ("cuda", {"fused_kernels": True}, False, True),
        ("cuda", {"fused_kernels": True}, True, False),
        ("cuda", {}, False, False),
        ("cpu", {"compile": True}, False, False),
    ],
)
def test_the_head_is_compiled_on_cuda_alone(
    device: str, options: dict[str, bool], shards: bool, expected: bool
) -> None:
    checked: Any = SimpleNamespace(
        spec=SimpleNamespace(
            training=SimpleNamespace(**{"compile": False, "fused_kernels": False} | options)
        ),
        engine=SimpleNamespace(shards_weights=shards),
        processes=SimpleNamespace(device=torch.device(device)),
    )
    assert compiles_head(checked) is expected
