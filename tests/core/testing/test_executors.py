"""An executor that holds nothing in is caught, with programs that do no harm where it is tried."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mftkit
from mftkit.testing import ConformanceError, ExecutorConformance


class Bare(mftkit.Executor):
    """Runs a program as it is."""

    isolated = True

    def unavailable(self) -> str | None:
        return None

    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        with tempfile.TemporaryDirectory() as directory:
            for name, text in program.files.items():
                Path(directory, name).write_text(text)
            command = [sys.executable, *program.command[1:]]
            done = subprocess.run(command, cwd=directory, input=program.stdin, capture_output=True, text=True)
        return mftkit.Execution("exited", done.returncode, done.stdout, done.stderr, 0.1)


class Absent(Bare):
    def unavailable(self) -> str:
        return "it is not here"


class Shares(Bare):
    def run(self, program: mftkit.Program, limits: mftkit.Limits) -> mftkit.Execution:
        return replace(super().run(program, limits), code=0)


def suite(component: type[Any]) -> ExecutorConformance:
    made = ExecutorConformance()
    made.component = component  # type: ignore[misc]
    return made


def test_a_program_is_run_by_one_that_holds_nothing_in() -> None:
    suite(Bare).test_it_works_here()
    suite(Bare).test_a_program_runs()


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Absent, "it_works_here", "it is not here"),
        (Shares, "a_program_runs", "a program that exits with 3"),
        (Bare, "programs_do_not_meet", "not fresh"),
        (Bare, "a_large_file", "wrote a file of 64 MiB"),
        (Bare, "writing_and_reading_outside", "could read a file of the user"),
        (Bare, "an_open_socket", "could connect to this machine"),
    ],
)
def test_what_is_broken_is_caught(component: type[Any], check: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        getattr(suite(component), f"test_{check}")()
