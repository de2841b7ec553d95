"""The variables by which launchers of several processes name a process: torchrun's, srun's and accelerate's."""

from __future__ import annotations

import os

from mftkit_registry import MftError

FIRST_PORT, PORTS = 20000, 20000
"""Ports from which the one of a Slurm job is taken, below those that the system gives away by itself."""


def find_launcher() -> None:
    """Find what started this process: set torchrun's variables for a task of ``srun``.

    Raises:
        MftError: the launcher did not start what it was asked for, or a variable is missing.
    """
    if "WORLD_SIZE" in os.environ or "RANK" in os.environ:
        return
    _refuse_lone_process()
    _adopt_srun()


def _refuse_lone_process() -> None:
    """Refuse the one process that ``accelerate launch`` starts in silence when several do not fit the devices.

    It sets MASTER_PORT only if it was asked for several, and for real ones WORLD_SIZE, too.
    """
    if "ACCELERATE_DYNAMO_BACKEND" in os.environ and "MASTER_PORT" in os.environ:
        raise MftError(
            "processes: accelerate launch was asked for several processes and has started one, as it does with --cpu "
            "or with fewer than two devices; use mft run --processes N or torchrun --nproc-per-node N."
        )


def _adopt_srun() -> None:
    """Set torchrun's variables from those of ``srun``, if this process is one of several tasks of a job step.

    Only srun sets SLURM_STEP_NUM_TASKS. A batch script has SLURM_NTASKS and SLURM_PROCID too, but is one process,
    however many tasks its job may start.
    """
    tasks, rank = os.environ.get("SLURM_STEP_NUM_TASKS", "1"), os.environ.get("SLURM_PROCID")
    if rank is None or int(tasks) < 2:
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
