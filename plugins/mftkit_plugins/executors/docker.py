"""Containers of docker or podman."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import mftkit
from mftkit_plugins.executors.availability import failure_of
from mftkit_plugins.executors.control_groups import ControlGroup
from mftkit_plugins.executors.launch import ENVIRONMENT, launcher, standard_input, supervision
from mftkit_plugins.executors.launcher import OUT_OF_MEMORY
from mftkit_plugins.executors.live_session import LiveSession
from mftkit_plugins.executors.supervisor import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = "/program"
NOBODY = "65534:65534"
_MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""In a container, of version 2 and version 1 of control groups."""
_ATTEMPTS = 50
"""To kill a container that its engine may still be starting, five per second."""
_TIMEOUT = 20.0
"""Seconds until an engine counts as not responding."""
Engine = Literal["docker", "podman"]


class Docker(mftkit.Executor):
    """Runs each program in its own container: no network, a read-only image, a directory in memory.

    The image must exist locally: nothing is pulled. Programs see the contents of the image, not this Python.
    """

    strength = 200
    isolated = True

    class Options(mftkit.Options):
        """Options of ``docker``."""

        image: str = "python:3.11-slim"
        """A local image that contains Python."""
        engine: Engine | None = None
        """The engine; null: the first one that responds."""

    options: Options

    def unavailable(self) -> str | None:
        """Query the engines, then run a test program."""
        engine = self._engine()
        if engine is None:
            return "no engine responds: " + "; ".join(f"{name}: {_silent(name)}" for name in self._engines())
        return _tried_once(self.options.image, engine)

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        """Run in a new container, which ends with the program or with this process."""
        with self._started(program, limits) as running:
            return running.run()

    def open(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Session:
        """Start it in a new container, and talk to it through the engine's client."""
        return LiveSession(self._started(program, limits))

    @contextmanager
    def _started(self, program: mftkit.Program, limits: mftkit.Limits) -> Iterator[Supervised]:
        engine, name = self._engine() or self._engines()[0], f"mft-program-{uuid.uuid4().hex}"
        with _ending_with_this_process(engine, name):
            yield Supervised(
                self.command(engine, name, program, limits),
                limits,
                standard_input(program),
                group=ControlGroup((), limits),  # the engine makes one
                environment=os.environ,  # for the engine's client only; the container sees none of it
                stop=lambda: _kill(engine, name),
                memory_code=OUT_OF_MEMORY,
            )

    def command(self, engine: str, name: str, program: mftkit.Program, limits: mftkit.Limits) -> list[str]:
        """Return the engine's command line."""
        environment = {**ENVIRONMENT, "HOME": HOME, "TMPDIR": "/tmp"}
        room = f"rw,exec,nosuid,nodev,mode=1777,size={limits.disk}"
        inside = launcher(
            "python3",
            program,
            limits,
            directory=HOME,
            supervise=supervision(None, limits, ("/dev/shm", "/tmp", HOME), _MEMORY_EVENTS),
        )
        return [
            *(engine, "run", "--rm", "--interactive", "--name", name, "--pull", "never"),
            *("--network", "none", "--read-only", "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges", "--user", NOBODY),
            *("--memory", str(limits.memory), "--memory-swap", str(limits.memory)),
            *("--pids-limit", str(limits.processes + 1)),  # the supervisor is one
            *("--tmpfs", f"/tmp:{room}", "--tmpfs", f"{HOME}:{room}", "--workdir", HOME),
            *(word for key, value in environment.items() for word in ("--env", f"{key}={value}")),
            *("--entrypoint", inside[0], self.options.image, *inside[1:]),
        ]

    def _engines(self) -> tuple[Engine, ...]:
        return ("docker", "podman") if self.options.engine is None else (self.options.engine,)

    def _engine(self) -> Engine | None:
        return next((name for name in self._engines() if _silent(name) is None), None)


@functools.cache
def _silent(engine: str) -> str | None:
    """Return why an engine does not respond, or None if it does."""
    if shutil.which(engine) is None:
        return "not installed"
    try:
        done = subprocess.run(
            [engine, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if done.returncode == 0 and done.stdout.strip():
        return None
    return (done.stderr.strip() or "no server").splitlines()[-1]


@functools.cache
def _tried_once(image: str, engine: Engine) -> str | None:
    return failure_of(Docker(Docker.Options(image=image, engine=engine)))


@contextmanager
def _ending_with_this_process(engine: Engine, name: str) -> Iterator[None]:
    """Have a container killed if this process is: its engine would let it run."""
    end, held = os.pipe()
    script = f'read -r _ && exit; for _ in $(seq {_ATTEMPTS}); do "$@" && exit; sleep 0.2; done'
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", engine, "kill", name],
        stdin=end,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(end)
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):  # something has killed it
            os.write(held, b"\n")
        os.close(held)
        watcher.wait()


def _kill(engine: str, name: str) -> None:
    subprocess.run([engine, "kill", name], capture_output=True, check=False, timeout=_TIMEOUT)
