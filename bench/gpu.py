"""Fine-tuning on one GPU: speed, memory and what only a GPU can show.

    python -m bench.gpu [--part full|lora|qlora|llama|large|kernels|checks]... [--json FILE]
    python -m bench.gpu --device cpu --tiny        every path of it at a tiny size, on the CPU

Models of the real shapes with random weights, packed rows of 4,096 tokens, bfloat16, one process. Each measurement
has a process to itself. The share of the peak counts 6N FLOP per token for full fine-tuning, 4N with a frozen base,
and 2N more where activations are recomputed, N without an embedding that is no head. TRL trains the same rows in the
same run where it is installed (``pip install "mftkit[bench]"``); nothing is downloaded. The exit code is 1 if a
check of the device fails.

Full fine-tuning is measured at 0.5B: 7B takes 16 bytes per parameter, 122 GB, before activations.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from bench import gpu_checks, gpu_steps
from bench.figures import Figure, machine, show
from bench.gpu_steps import Speed, Work

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTION = "How fast is fine-tuning on one GPU, and does it compute there what it computes on a CPU?"
STEPS = 8
PARTS: dict[str, list[Work]] = {
    "full": [Work("Qwen2.5-0.5B", "full", micro_batch=4)],
    "lora": [Work("Qwen2.5-0.5B", "lora", micro_batch=4), Work("Qwen2.5-7B", "lora")],
    "qlora": [Work("Qwen2.5-0.5B", "qlora", micro_batch=4), Work("Qwen2.5-7B", "qlora")],
    "llama": [Work("Llama-3-8B", "lora"), Work("Llama-3-8B", "qlora")],
    "large": [Work("Llama-3-70B", "qlora", rows=2, micro_batch=1, recompute=True)],
    "kernels": [Work("Qwen2.5-0.5B", "full", micro_batch=4)],
    "checks": [],
}
KERNELS: dict[str, dict[str, Any]] = {
    "masked rows (sdpa)": {"attention": "sdpa"},
    "compiled layers and head": {"compile": True},
}
"""What each measurement of the part "kernels" changes; the default is "varlen" without compilation."""
MEASURED: dict[str, Callable[[Work, int], Speed]] = {
    "mftkit": gpu_steps.measure,
    "trl": gpu_steps.measure_trl,
}
GOALS = {("Qwen2.5-7B", "lora"): 14110, ("Llama-3-8B", "lora"): 12473, ("Llama-3-70B", "qlora"): 335}
"""Tokens per second at least. The peers', on one H100 (NeMo AutoModel) and one A100 (Qwen's own script, 72B)."""
PEERS = {
    ("Qwen2.5-7B", "lora"): "14,110, NeMo",
    ("Llama-3-8B", "lora"): "12,473, NeMo",
    ("Llama-3-70B", "qlora"): "335, Qwen",
}
SHARE_GOALS = {("Qwen2.5-0.5B", "full"): 33.6}
"""Percent of the peak at least: twice that of the peer."""
SHARE_PEERS = {("Qwen2.5-0.5B", "full"): "16.8, prime-rl, Qwen3-0.6B"}
MOST_GIB = {("Llama-3-70B", "qlora"): round(68e9 / 2**30, 1)}


NOT_MEASURED = Speed(*[float("nan")] * 5)


def measure(*, quick: bool) -> list[Figure]:
    """All parts, with ``quick`` tiny models on whatever device there is; without a GPU, the goals as not measured."""
    if not quick and not torch.cuda.is_available():
        note = "not measured: no GPU in this machine"
        goals = [figure for part in PARTS for figure in _goals(part) if figure.goal or figure.peer]
        return [replace(figure, note=note) for figure in goals]
    return [figure for part in PARTS for figure in measure_part(part, tiny=quick)]


def _goals(part: str) -> list[Figure]:
    """What a part measures, without values."""
    if part == "checks":
        return [
            Figure(f"check of the device: {name}", float("nan"), at_least=1) for name in gpu_checks.CHECKS
        ]
    figures = []
    for work in PARTS[part] if part != "kernels" else []:
        figures += speed_figures(work, NOT_MEASURED, tiny=False)
        figures += [] if part == "large" else [_balanced(work, float("nan"), tiny=False)]
        figures += [_over_trl(work, float("nan"), tiny=False)]
    return figures


def measure_part(part: str, *, tiny: bool) -> list[Figure]:
    """One part."""
    if part == "checks":
        return [figure for name in gpu_checks.CHECKS for figure in _check(name, tiny=tiny)]
    figures = []
    for each in PARTS[part]:
        work = small(each) if tiny else each
        mixed = _speed("mftkit", work)
        figures += speed_figures(work, mixed, tiny=tiny)
        if part == "kernels":
            figures += _kernels(work, mixed)
            continue
        if part != "large":  # a third process that makes 70B weights would take longer than a part may
            balanced = _speed("mftkit", replace(work, loss="token-balanced"))
            share = balanced.tokens_per_second / mixed.tokens_per_second
            figures.append(_balanced(work, share, tiny=tiny))
        figures.append(_compared(work, mixed, tiny=tiny))
    return figures


def _compared(work: Work, mixed: Speed, *, tiny: bool) -> Figure:
    """Compare with TRL, where it is installed."""
    if find_spec("trl") is None:
        missing = _over_trl(work, float("nan"), tiny=tiny)
        return replace(missing, note='TRL is not installed: pip install "mftkit[bench]"')
    peer = _speed("trl", work)
    figure = _over_trl(work, mixed.tokens_per_second / peer.tokens_per_second, tiny=tiny)
    return replace(figure, peer=f"TRL: {peer.tokens_per_second:,.0f} tokens/s, {peer.peak_gib:.1f} GiB")


def _balanced(work: Work, share: float, *, tiny: bool) -> Figure:
    name = f"{work.shape}, {work.tuning}: balanced / mixed, tokens per second"
    return Figure(name, share, at_least=None if tiny else 0.99)


def _over_trl(work: Work, ratio: float, *, tiny: bool) -> Figure:
    return Figure(f"{work.shape}, {work.tuning}: over TRL", ratio, at_least=None if tiny else 1.1)


def _kernels(work: Work, usual: Speed) -> list[Figure]:
    """The speed with other kernels, as a share of the usual one."""
    speeds = {name: _speed("mftkit", replace(work, **changes)) for name, changes in KERNELS.items()}
    return [
        Figure(
            f"{work.shape}, {work.tuning}: {name} / usual, tokens per second",
            speed.tokens_per_second / usual.tokens_per_second,
            note=f"{speed.peak_gib:.1f} GiB; first loss {speed.loss:.4f}",
        )
        for name, speed in speeds.items()
    ]


def speed_figures(work: Work, speed: Speed, *, tiny: bool) -> list[Figure]:
    """Tokens per second, share of the peak and memory of a measurement, beside their goals."""
    key = (work.shape, work.tuning)
    name = f"{work.shape}, {work.tuning}"
    share = speed.share_of_peak(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    note = f"{work.rows} rows of {work.max_length} per step, {work.micro_batch} at once; first loss {speed.loss:.4f}"
    goal, peer = None if tiny else GOALS.get(key), PEERS.get(key, "")
    figures = [
        Figure(name, speed.tokens_per_second, "tokens/s", at_least=goal, peer=peer, note=note),
        Figure(f"{name}: peak memory", speed.peak_gib, "GiB", at_most=None if tiny else MOST_GIB.get(key)),
    ]
    if speed is NOT_MEASURED:
        share = float("nan")
    if share:
        goal = None if tiny else SHARE_GOALS.get(key)
        per_token = f"{speed.flops_per_token / speed.parameters:g}N per token"
        figures.append(
            Figure(
                f"{name}: share of the bfloat16 peak",
                share,
                "%",
                at_least=goal,
                peer=SHARE_PEERS.get(key, ""),
                note=per_token,
            )
        )
    return figures


def small(work: Work) -> Work:
    """The same on a tiny model, in float32, which every device has."""
    return replace(work, tiny=True, rows=4, micro_batch=2, max_length=128, dtype="float32")


def _speed(who: str, work: Work) -> Speed:
    if work.tiny:  # nothing is measured, so nothing needs a process to itself
        return MEASURED[who](work, 2)
    return Speed(**json.loads(_child(["speed", who, json.dumps(asdict(work))])))


def _check(name: str, *, tiny: bool) -> list[Figure]:
    if not tiny:
        return [Figure(**each) for each in json.loads(_child(["check", name]))]
    with tempfile.TemporaryDirectory() as directory:
        return gpu_checks.CHECKS[name](Path(directory), tiny=True)


def _child(arguments: list[str]) -> str:
    """What a new process of this file prints as its last line: memory of one measurement is not the next one's."""
    command = [sys.executable, "-m", "bench.gpu", "--child", *arguments]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}:\n{done.stderr[-4000:]}")
    return done.stdout.strip().splitlines()[-1]


