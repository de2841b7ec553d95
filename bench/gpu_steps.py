"""Training steps of ``bench/gpu.py``: mftkit's own, and TRL's on the same model, tokens and rows."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from bench import gpu_shapes
from bench.gpu_shapes import text, write_base

import mftkit
from mftkit.batches.ahead import BatchesAhead
from mftkit.reporting.reporter import Reporter
from mftkit.training.meter import Meter
from mftkit.training.setup import build_run, check_run
from mftkit.training.train_step import TrainStep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit.training.run_parts import Run


@dataclass(frozen=True)
class Work:
    """What is trained: a shape with a tuning."""

    shape: str
    tuning: str
    """full, lora or qlora."""
    rows: int = 8
    """Packed rows per step."""
    micro_batch: int = 2
    recompute: bool = False
    dtype: str = "bfloat16"
    max_length: int = 4096
    tiny: bool = False
    attention: str = "auto"
    compile: bool = False
    loss: str = "mixed"


@dataclass(frozen=True)
class Speed:
    """What a series of steps took."""

    tokens_per_second: float
    peak_gib: float
    """Of the device's memory; on a CPU 0."""
    loss: float
    """Of the first step, in nats per token."""
    parameters: int
    flops_per_token: float

    def share_of_peak(self, device: torch.device) -> float:
        """Model FLOP per second as a share of the device's dense bfloat16 peak, in percent; 0 where it is not known."""
        peak = bf16_peak(device)
        return 100 * self.tokens_per_second * self.flops_per_token / peak if peak else 0.0


LORA = {"rank": 16, "alpha": 32}
"""The adapters of mftkit and TRL; without dropout, as in the peers' figures."""
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bfloat16 FLOP per second, by a part of the device's name (the makers' data sheets)."""


def bf16_peak(device: torch.device) -> float:
    """The device's peak in FLOP per second; 0 where it is not known."""
    if device.type != "cuda":
        return 0.0
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), 0.0)


def flops_per_token(work: Work, parameters: int) -> float:
    """6N for full fine-tuning, 4N with a frozen base, 2N more where activations are recomputed."""
    return ((6 if work.tuning == "full" else 4) + (2 if work.recompute else 0)) * parameters


