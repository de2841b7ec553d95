"""What every executor promises, tried with programs that break every rule; and that some of it was tried."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mftkit
import mftkit.testing
from mftkit.plugins import installed, kinds
from mftkit_plugins.executors import availability, bubblewrap, docker, rlimits, supervisor
from mftkit_plugins.executors.bubblewrap import Bubblewrap
from mftkit_plugins.executors.docker import Docker
from mftkit_plugins.executors.rlimits import Rlimits

_spec = importlib.util.spec_from_file_location("isolation_conftest", Path(__file__).with_name("conftest.py"))
assert _spec is not None
assert _spec.loader is not None
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
unless_required = _shared.unless_required


class TestBubblewrap(mftkit.testing.ExecutorConformance):
    component = Bubblewrap

    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        unless_required("bubblewrap", self.make().unavailable())

    def test_only_what_is_given_can_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("numbers")
        tmp_path.chmod(0o755)
        executor = Bubblewrap(Bubblewrap.Options(readable=(tmp_path,)))
        program = mftkit.Program({"main.py": f"print(open({str(tmp_path / 'data')!r}).read())"})
        assert executor.run(program, self.limits).stdout == "numbers\n"
        assert "numbers" not in self.make().run(program, self.limits).stdout

    def test_programs_can_enter_etc_where_alternatives_are(self) -> None:
        done = self.run("import os\nprint(*os.listdir('/etc'))")
        assert done.succeeded, done
        assert set(done.stdout.split()) <= {"ld.so.cache", "alternatives", "localtime"}

    def test_the_directory_is_bounded_as_a_whole(self) -> None:
        source = "for i in range(20): open(str(i), 'wb').write(bytes(1 << 20))\nprint('written')"
        assert "written" not in self.run(source).stdout

    def test_no_rights_are_left(self) -> None:
        done = self.run("print(open('/proc/self/status').read())")
        facts = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
        assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
        assert facts["NoNewPrivs"].strip() == "1"


class TestDocker(mftkit.testing.ExecutorConformance):
    component = Docker

    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        unless_required("docker", self.make().unavailable())


class TestRlimits(mftkit.testing.ExecutorConformance):
    """Everywhere but where there is no Linux; what it does not promise is not tried."""

    component = Rlimits

    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        unless_required("rlimits", self.make().unavailable())


class TestRlimitsWithoutNamespaces(TestRlimits):
    """As where the system gives none: processes are then found and killed one by one."""

    # The same as above:
    test_ten_gigabytes = None  # type: ignore[assignment]
    test_endless_output = None  # type: ignore[assignment]
    test_a_large_file = None  # type: ignore[assignment]
    test_an_endless_loop = None  # type: ignore[assignment]
    test_memory_of_many_processes = None  # type: ignore[assignment]
    test_options_round_trip = None  # type: ignore[assignment]
    test_listing_it_is_light = None  # type: ignore[assignment]

    @pytest.fixture(autouse=True)
    def _none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rlimits, "_namespaces", tuple)


def test_no_executor_is_left_out() -> None:
    names = installed.registry().names(kinds.EXECUTOR)
    built_in = {installed.component_class(kinds.EXECUTOR, name) for name in names}
    assert built_in >= {Bubblewrap, Docker, Rlimits}
    assert Bubblewrap.strength > Docker.strength > Rlimits.strength
    assert [cls.isolated for cls in (Bubblewrap, Docker, Rlimits)] == [True, True, False]


def test_one_that_is_required_and_not_there_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_shared.REQUIRED, "bubblewrap, rlimits")
    with pytest.raises(
        pytest.fail.Exception, match="asks for bubblewrap, which cannot be used here: no bwrap"
    ):
        unless_required("bubblewrap", "no bwrap")
    with pytest.raises(pytest.skip.Exception, match="docker cannot be used here"):
        unless_required("docker", "no engine answers")


def test_a_container_has_no_network_no_rights_and_bounds() -> None:
    executor = Docker(Docker.Options(image="some/image:1"))
    limits = mftkit.Limits(memory=1 << 28, processes=20, disk=1 << 20)
    command = executor.command("podman", "a-name", mftkit.Program({"main.py": "print(1)"}), limits)
    line = " ".join(command)
    assert command[:2] == ["podman", "run"]
    for option in (
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--user 65534:65534",
        "--memory 268435456 --memory-swap 268435456",
        "--pids-limit 21",
        "--pull never",
        "--tmpfs /program:rw,exec,nosuid,nodev,mode=1777,size=1048576",
        "--entrypoint python3 some/image:1 -I -S -c",
    ):
        assert option in line
    assert not any("volume" in word or word == "-v" for word in command)


def test_without_an_engine_it_says_which_were_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docker._silent.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        Docker(Docker.Options()).unavailable()
        == "no engine responds: docker: not installed; podman: not installed"
    )
    mute = tmp_path / "podman"
    mute.write_text("#!/bin/sh\necho 'cannot connect' >&2\nexit 125\n")
    mute.chmod(0o755)
    docker._silent.cache_clear()
    reason = Docker(Docker.Options(engine="podman")).unavailable()
    docker._silent.cache_clear()
    assert reason == "no engine responds: podman: cannot connect"


def test_without_bwrap_it_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "_bwrap", lambda: None)
    assert Bubblewrap(Bubblewrap.Options()).unavailable() == "bwrap is not installed"


def test_one_that_does_not_work_reports_the_error() -> None:
    class Refuses(mftkit.Executor):
        def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
            return mftkit.Execution(
                "exited", 1, "", "setting up\nNo permissions to create new namespace\n", 0.1
            )

    reason = availability.failure_of(Refuses(mftkit.Options()))
    assert reason == "a test program failed: No permissions to create new namespace"


def test_memory_is_that_of_all_descendants() -> None:
    code = "import os, time\nif os.fork() == 0:\n    kept = b'x' * (64 << 20)\nprint(1, flush=True)\ntime.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        found = supervisor.resident(process.pid)
        os.killpg(process.pid, 9)
    assert found > 64 << 20
    assert supervisor.resident(process.pid) == 0
