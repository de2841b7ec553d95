import os
from typing import Any

import pytest

from mftkit.base.launchers import find_launcher
from mftkit_registry import MftError

TASK = {
    "SLURM_JOB_ID": "12345678",
    "SLURM_NTASKS": "8",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_ID": "3",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "MASTER_ADDR": "node1",
}
ADOPTED = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def adopt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a process with these variables sets."""

    def adopted(**variables: str) -> dict[str, str]:
        for name in [*ADOPTED, *(name for name in os.environ if name.startswith(("SLURM_", "ACCELERATE_")))]:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os, "environ", {**os.environ, **variables})
        find_launcher()
        return {name: os.environ[name] for name in ADOPTED if name in os.environ and name not in variables}

    return adopted


def test_a_task_of_a_step_on_two_nodes(adopt: Any) -> None:
    assert adopt(**TASK) == {"WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1", "MASTER_PORT": "25681"}


def test_a_task_of_a_step_on_one_node(adopt: Any) -> None:
    task = {name: value for name, value in TASK.items() if name != "MASTER_ADDR"} | {
        "SLURM_STEP_NUM_NODES": "1"
    }
    assert adopt(**task) == {
        "WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "8", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "25681",
    }  # fmt: skip


def test_a_batch_script_is_one_process_however_many_tasks_its_job_may_start(adopt: Any) -> None:
    assert adopt(**{name: value for name, value in TASK.items() if "STEP" not in name}) == {}


def test_a_step_of_one_task_is_one_process(adopt: Any) -> None:
    assert adopt(**TASK | {"SLURM_STEP_NUM_TASKS": "1"}) == {}


def test_torchrun_inside_of_srun_decides(adopt: Any) -> None:
    assert adopt(**TASK | {"SLURM_STEP_NUM_TASKS": "2", "RANK": "0", "WORLD_SIZE": "8"}) == {}


def test_several_nodes_need_the_name_of_the_first(adopt: Any) -> None:
    with pytest.raises(MftError, match=r"MASTER_ADDR is not set: .*scontrol show hostnames"):
        adopt(**{name: value for name, value in TASK.items() if name != "MASTER_ADDR"})


def test_one_process_of_accelerate_launch_where_several_were_asked_for_is_refused(adopt: Any) -> None:
    asked = {"ACCELERATE_DYNAMO_BACKEND": "NO", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    with pytest.raises(MftError, match="asked for several processes and has started one"):
        adopt(**asked)
    assert adopt(**asked, RANK="0", WORLD_SIZE="2") == {}
    assert adopt(ACCELERATE_DYNAMO_BACKEND="NO") == {}
