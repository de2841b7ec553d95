"""Containers of docker or podman."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import uuid
from typing import Literal

import mftkit
from mftkit_plugins.executors.availability import why_not
from mftkit_plugins.executors.launch import ENVIRONMENT, launcher, standard_input
from mftkit_plugins.executors.supervisor import PATIENCE, watched

HOME = "/program"
NOBODY = "65534:65534"
_ASKING = 20.0
"""Seconds that an engine has to answer."""
Engine = Literal["docker", "podman"]


class Docker(mftkit.Executor):
    """Runs each program in a container of its own: no network, a read-only image, a directory in memory.

    The image must be there: nothing is pulled. Programs see what is in the image, not this Python.
    """

    strength = 200
    isolated = True

    class Options(mftkit.Options):
        """Options of ``docker``."""

        image: str = "python:3.11-slim"
        """An image with Python in it, which is there already."""
        engine: Engine | None = None
        """Which of the two; null: the first that answers."""

    options: Options

    def unavailable(self) -> str | None:
        """Asks the engines, then tries a program."""
        engine = self._engine()
        if engine is None:
            return "no engine answers: " + "; ".join(f"{name}: {_silent(name)}" for name in self._engines())
        return _tried_once(self.options.image, engine)

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        """Run in a fresh container, which ends with the program, and by itself soon after its time where we die."""
        engine, name = self._engine() or self._engines()[0], f"mft-program-{uuid.uuid4().hex}"
        command = self.command(engine, name, program, limits)
        with standard_input(program) as stdin:
            return watched(
                command,
                limits,
                stdin=stdin,
                environment=os.environ,  # where the engine's client finds its engine; a container sees none of it
                stop=lambda: _kill(engine, name),
            )

    def command(self, engine: str, name: str, program: mftkit.Program, limits: mftkit.Limits) -> list[str]:
        """The engine's command line."""
        environment = {**ENVIRONMENT, "HOME": HOME, "TMPDIR": "/tmp"}
        room = f"rw,exec,nosuid,nodev,mode=1777,size={limits.disk}"
        inside = launcher(
            "python3",
            program,
            limits,
            directory=HOME,
            supervise={"lifeline": None, "seconds": limits.seconds + PATIENCE},
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
    """Why an engine does not answer; None where it does."""
    if shutil.which(engine) is None:
        return "not installed"
    try:
        asked = subprocess.run(
            [engine, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASKING,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if asked.returncode == 0 and asked.stdout.strip():
        return None
    return (asked.stderr.strip() or "no server").splitlines()[-1]


@functools.cache
def _tried_once(image: str, engine: Engine) -> str | None:
    return why_not(Docker(Docker.Options(image=image, engine=engine)))


def _kill(engine: str, name: str) -> None:
    subprocess.run([engine, "kill", name], capture_output=True, check=False, timeout=_ASKING)
