"""How torch's threads wait, alone and next to a busy process: seconds per small training step on the CPU.

    python bench/waiting_threads.py          prints a row for each policy, without and with a neighbor

A step is forward, backward and update of a Llama of 0.8 million parameters on 8 rows of 384 tokens.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

STEPS = 8


def measure() -> None:
    """Print the median seconds of a step; runs in its own process."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 128, "intermediate_size": 336, "num_hidden_layers": 3, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=2048, **shape))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(0, 2048, (8, 384))
    seconds = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    print(statistics.median(seconds[1:]))


def main() -> None:
    """Measure each policy without and with a process that keeps one core busy."""
    for neighbor in (False, True):
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if neighbor else None
        try:
            for policy in ("ACTIVE", "PASSIVE"):
                environment = {**os.environ, "OMP_WAIT_POLICY": policy}
                command = [sys.executable, __file__, "measure"]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                where = "next to a busy process" if neighbor else "alone"
                print(f"{policy:8} {where:22} {float(done.stdout):7.3f} s per step")
        finally:
            if busy:
                busy.kill()


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["measure"] else main()
