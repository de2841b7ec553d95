"""What every executor promises, tried with programs that break every rule; and that some of it was tried."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import mftkit
import mftkit.testing
from mftkit.plugins import installed, kinds
from mftkit.testing.executors import running
from mftkit_plugins.executors import (
    availability,
    bubblewrap,
    control_groups,
    directories,
    docker,
    launch,
    launcher,
    removal,
    rlimits,
    supervisor,
    syscalls,
)
from mftkit_plugins.executors.bubblewrap import Bubblewrap
from mftkit_plugins.executors.docker import Docker
from mftkit_plugins.executors.rlimits import Rlimits

_spec = importlib.util.spec_from_file_location("isolation_conftest", Path(__file__).with_name("conftest.py"))
assert _spec is not None
assert _spec.loader is not None
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)
unless_required = _shared.unless_required


UNCOUNTED = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
flags = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
tried = {
    "unshare": libc.unshare(0x10000000),
    "clone3": libc.syscall(435, flags, 88),
    "shmget": libc.shmget(0, 1 << 20, 0o1600),
    "semget": libc.semget(0, 1, 0o1600),
    "msgget": libc.msgget(0, 0o1600),
}
try:
    tried["memfd_create"] = os.memfd_create("kept")
except OSError:
    pass
print(sorted(name for name, found in tried.items() if found >= 0))
status = open("/proc/self/status").read().split()
print(*(status[status.index(name) + 1] for name in ("NoNewPrivs:", "CapEff:", "Seccomp:")))
"""
SHARED = """
import mmap, os, time
for _ in range(6):
    if os.fork() == 0:
        kept = mmap.mmap(-1, 80 << 20)
        kept.write(bytes(80 << 20))
        time.sleep(60)
time.sleep(60)
"""
SOCKETS = """
import os, socket, time
for _ in range(12):
    if os.fork() == 0:
        kept = [end for _ in range(110) for end in socket.socketpair()]
        for end in kept:
            end.setblocking(False)
            try:
                while True:
                    end.send(bytes(60_000))
            except OSError:
                continue
        time.sleep(60)
time.sleep(60)
"""
MANY_FILES = """
import os, sys
for place in sys.argv[1:]:
    try:
        for number in range(30_000):
            os.close(os.open(f"{place}/mft-many-{number}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        continue
    import time
    time.sleep(1)
    print("made in", place)
"""


class KeepsBounds(mftkit.testing.ExecutorConformance):
    """What the built-in executors bound beyond the interface."""

    def run_for_long(self, source: str) -> mftkit.Execution:
        """Run a program that takes seconds to exceed a bound on a busy machine."""
        limits = replace(self.limits, seconds=40.0, cpu_seconds=40)
        done: mftkit.Execution = self.make().run(mftkit.Program({"main.py": source}), limits)
        return done

    def test_memory_that_belongs_to_no_process_is_refused_and_no_right_is_left(self) -> None:
        if not syscalls.available():
            pytest.skip("this kernel has no filter of system calls, or this machine's numbers are not known")
        done = self.run(UNCOUNTED)
        assert done.stdout.splitlines() == ["[]", f"1 {0:016x} 2"], done

    def test_shared_memory_counts_and_counts_once(self) -> None:
        assert self.run_for_long(SHARED).how == "memory"
        once = "import mmap, os, time\nkept = mmap.mmap(-1, 80 << 20)\nkept.write(bytes(80 << 20))\n"
        done = self.run(
            f"{once}for _ in range(6):\n    if os.fork() == 0: kept.find(b'x'); break\ntime.sleep(0.3)"
        )
        assert done.how == "exited"

    def test_memory_that_the_kernel_uses_counts(self) -> None:
        if launch.KERNEL_MEMORY in self.make().not_kept():
            pytest.skip("this process can make no control groups")
        done = self.run_for_long(SOCKETS)
        assert done.how == "memory", done

    def test_files_are_bounded_in_number_and_none_is_left(self, temporary: Path) -> None:
        open_to_all = " ".join(self.make().not_kept())
        places = (".", *(place for place in ("/tmp", "/dev/shm") if f"files in {place}" not in open_to_all))
        program = mftkit.Program({"main.py": MANY_FILES}, (mftkit.PYTHON, "main.py", *places))
        done = self.make().run(program, self.limits)
        assert "made in" not in done.stdout, done
        assert not list(temporary.iterdir())
        assert not [left for place in places for left in Path(place).glob("mft-many-*")]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files in which no other process of the tests makes any."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", place)
        yield Path(place)


