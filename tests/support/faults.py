"""A plugin file with faults of one process of several: what happens, where and when is in the variable FAULT."""

FAULTS = """
import ctypes, os, signal, sys, time
from pathlib import Path
import torch
import mftkit
from mftkit.training.checkpoint_timing import CheckpointTiming
from mftkit.training.logprob_model import LogprobModel

FAULT, WHERE, STEP = os.environ.get("FAULT", "none:0:0").split(":")
forward, is_time = LogprobModel.forward, CheckpointTiming.is_time


def is_here():
    return os.environ.get("RANK", "0") == WHERE  # not when this is imported: the launcher may have done that


def hang_here():
    while True:
        time.sleep(0.1)


def broken(self, batch, factors=None):
    logprobs, auxiliary = forward(self, batch, factors)
    if not torch.is_grad_enabled():
        return logprobs, auxiliary
    Faulty.calls += 1
    if Faulty.calls == 1:
        Path(f"pid-{os.environ.get('RANK', '0')}").write_text(str(os.getpid()))
    if FAULT == "slow":
        time.sleep(0.2)
    if is_here() and Faulty.calls == int(STEP):
        print("about to fail", file=sys.stderr, flush=True)
        if FAULT == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if FAULT == "memory":
            raise MemoryError("only here")
        if FAULT == "device-memory":
            raise torch.OutOfMemoryError("only here")
        if FAULT == "error":
            raise RuntimeError("only here")
        if FAULT == "native":
            ctypes.PyDLL(None).sleep(600)  # holds the interpreter
        if FAULT == "hang":
            hang_here()
        if FAULT == "nan":
            of_sample = batch.sample == batch.sample[0]
            Path("sample").write_text(str(batch.sample_index[int(batch.sample[0])]))
            logprobs = logprobs.masked_fill(of_sample, float("nan"))
    return logprobs, auxiliary


def fast_clock(self):
    return is_time(self) or (FAULT == "clock" and is_here())


LogprobModel.forward, CheckpointTiming.is_time = broken, fast_clock


@mftkit.hookimpl
def register_losses(register):
    register("faulty", Faulty, summary="a plain loss")


class Faulty(mftkit.Loss):
    linear = True
    calls = 0

    def statistics(self, tokens):
        return tokens.logprobs.new_zeros(tokens.num_tasks, 1).index_add(0, tokens.task, -tokens.logprobs[:, None])

    def task_losses(self, totals):
        return totals.statistics[:, 0] / totals.tokens.clamp(min=1)
"""
