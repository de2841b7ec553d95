"""Whole training steps on a CPU beside TRL's own trainer, and balanced training beside plain cross-entropy.

A Llama of hidden size 256 with 4 layers and a vocabulary of 32,000, from a random start, in float32, trains on
functions of Python's standard library of at most 512 tokens. All variants have the same samples, tokenized once, the
same weights at the start, every token but a sample's first in the loss, fused AdamW without weight decay, and gradients
clipped to 1.

    mftkit packed   batches of 2 rows, packed: 2 x 512 positions
    TRL bfd         SFTTrainer, packing with "bfd": 2 rows, which it flattens into one
    TRL padding     SFTTrainer at its defaults: 8 samples, padded to the longest

Tokens are real ones, without padding, per CPU second of one thread, in turns of a few steps; medians. TRL's rows are
not measured where TRL is not installed.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import random
import statistics
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.child import in_child
from bench.figures import Figure, main, peak_mib
from bench.library_functions import functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.training.run_parts import Run

QUESTION = "How fast and how large is a whole training step, and what does balancing add to it?"
ABOUT = """
"Extra memory" is the peak of resident memory in two steps above what the process has before the first, with model,
data and trainer in place: gradients, optimizer and activations. The first losses are those of one batch at the same
weights, by a packed step of mftkit and by TRL's trainer on the same samples padded. Balanced training and `mixed`
take the same batches step by step in turns, on one model, and the figure is the median of the ratios of steps; "mixed
over mixed" is how far noise alone takes it from 1.
"""
SHARES = {"a": 0.55, "b": 0.25, "c": 0.15, "d": 0.05}
"""Tasks, and their shares of the samples."""
CAP = 512
BALANCED = ("token-balanced", "sample-balanced")
TRL = {"bfd": {"packing": True, "packing_strategy": "bfd"}, "padding": {}}
PUBLISHED = {"bfd": "a plain loop on packed rows: 2.03 x", "padding": "a plain loop on packed rows: 6.4 x"}
"""Of TRL 1.16 on another machine of this kind, 377 and 120 tokens per CPU second."""


def measure(*, quick: bool) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="mft-end-to-end-") as directory:
        spec = str(write_spec(Path(directory), quick=quick))
        found = in_child("bench.end_to_end", "speed", spec, *((1, 1) if quick else (3, 2)))
        balance = in_child("bench.end_to_end", "balance", spec, 1 if quick else 16)
        trainers = ["mftkit", *(TRL if has_trl() else ())]
        memory = {name: in_child("bench.end_to_end", "memory", spec, name) for name in trainers}
    return [*speed_figures(found), *memory_figures(memory), *balance_figures(balance)]


def has_trl() -> bool:
    return importlib.util.find_spec("trl") is not None


def speed_figures(found: dict[str, Any]) -> list[Figure]:
    speeds = {name: statistics.median(each) for name, each in found["speeds"].items()}
    figures = [Figure("mftkit packed", speeds["mftkit"], "tokens/CPU s", note="loss `mixed`")]
    for name, goal in (("bfd", 2.0), ("padding", 6.0)):
        own = f"packed over TRL {name}"
        if f"TRL {name}" not in speeds:
            figures.append(
                Figure(
                    own, float("nan"), "x", at_least=goal, peer=PUBLISHED[name], note="TRL is not installed"
                )
            )
            continue
        peer = speeds[f"TRL {name}"]
        figures.append(Figure(f"TRL {name}", peer, "tokens/CPU s", note=f"TRL {version('trl')}"))
        rounds = [
            a / b for a, b in zip(found["speeds"]["mftkit"], found["speeds"][f"TRL {name}"], strict=True)
        ]
        note = f"{min(rounds):.2f} to {max(rounds):.2f} in {len(rounds)} rounds"
        if name == "padding":
            note += f"; it falls with less padding, and {found['real']:.0%} of TRL's positions are real tokens here"
        figures.append(
            Figure(own, speeds["mftkit"] / peer, "x", at_least=goal, peer=PUBLISHED[name], note=note)
        )
    if "losses" in found:
        ours, theirs = found["losses"]
        note = f"{ours:.5f} and {theirs:.5f}, the same samples and weights"
        figures.append(
            Figure(
                "first loss: packed against TRL padding", abs(ours - theirs), "nats", at_most=1e-3, note=note
            )
        )
    return figures


def memory_figures(memory: dict[str, float]) -> list[Figure]:
    figures = [Figure(f"extra memory, {name}", size, "MiB") for name, size in memory.items()]
    for name in TRL:
        own = f"extra memory over TRL {name}"
        if name in memory:
            share = memory["mftkit"] / memory[name]
            figures.append(Figure(own, share, "x", at_most=0.5, peer=f"{memory[name]:.0f} MiB, TRL"))
        else:
            figures.append(Figure(own, float("nan"), "x", at_most=0.5, note="TRL is not installed"))
    return figures


def balance_figures(balance: dict[str, float]) -> list[Figure]:
    noise = abs(balance["again"] - 1)
    beside = f"noise of this run {noise:.1%}" + (": too much to tell 2 % apart" if noise > 0.02 else "")
    figures = [
        Figure("mixed over mixed", balance["again"], "x", note="the same twice: what noise makes of 1")
    ]
    figures += [
        Figure(f"{loss} over mixed", balance[loss], "x", at_most=1.02, note=f"balancer `equal`; {beside}")
        for loss in BALANCED
    ]
    note = f"two micro-batches per step in both; task-focal adds its first pass; {beside}"
    return [*figures, Figure("task-focal over mixed", balance["task-focal"], "x", at_most=1.4, note=note)]


def write_spec(directory: Path, *, quick: bool) -> Path:
    """The spec of all variants, with its rows and its tokenizer."""
    from mftkit.data.tokens.train_tokenizer import train_bpe

    texts = list(functions(400 if quick else 12_000))
    vocabulary = 1000 if quick else 32_000
    train_bpe(texts, vocabulary).save_pretrained(directory / "tokenizer")
    random.Random(0).shuffle(texts)
    texts = texts[: 200 if quick else 2000]
    tasks, start = [], 0
    for name, share in SHARES.items():
        part = texts[start : start + round(share * len(texts))]
        start += len(part)
        rows = [json.dumps({"text": text}) + "\n" for text in part]
        (directory / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
        tasks.append({"name": name, "train": [str(directory / f"{name}.jsonl")], "format": "text"})
    config = {"model_type": "llama", "hidden_size": 32 if quick else 256, "intermediate_size": 688}
    config |= {
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": vocabulary,
    }
    config |= {"max_position_embeddings": 4096}
    spec = {
        "name": "end-to-end",
        "output": str(directory / "run"),
        "model": {
            "init": "random",
            "config": config,
            "tokenizer": str(directory / "tokenizer"),
            "dtype": "float32",
        },
        "tuning": {"method": "full"},
        "tasks": tasks,
        "data": {"cache": str(directory / "cache"), "processes": 1},
        "tokenization": {"name": "pack", "options": {"attention": "isolated", "scope": "mixed"}},
        "max_length": CAP,
        "loss": "mixed",
        "training": {
            "max_steps": 1000,
            "batch_size": 2,
            "micro_batch_size": 2,
            "learning_rate": 1e-4,
            "scheduler": "constant",
            "warmup": 0.0,
            "weight_decay": 0.0,
        },
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def build(spec: str, *overrides: str) -> Run:
    import mftkit
    from mftkit.reporting.reporter import Reporter
    from mftkit.training.setup import build_run, check_run

    run = build_run(check_run(mftkit.load_spec(spec, list(overrides)), Reporter()))
    run.logprob_model.train()
    return run


class OurTrainer:
    """Makes the steps of a run one by one, as the trainer makes them."""

    def __init__(self, run: Run) -> None:
        from mftkit.training.meter import Meter
        from mftkit.training.schedule import RunSchedule
        from mftkit.training.train_step import TrainStep

        self.run, self.number = run, 0
        self._step = TrainStep.of(run)
        self._schedule = RunSchedule.of(run.checked.spec.training, run.checked.sampler.total)
        self.meter = Meter(len(run.checked.corpus.tasks), run.device, run.checked.objective.dtype)

    def step(self) -> float:
        """Train a step; returns the objective before it."""
        self.number += 1
        checked, balancing = self.run.checked, self.run.balancing
        batch = checked.sampler[self.number]
        balancing.before_step(self.number)
        result = self._step(batch, self._schedule.rate(self.number, checked.spec.training), self.meter)
        balancing.after_step(self.number, result.task_losses, result.losses_after_update)
        return float(result.objective)

    def speed(self, steps: int) -> float:
        """Real tokens per CPU second over some steps, after one that is not counted."""
        self.step()
        self.meter.reset()
        start = time.process_time()
        for _ in range(steps):
            self.step()
        return self.meter.real_tokens / (time.process_time() - start)


def trl_trainer(run: Run, mode: str, steps: int) -> Any:
    """TRL's trainer on the samples of a run, from its weights."""
    import copy
    import warnings

    warnings.filterwarnings("ignore")
    import datasets
    import transformers
    from trl import SFTConfig, SFTTrainer

    transformers.logging.set_verbosity_error()
    datasets.utils.logging.disable_progress_bar()
    samples = run.checked.corpus.train
    ids = [samples[i].tokens.tolist() for i in range(len(samples))]
    model = transformers.LlamaForCausalLM(copy.deepcopy(run.model.config))
    model.load_state_dict(run.model.state_dict())
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(prefix="mft-end-to-end-trl-"),
        per_device_train_batch_size=2 if mode == "bfd" else 8,
        max_steps=steps + 1,
        max_length=CAP,
        logging_steps=1000,
        report_to="none",
        save_strategy="no",
        bf16=False,
        fp16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        disable_tqdm=True,
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        **TRL[mode],
    )
    return SFTTrainer(
        model,
        args=config,
        train_dataset=datasets.Dataset.from_dict({"input_ids": ids}),
        processing_class=run.checked.tokenizer,
    )


