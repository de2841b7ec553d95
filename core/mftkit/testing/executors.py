"""Checks of every executor: misbehaving programs, each run within tight limits."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mftkit.interfaces.executor import PYTHON, Execution, Limits, Program
from mftkit.testing.assertions import require
from mftkit.testing.conformance import Conformance

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
TAKES = 10.0
"""Seconds that an executor may take to start and stop a program, in addition to the program's own time."""
FORKS = """
import os, time
made = 0
for _ in range({tries}):
    try:
        if os.fork() == 0:
            time.sleep(2)
            os._exit(0)
    except OSError:
        print("refused after", made)
        break
    made += 1
else:
    print("no limit")
"""
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for stream in (0, 1, 2):
            os.close(stream)
        time.sleep(60)
    os._exit(0)
"""
MANY = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        kept = b"x" * (80 << 20)
        time.sleep(20)
        os._exit(0)
time.sleep(20)
"""

ECHO = """
import sys
for line in sys.stdin:
    print("got", line.rstrip(), flush=True)
"""
HANGS = """
print(input(), flush=True)
while True:
    pass
"""


class ExecutorConformance(Conformance):
    """Checks of ``mftkit.Executor`` on programs that break every rule, within tight limits.

    The fork bomb runs only if a program that starts a few dozen processes was refused some of them.
    """

    limits: ClassVar[Limits] = Limits(
        seconds=5.0, cpu_seconds=5, memory=256 * MIB, processes=24, output=10_000, disk=8 * MIB
    )

    def run(self, source: str, limits: Limits | None = None, stdin: str = "", **files: str) -> Execution:
        """Run Python source."""
        named = {name.replace("_", "."): text for name, text in files.items()}
        program = Program({"main.py": source, **named}, stdin=stdin)
        done: Execution = self.make().run(program, limits or self.limits)
        return done

    def marked(self, source: str, mark: str, limits: Limits) -> None:
        """Run Python source with ``mark`` in the command lines of its processes and of those that start it."""
        self.make().run(Program({"main.py": source}, (PYTHON, "main.py", mark)), limits)

    def test_it_works_here(self) -> None:
        """It can be used on this machine."""
        why = self.make().unavailable()
        require(why is None, f"the executor cannot be used on this machine: {why}")

    def test_a_program_runs(self) -> None:
        """A program gets its files and standard input; its output and exit code are returned."""
        source = "import sys; print(sys.stdin.read() + open('more.txt').read()); sys.stderr.write('!'); sys.exit(3)"
        done = self.run(source, stdin="grün ", more_txt="und gelb")
        found = (done.how, done.code, done.stdout, done.stderr)
        require(
            found == ("exited", 3, "grün und gelb\n", "!"),
            f"a program that exits with 3 was reported as {done}",
        )
        require(self.run("print(1)").succeeded, "a program that exits normally was not reported as exited")

    def test_programs_do_not_meet(self) -> None:
        """Each program has its own writable directory, and does not see the user's environment."""
        os.environ["MFT_SECRET_OF_A_TEST"] = "secret"
        try:
            source = (
                "import os; print(os.listdir('.'), 'secret' in str(os.environ)); open('left', 'w').write('x')"
            )
            outputs = [self.run(source).stdout.strip() for _ in range(2)]
        finally:
            del os.environ["MFT_SECRET_OF_A_TEST"]
        require(outputs == ["['main.py'] False"] * 2, f"directory and environment are not fresh: {outputs}")

    def test_an_endless_loop(self) -> None:
        """An endless loop is stopped by the wall-clock limit and by the CPU time limit."""
        for limits in (replace(self.limits, seconds=0.7), replace(self.limits, cpu_seconds=1)):
            started = time.monotonic()
            done = self.run("while True: pass", limits)
            require(
                done.how == "time" or done.code > 128,
                f"an endless loop was not reported as stopped by a time limit: {done}",
            )
            spent = time.monotonic() - started
            require(
                spent < self.limits.seconds + TAKES, f"an endless loop was stopped only after {spent:.0f} s"
            )

    def test_ten_gigabytes(self) -> None:
        """An allocation above the memory limit fails or stops the program."""
        done = self.run("kept = bytearray(10 << 30); print('allocated')")
        require(
            not done.succeeded and "allocated" not in done.stdout, f"a program could allocate 10 GiB: {done}"
        )

    def test_memory_of_many_processes(self) -> None:
        """Processes that each stay below the memory limit are stopped if their total exceeds it."""
        done = self.run(MANY)
        require(
            done.how == "memory" or not done.succeeded, f"six processes could use 480 MiB together: {done}"
        )
        require(
            done.seconds < self.limits.seconds,
            "the memory of many processes is limited only by the time limit",
        )

    def test_endless_output(self) -> None:
        """Output is cut off at the limit, on stdout and stderr."""
        for stream in ("stdout", "stderr"):
            done = self.run(f"import sys\nwhile True: sys.{stream}.write('x' * 1000)")
            size = len(done.stdout) + len(done.stderr)
            require(
                done.how == "output" and size <= self.limits.output,
                f"endless {stream} was reported as {done.how!r} with {size} bytes",
            )

    def test_a_large_file(self) -> None:
        """A file above the size limit cannot be written."""
        done = self.run("open('large', 'wb').write(bytes(64 << 20)); print('written')")
        require("written" not in done.stdout, "a program wrote a file of 64 MiB, but the limit is 8 MiB")

    def test_a_fork_bomb(self) -> None:
        """Processes above the limit are refused; a fork bomb stops at its time limit and leaves nothing behind."""
        done = self.run(FORKS.format(tries=self.limits.processes + 40))
        require("refused" in done.stdout, f"no process was refused: {done}")
        started = time.monotonic()
        done = self.run(BOMB, replace(self.limits, seconds=1.0))
        spent = time.monotonic() - started
        require(not done.succeeded, f"a fork bomb exits normally: {done}")
        require(spent < 1.0 + TAKES, f"a fork bomb was stopped only after {spent:.0f} s")
        require(self.run("print(1)").succeeded, "no program can run after a fork bomb")

    def test_nothing_is_left_behind(self) -> None:
        """A daemon that the program starts is stopped with it."""
        mark = _mark()
        self.marked(DAEMON, mark, self.limits)
        require(
            _until(lambda: not running(mark)),
            "a process started by the program is still running after the program ended",
        )

    def test_a_killed_parent(self) -> None:
        """If the process that runs a program or a session is killed, the program and its daemon stop too."""
        limits = replace(self.limits, seconds=60.0)
        program = f"{DAEMON}\ntime.sleep(60)"
        self.killed(lambda mark: self.marked(program, mark, limits))
        self.killed(lambda mark: self.talk(program, mark, limits))

    def talk(self, source: str, mark: str, limits: Limits) -> None:
        """Open a session with Python source, and wait for a line."""
        with self.make().open(Program({"main.py": source}, (PYTHON, "main.py", mark)), limits) as session:
            session.receive()

    def killed(self, run: Callable[[str], None]) -> None:
        """Kill a process that runs a program with a mark, and require that the program ends."""
        mark = _mark()
        holder = os.fork()
        if holder == 0:
            try:
                run(mark)
            finally:
                os._exit(0)
        try:
            started = _until(lambda: bool(running(mark)))
        finally:
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)
        require(started, "the program did not start")
        require(
            _until(lambda: not running(mark)),
            "a program is still running after the process that ran it was killed",
        )

    def test_a_session(self) -> None:
        """A program is talked to in lines, and ends with the session."""
        with self.make().open(Program({"main.py": ECHO}, stdin="first\n"), self.limits) as session:
            lines = [session.receive()]
            for sent in ("second", "grün", ""):
                session.send(sent)
                lines.append(session.receive())
            done = session.close()
        require(lines == ["got first", "got second", "got grün", "got "], f"a session received {lines}")
        require(done.succeeded, f"a program that ends with its standard input was reported as {done}")
        require(done.stdout.count("got") == 4, f"the session's result lacks output: {done}")
        require(session.receive() is None, "a closed session still receives lines")

    def test_a_session_ends_with_the_program(self) -> None:
        """Lines that were written before the end still come; then there are none."""
        source = "import sys; print('one'); print('two', end=''); sys.exit(3)"
        with self.make().open(Program({"main.py": source}), self.limits) as session:
            lines = [session.receive() for _ in range(3)]
            done = session.close()
        require(lines == ["one", None, None], f"a program that ended gave {lines}")
        require((done.code, done.stdout) == (3, "one\ntwo"), f"the result of a session is {done}")

    def test_the_limits_of_a_session(self) -> None:
        """Time and output are limited as in ``run``, while nobody sends or receives."""
        limits = replace(self.limits, seconds=0.7)
        with self.make().open(Program({"main.py": HANGS}), limits) as session:
            session.send("hello")
            lines = [session.receive(), session.receive()]
            done = session.close()
        require(
            lines[1] is None and done.how == "time", f"an endless loop in a session gave {lines}, then {done}"
        )
        flood = "while True: print('x' * 1000)"
        with self.make().open(Program({"main.py": flood}), self.limits) as session:
            while session.receive() is not None:
                pass
            done = session.close()
        require(
            done.how == "output" and len(done.stdout) <= self.limits.output,
            f"endless output in a session was reported as {done.how!r} with {len(done.stdout)} bytes",
        )

    def test_a_closed_session_leaves_nothing_behind(self) -> None:
        """A session that is closed while its program and a daemon of it run leaves no process behind."""
        mark = _mark()
        program = Program(
            {"main.py": f"{DAEMON}\nprint('started', flush=True)\n{HANGS}"}, (PYTHON, "main.py", mark)
        )
        with self.make().open(program, replace(self.limits, seconds=2.0)) as session:
            started = session.receive()
        require(started == "started", f"the program's first line was {started!r}")
        require(
            _until(lambda: not running(mark)),
            "a process of a closed session is still running",
        )

    def test_writing_and_reading_outside(self) -> None:
        """If ``isolated`` is True, a program can neither read nor write outside its directory."""
        if not self.component.isolated:
            return
        with tempfile.TemporaryDirectory() as directory:
            Path(directory).chmod(0o777)
            secret = Path(directory, "secret")
            secret.write_text("of the user")
            done = self.run(f"print(open({str(secret)!r}).read())")
            require("of the user" not in done.stdout, "a program could read a file of the user")
            self.run(f"open({directory + '/written'!r}, 'w').write('x')")
            self.run("open('/etc/written-by-a-program', 'w').write('x')")
            written = [
                place
                for place in (Path(directory, "written"), Path("/etc/written-by-a-program"))
                if place.exists()
            ]
            require(not written, f"a program wrote outside its directory: {written}")

    def test_an_open_socket(self) -> None:
        """If ``isolated`` is True, a program has no network, not even a connection to this machine."""
        if not self.component.isolated:
            return
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
            source = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=2); print('connected')"
            done = self.run(source)
        require(
            "connected" not in done.stdout and not done.succeeded,
            f"a program could connect to this machine: {done}",
        )


def _mark() -> str:
    return f"mft-mark-{os.getpid()}-{time.monotonic_ns()}"


def running(mark: str) -> list[int]:
    """Return the ids of processes with ``mark`` in their command line."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if mark.encode() in place.joinpath("cmdline").read_bytes():
                    found.append(int(place.name))
            except OSError:
                continue
    return found


def _until(true: Callable[[], bool], seconds: float = 8.0) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
