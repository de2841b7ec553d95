"""Control groups, of the version that this machine has."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import mftkit
from mftkit_plugins.executors import control_groups
from mftkit_plugins.executors.control_groups import ControlGroup

LIMITS = mftkit.Limits(memory=64 << 20, disk=0, processes=4)


@pytest.fixture(autouse=True)
def _some() -> None:
    if not control_groups.parents():
        pytest.skip("this process can make no control groups")


def _run(group: ControlGroup, source: str) -> subprocess.CompletedProcess[str]:
    command = group.entering([sys.executable, "-c", source])
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_memory_and_processes_are_bounded_and_the_group_is_removed() -> None:
    with ControlGroup(control_groups.parents(), LIMITS) as group:
        places = list(group._groups)
        assert all(place.exists() for place in places)
        assert _run(group, "print(1)").stdout == "1\n"
        assert not group.out_of_memory()
        most = LIMITS.processes + control_groups.SUPERVISION
        forks = "import os, time\nfor made in range(40):\n  if not os.fork(): time.sleep(1); os._exit(0)"
        assert "Resource temporarily unavailable" in _run(group, f"{forks}\nraise SystemExit({most})").stderr
        assert _run(group, "kept = b'x' * (256 << 20)").returncode == -9
        assert group.out_of_memory()
    assert not any(place.exists() for place in places)


def test_processes_that_are_left_are_killed_with_the_group() -> None:
    with ControlGroup(control_groups.parents(), LIMITS) as group:
        command = group.entering([sys.executable, "-c", "print(1, flush=True); import time; time.sleep(60)"])
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as left:
            assert left.stdout is not None
            left.stdout.readline()
            started = time.monotonic()
            group.remove()
            assert left.wait() == -9
    assert time.monotonic() - started < 30


def test_a_command_whose_group_is_lost_does_not_run() -> None:
    with ControlGroup(control_groups.parents(), LIMITS) as group:
        group.remove()
        done = _run(group, "print(1)")
    assert done.returncode != 0
    assert done.stdout == ""


def test_a_parent_that_is_lost_is_named() -> None:
    lost = [replace(parent, directory=parent.directory / "lost") for parent in control_groups.parents()]
    with pytest.raises(mftkit.MftError, match=f"can be made in {lost[0].directory}.*: No such file"):
        ControlGroup(lost, LIMITS)


def test_groups_of_killed_processes_are_removed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = control_groups.parents()[0].directory
    groups = [parent / f"mft-program-test-{os.getpid()}-{name}" for name in ("old", "used")]
    used = groups[1]
    for group in groups:
        group.mkdir()
    try:
        with subprocess.Popen(
            ["/bin/sh", "-c", f"echo 0 >{used}/cgroup.procs && echo 1 && exec sleep 60"],
            stdout=subprocess.PIPE,
        ) as user:
            assert user.stdout is not None
            user.stdout.readline()
            control_groups._remove_abandoned(parent)
            assert all(group.exists() for group in groups)  # fresh ones
            monkeypatch.setattr(control_groups, "_FRESH", -1.0)
            control_groups._remove_abandoned(parent)
            assert [group.exists() for group in groups] == [False, True]
            user.kill()
    finally:
        for group in groups:
            if group.exists():
                control_groups._kill(group)
                group.rmdir()