class TrlClock:
    """Trains with TRL's trainer, and counts the real tokens of the very steps that are timed."""

    def __init__(self, trainer: Any) -> None:
        from transformers import TrainerCallback

        self.trainer = trainer
        self.real = self.positions = 0
        self._round = 0
        self._marks = marks = []
        compute, clock = trainer.compute_loss, self

        def counting(model: Any, inputs: dict[str, Any], *arguments: Any, **more: Any) -> Any:
            clock.positions += inputs["input_ids"].numel()
            mask = inputs.get("attention_mask")  # rows that are flattened into one have none, and no padding
            clock.real += inputs["input_ids"].numel() if mask is None else int(mask.sum())
            return compute(model, inputs, *arguments, **more)

        class Mark(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, *_arguments: Any, **_more: Any) -> None:
                marks.append((time.process_time(), clock.real, clock.positions))

        trainer.compute_loss = counting
        trainer.add_callback(Mark())
        self.shares: list[float] = []
        """Of each round: positions that are no padding."""

    def speed(self) -> float:
        """Real tokens per CPU second of all steps but the first; each round takes other samples."""
        import torch

        self._round += 1
        torch.manual_seed(self._round)
        self._marks.clear()
        self.trainer.train()
        (start, before, first), (end, after, last) = self._marks[0], self._marks[-1]
        self.shares.append((after - before) / (last - first))
        return (after - before) / (end - start)


