"""The variables by which launchers of several processes name a process: those of torchrun, or of Slurm's srun."""

from __future__ import annotations

import os

from mftkit_registry import MftError

FIRST_PORT, PORTS = 20000, 20000
"""Ports from which the one of a Slurm job is taken, below those that the system gives away by itself."""


def adopt_srun() -> None:
    """Set torchrun's variables from those of ``srun``, if this process is one of several tasks of a job step.

    Only srun sets SLURM_STEP_NUM_TASKS. A batch script has SLURM_NTASKS and SLURM_PROCID too, but is one process,
    however many tasks its job may start.

    Raises:
        MftError: the tasks are on several nodes, and MASTER_ADDR is not set.
    """
    tasks, rank = os.environ.get("SLURM_STEP_NUM_TASKS", "1"), os.environ.get("SLURM_PROCID")
    if "WORLD_SIZE" in os.environ or "RANK" in os.environ or rank is None or int(tasks) < 2:
        return
    nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", os.environ.get("SLURM_NNODES", "1")))
    if nodes > 1 and "MASTER_ADDR" not in os.environ:
        raise MftError(
            "MASTER_ADDR is not set: processes on several nodes find each other by the name of the first; before srun, "
            'export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1).'
        )
    job = int(os.environ.get("SLURM_JOB_ID", "0")) + int(os.environ.get("SLURM_STEP_ID", "0"))
    local = os.environ.get("SLURM_LOCALID", "0")
    os.environ.update(WORLD_SIZE=tasks, RANK=rank, LOCAL_RANK=local)
    if nodes == 1:
        os.environ.setdefault("LOCAL_WORLD_SIZE", tasks)
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", str(FIRST_PORT + job % PORTS))