class TestBubblewrap(KeepsBounds):
    component = Bubblewrap

    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        unless_required("bubblewrap", self.make().unavailable())

    def test_an_exit_code_is_the_programs_alone(self) -> None:
        done = self.run(f"raise SystemExit({launcher.OUT_OF_MEMORY})")
        assert (done.how, done.code) == ("exited", launcher.OUT_OF_MEMORY)

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

    def test_what_it_does_not_bound_is_named(self) -> None:
        assert self.make().not_kept() == ([] if control_groups.parents() else [launch.KERNEL_MEMORY])

    def test_the_directory_is_bounded_as_a_whole(self) -> None:
        source = "for i in range(20): open(str(i), 'wb').write(bytes(1 << 20))\nprint('written')"
        assert "written" not in self.run(source).stdout


class TestDocker(KeepsBounds):
    component = Docker
    limits = replace(KeepsBounds.limits, seconds=20.0)  # starting a container takes seconds on a busy machine

    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        unless_required("docker", self.make().unavailable())


class TestRlimits(KeepsBounds):
    """Everywhere but where there is no Linux; what it does not promise is not tried."""

    component = Rlimits

    @pytest.fixture(autouse=True)
    def _there(self) -> None:
        unless_required("rlimits", self.make().unavailable())

    def test_what_it_leaves_behind_is_removed(self, temporary: Path) -> None:
        source = "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w')\nos.chmod('a/b', 0)\nos.chmod('a', 0)\nprint(1)"
        assert self.run(source).stdout == "1\n"
        assert not list(temporary.iterdir())


def test_a_python_in_a_temporary_directory_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    if rlimits._PRIVATE not in rlimits._namespaces():
        pytest.skip("this system allows no mount namespaces")
    found = rlimits._interpreter()
    assert found is not None
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        python = Path(place, "python3")
        python.symlink_to(os.path.realpath(found))
        monkeypatch.setattr(rlimits, "_interpreter", lambda: str(python))
        executor = Rlimits(mftkit.Options())
        assert "files in /tmp, where this Python is" in executor.not_kept()
        done = executor.run(mftkit.Program({"main.py": "print(1)"}), mftkit.Limits())
    assert done.stdout == "1\n", done


class TestRlimitsWithoutNamespaces(TestRlimits):
    """As where the system gives none: processes are then found and killed one by one."""

    def test_what_it_does_not_bound_is_named(self) -> None:
        found = self.make().not_kept()
        assert "the network" in found
        assert "the number and total size of its files" in found

    def test_a_program_ends_with_its_supervisor(self) -> None:
        source = "import os, time\nprint(os.getppid(), flush=True)\ntime.sleep(20)"
        mark = f"mft-mark-{os.getpid()}-supervised"
        program = mftkit.Program({"main.py": source}, (mftkit.PYTHON, "main.py", mark))
        with self.make().open(program, self.limits) as session:
            os.kill(int(session.receive() or ""), signal.SIGKILL)
            assert session.receive() is None
        assert not running(mark)

    def test_it_neither_writes_outside_nor_ends_others(self) -> None:
        if launcher.landlock() < launcher.LANDLOCK_SCOPES:
            pytest.skip("this kernel has no Landlock that knows signals")
        place = Path(tempfile.gettempdir(), "mft-program-left")
        tries = (
            f"open({str(place)!r}, 'w')",
            "os.kill(os.getppid(), 0)",
            f"open('/proc/{os.getpid()}/environ')",
        )
        source = "".join(f"try:\n    {one}\n    print({one!r})\nexcept OSError: pass\n" for one in tries)
        done = self.run(
            f"import os\nopen('own', 'w').close()\nopen('/dev/null', 'w').close()\n{source}print('end')"
        )
        assert done.stdout == "end\n", done

    # What it does not promise, or the same as above:
    test_files_are_bounded_in_number_and_none_is_left = None  # type: ignore[assignment]
    test_shared_memory_counts_and_counts_once = None  # type: ignore[assignment]
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


def test_directories_nested_3000_deep_and_closed_ones_are_removed(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    top = tempfile.mkdtemp(dir=memory if memory.is_dir() else tmp_path)
    before = Path.cwd()
    try:
        os.chdir(top)
        for _ in range(3000):
            Path("d" * 200).mkdir()
            Path("f").symlink_to("/")
            os.chdir("d" * 200)
    finally:
        os.chdir(before)
    Path(top, "d" * 200).chmod(0)
    removal.remove(top)
    assert not Path(top).exists()
    assert Path("/").is_dir()


def test_directories_of_killed_processes_are_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with directories.fresh_directory(None) as held:
        killed, fresh = (tempfile.mkdtemp(prefix="mft-program-") for _ in range(2))
        for old in (held, killed):
            os.utime(old, (0, 0))
        directories._remove_abandoned.cache_clear()
        with directories.fresh_directory(None):
            assert [Path(place).exists() for place in (held, killed, fresh)] == [True, False, True]
    assert [str(place) for place in tmp_path.iterdir()] == [fresh]


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
