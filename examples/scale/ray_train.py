"""A run whose processes Ray Train starts, on a cluster that Ray already has.

    python examples/scale/ray_train.py SPEC [PROCESSES]

Ray is no dependency of mftkit: pip install 'ray[train]'. The run directory and the data must be where every node of the
cluster finds them, at the same path. Ray sets torchrun's variables and makes the process group; the run takes both as
they are.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def train(config: dict[str, Any]) -> None:
    """Run the spec in one of Ray's processes."""
    import mftkit

    result = mftkit.run(config["spec"])
    if result.reason not in ("finished", "early-stopped"):
        raise RuntimeError(f"{result.path}: the run ended as {result.reason}")


def main(spec: str, processes: int = 8) -> None:
    """Start the processes, and start them again if one fails: they resume from the last checkpoint."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    TorchTrainer(
        train,
        train_loop_config={"spec": str(Path(spec).resolve())},
        scaling_config=ScalingConfig(num_workers=processes, use_gpu=True),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=3)),
    ).fit()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