def _run_child(what: str, name: str, *arguments: str) -> None:
    if what == "speed":
        print(json.dumps(asdict(MEASURED[name](Work(**json.loads(*arguments)), STEPS))))
        return
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps([asdict(figure) for figure in gpu_checks.CHECKS[name](Path(directory), tiny=False)]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=QUESTION)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; can be repeated")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny models: tries every path, measures nothing")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures to FILE")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _run_child(*given.child)
        return
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device; try the paths with --device cpu --tiny")
    if given.device == "cpu" and not given.tiny:
        parser.error("the real shapes need a GPU; add --tiny")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else machine()
    parts: dict[str, list[Figure]] = {}
    for part in given.part or PARTS:
        parts[part] = measure_part(part, tiny=given.tiny)
        show(f"{part}, {device}", parts[part])
        if given.json:  # after each part: a later one may end the process
            content = {part: [asdict(f) for f in figures] for part, figures in parts.items()}
            given.json.write_text(
                json.dumps({"device": device, "tiny": given.tiny, "parts": content}, indent=2) + "\n"
            )
    wrong = [figure.name for figure in parts.get("checks", []) if figure.met is False]
    if wrong:
        parser.exit(1, f"the device does not compute what it should: {', '.join(wrong)}\n")


if __name__ == "__main__":
    main()
