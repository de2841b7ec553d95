"""Verdicts on Python programs with tests, taken where the program cannot reach them."""

from __future__ import annotations

from mftkit_plugins.program_tests.calls import CallResult, call_function
from mftkit_plugins.program_tests.mutants import mutants
from mftkit_plugins.program_tests.results import TestedProgram, TestResult
from mftkit_plugins.program_tests.stubs import stubs
from mftkit_plugins.program_tests.verdicts import run_tests

__all__ = ["CallResult", "TestResult", "TestedProgram", "call_function", "mutants", "run_tests", "stubs"]