def spec_of(work: Work, directory: Path, steps: int) -> dict[str, Any]:
    """The spec: two tasks of unequal size, whose rows fill packed rows of ``max_length``."""
    config = gpu_shapes.shape(work.shape, tiny=work.tiny)
    write_base(directory / "base", config)
    rows = (steps + 1) * work.rows
    words = work.max_length // 12  # about a quarter of a packed row
    tasks = {"large": 4 * rows, "small": max(8, rows // 2)}
    for number, (name, count) in enumerate(tasks.items()):
        lines = [json.dumps({"text": text(number * 10**6 + i, words)}) for i in range(count)]
        (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return {
        "name": "gpu",
        "output": str(directory / "run"),
        "plugins": [str(Path(gpu_shapes.__file__))],
        "model": {
            "path": str(directory / "base"),
            "adapter": "random-weights",
            "dtype": work.dtype,
            "attention": work.attention,
        },
        "tuning": "full" if work.tuning == "full" else {"method": work.tuning, **LORA, "dropout": 0.0},
        "tasks": [
            {"name": name, "train": [str(directory / f"{name}.jsonl")], "format": "text"} for name in tasks
        ],
        "data": {"cache": str(directory / "cache")},
        "tokenization": "pack",
        "max_length": work.max_length,
        "loss": work.loss,
        "training": {
            "max_steps": steps,
            "batch_size": work.rows,
            "micro_batch_size": work.micro_batch,
            "learning_rate": 1e-5,
            "gradient_checkpointing": work.recompute,
            "compile": work.compile,
        },
    }


def build(work: Work, directory: Path, steps: int) -> Run:
    """A run with its model on the device."""
    spec = spec_of(work, directory, steps)
    (directory / "spec.json").write_text(json.dumps(spec))
    return build_run(check_run(mftkit.load_spec(directory / "spec.json"), Reporter()))


def steps_of(run: Run) -> Iterator[tuple[float, float, float]]:
    """Train step by step, with batches made ahead as in a run; yields seconds, tokens and the objective of each."""
    checked, step = run.checked, TrainStep.of(run)
    ahead = BatchesAhead(checked.sampler, step.prepare)
    meter = Meter(len(checked.corpus.tasks), run.device, checked.objective.dtype)
    lengths = checked.corpus.train.lengths
    run.logprob_model.train()
    try:
        for number in range(1, checked.sampler.total + 1):
            batch = checked.sampler[number]
            tokens = float(sum(int(lengths[row].sum()) for row in batch.rows))
            synchronize(run.device)
            start = time.perf_counter()
            prepared = ahead.take(number)
            run.balancing.before_step(number)
            result = step(batch, 1e-5, meter, prepared)
            run.balancing.after_step(number, result.task_losses, result.losses_after_update)
            synchronize(run.device)
            yield time.perf_counter() - start, tokens, float(result.objective)
    finally:
        ahead.end()


def measure(work: Work, steps: int) -> Speed:
    """The median speed of ``steps`` steps after two that warm up, and the most memory of the device."""
    with tempfile.TemporaryDirectory() as directory:
        run = build(work, Path(directory), steps + 2)
        reset_peak(run.device)
        found = list(steps_of(run))
        parameters = count_parameters(gpu_shapes.shape(work.shape, tiny=work.tiny))
        return Speed(
            tokens_per_second=statistics.median(tokens / seconds for seconds, tokens, _ in found[2:]),
            peak_gib=peak_gib(run.device),
            loss=found[0][2],
            parameters=parameters,
            flops_per_token=flops_per_token(work, parameters),
        )


def count_parameters(config: dict[str, Any]) -> int:
    """The parameters of a shape that take part in products: all but an embedding that is no output head, too."""
    from transformers import AutoModelForCausalLM

    from mftkit.models.config import build_config

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(build_config(config, given_by_hand=False))
    total = sum(p.numel() for p in model.parameters())
    embedding = model.get_input_embeddings().weight.numel()
    return total - (0 if config.get("tie_word_embeddings") else embedding)


def measure_trl(work: Work, steps: int) -> Speed:
    """The same for TRL's trainer: its own packing, the same shape, tuning, rows, lengths and precision."""
    from transformers import PreTrainedTokenizerFast, TrainerCallback

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        spec_of(work, place, steps + 2)  # writes base and data
        tokenizer = PreTrainedTokenizerFast.from_pretrained(place / "base")
        clock = _clock(TrainerCallback, device)
        trainer = _trl_trainer(work, steps + 2, place, tokenizer, device)
        collate = trainer.data_collator
        trainer.data_collator = lambda rows: clock.count(rows, collate(rows))
        trainer.add_callback(clock)
        reset_peak(device)
        trainer.train()
        spans = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(clock.ends[1:], clock.ends[2:], strict=False)]
        parameters = count_parameters(gpu_shapes.shape(work.shape, tiny=work.tiny))
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        return Speed(
            tokens_per_second=statistics.median(tokens / seconds for seconds, tokens in spans),
            peak_gib=peak_gib(device),
            loss=losses[0],
            parameters=parameters,
            flops_per_token=flops_per_token(work, parameters),
        )


def _trl_trainer(work: Work, steps: int, place: Path, tokenizer: Any, device: torch.device) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [
        json.loads(line)["text"] for name in ("large", "small") for line in (place / f"{name}.jsonl").open()
    ]
    data = Dataset.from_dict({"input_ids": [tokenizer(row)["input_ids"][: work.max_length] for row in rows]})
    options = SFTConfig(
        output_dir=str(place / "trl"),
        per_device_train_batch_size=work.micro_batch,
        gradient_accumulation_steps=work.rows // work.micro_batch,
        max_steps=steps,
        max_length=work.max_length,
        packing=True,
        packing_strategy="bfd",
        bf16=device.type == "cuda" and work.dtype == "bfloat16",
        use_cpu=device.type == "cpu",
        gradient_checkpointing=work.recompute,
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return SFTTrainer(
        _trl_model(work, place, device),
        args=options,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=_trl_peft(work),
    )


def _trl_model(work: Work, place: Path, device: torch.device) -> Any:
    from transformers import BitsAndBytesConfig

    # Trained weights are in float32 with products in bfloat16: TRL's default, and what mftkit does.
    dtype = torch.float32 if work.tuning == "full" else getattr(torch, work.dtype)
    quantization = None
    if work.tuning == "qlora":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    config = json.loads((place / "base" / "config.json").read_text())
    # Padding-free batches are isolated only under a flash attention; without one TRL packs all the same, and warns.
    options = {} if work.attention == "auto" else {"attn_implementation": work.attention}
    return gpu_shapes.random_model(config, dtype, device, quantization, **options)


def _trl_peft(work: Work) -> Any:
    from peft import LoraConfig

    if work.tuning == "full":
        return None
    rank, alpha = LORA["rank"], LORA["alpha"]
    return LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear"
    )


def _clock(callback: Any, device: torch.device) -> Any:
    class Clock(callback):  # type: ignore[misc]
        """The time and the tokens collated so far at the end of each step."""

        def __init__(self) -> None:
            self.ends: list[tuple[float, float]] = []
            self._tokens = 0.0

        def count(self, rows: list[Any], batch: Any) -> Any:
            self._tokens += sum(len(row["input_ids"]) for row in rows)
            return batch

        def on_step_end(self, *_: Any, **__: Any) -> None:
            synchronize(device)
            self.ends.append((time.perf_counter(), self._tokens))

    return Clock()


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: torch.device) -> None:
    """Count the most memory from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> float:
    """The most memory since ``reset_peak``, in GiB."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