def speed(spec: str, rounds: int, steps: int) -> dict[str, Any]:
    run = build(spec)
    found: dict[str, Any] = {}
    ours = OurTrainer(run)
    variants: dict[str, Callable[[], float]] = {"mftkit": lambda: ours.speed(2 * steps)}
    if has_trl():
        padding = trl_trainer(run, "padding", steps)
        bfd = trl_trainer(run, "bfd", 2 * steps)
        found["losses"] = first_losses(ours, padding)
        clock = TrlClock(padding)
        variants |= {"TRL bfd": TrlClock(bfd).speed, "TRL padding": clock.speed}
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            gc.collect()
            speeds[name].append(variant())
    if "losses" in found:
        found["real"] = statistics.mean(clock.shares)
    return {**found, "speeds": speeds}


def first_losses(ours: OurTrainer, theirs: Any) -> tuple[float, float]:
    """The loss of the first batch at the first weights: by a packed step, and by TRL's trainer padded."""
    import numpy as np

    checked = ours.run.checked
    members = np.concatenate(checked.sampler[1].rows)
    examples = [{"input_ids": checked.corpus.train[int(i)].tokens.tolist()} for i in members]
    loss = float(theirs.compute_loss(theirs.model, theirs.data_collator(examples)).detach())
    return ours.step(), loss


def memory(spec: str, name: str) -> float:
    """The extra memory of two steps, in MiB."""
    run = build(spec)
    if name == "mftkit":
        ours = OurTrainer(run)
        return peak_mib(lambda: [ours.step() for _ in range(2)])
    trainer = trl_trainer(run, name, 1)
    del run
    return peak_mib(trainer.train)


def balance(spec: str, rounds: int) -> dict[str, float]:
    """CPU time of a step over that of ``mixed`` on the same batch; median over steps.

    All train the same model with the same optimizer, so that where memory lies makes no difference between them.
    """
    two = "training.micro_batch_size=1"
    base = build(spec)
    runs = {"mixed": base, "again": build(spec)} | {loss: build(spec, f"loss={loss}") for loss in BALANCED}
    runs |= {"mixed, 2": build(spec, two), "task-focal": build(spec, two, "loss=task-focal")}
    trainers = {name: OurTrainer(on_model_of(base, run)) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            gc.collect()
            start = time.process_time()
            trainers[name].step()
            if turn:
                seconds[name].append(time.process_time() - start)
    over = dict.fromkeys(("again", *BALANCED), "mixed") | {"task-focal": "mixed, 2"}
    return {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds[other], strict=True))
        for name, other in over.items()
    }


def on_model_of(base: Run, run: Run) -> Run:
    """The run with its own loss, balancing and batches, and with the model and the optimizer of another one."""
    checked = replace(run.checked, engine=base.checked.engine)
    return replace(
        run, checked=checked, parallel_model=base.parallel_model, gradients=base.gradients, model=base.model
    )


if __name__ == "__main__":
    main(__spec__.name)
