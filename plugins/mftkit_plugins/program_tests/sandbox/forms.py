"""The forms of tests, and how each is run."""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any

_CANDIDATES = {"candidate", "func", "function", "fn", "f", "solution"}


def run_all(
    trial: Any,
    module: types.ModuleType,
    own: dict[str, Any],
    names: dict[str, Any],
    holders: list[Any],
    examples: list[Any],
) -> None:
    """Run what the module defines: check(candidate), tests, test cases, doctests, then other functions that assert."""
    entry = names.get(trial.given["entry"])
    checks = own.get("check")
    if isinstance(checks, types.FunctionType) and len(required(checks)) == 1:
        trial.caught(checks, entry)
    if needs_pytest(own):
        run_pytest(trial, module)
    else:
        for name, value in own.items():
            if name.startswith("test") and isinstance(value, types.FunctionType) and not required(value):
                trial.caught(value)
        run_cases(trial, module)
    for name, text, line in examples:
        run_doctest(trial, module, name, text, line)
    if not trial.strict:
        run_others(trial, own, entry, holders)


def required(function: Any) -> list[str]:
    """Names of the arguments that a function needs."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ["?"]
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in kinds]


def needs_pytest(own: dict[str, Any]) -> bool:
    """Return True for tests with pytest's marks or fixtures, and for plain classes of tests."""
    for name, value in own.items():
        is_test = name.startswith("test") and isinstance(value, types.FunctionType)
        if is_test and (hasattr(value, "pytestmark") or required(value)):
            return True
        if type(value).__name__ in {"FixtureFunctionDefinition"} or hasattr(value, "_pytestfixturefunction"):
            return True
        if (
            name.startswith("Test")
            and type(value) is type
            and not _is_case(value)
            and value.__module__ == "tests"
        ):
            return True
    return "pytestmark" in own


def _is_case(value: Any) -> bool:
    unittest = sys.modules.get("unittest")
    return unittest is not None and issubclass(value, unittest.TestCase)


def run_others(trial: Any, own: dict[str, Any], entry: Any, holders: list[Any]) -> None:
    """Call functions that hold assertions and that nothing has called."""
    for node, numbers in holders:
        function = own.get(node.name)
        if not isinstance(function, types.FunctionType) or any(one in trial.account.began for one in numbers):
            continue
        if not numbers or function.__code__.co_firstlineno > node.lineno:
            continue
        needed = required(function)
        if not needed:
            trial.caught(function)
        elif len(needed) == 1 and needed[0] in _CANDIDATES:
            trial.caught(function, entry)


def run_cases(trial: Any, module: types.ModuleType) -> None:
    """Run unittest's cases."""
    unittest = sys.modules.get("unittest")
    if unittest is None:
        return
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    if not suite.countTestCases():
        return
    result = _result(trial, unittest)
    result.failfast = not trial.account.lenient
    suite.run(result)
    bad = [
        *result.failures,
        *result.errors,
        *((test, "unexpected success") for test in result.unexpectedSuccesses),
    ]
    trial.passed += result.testsRun - len(bad) - len(result.skipped) - len(result.expectedFailures)
    trial.skipped += [f"skipped: {test}: {why}" for test, why in result.skipped]
    trial.skipped += [f"expected to fail: {test}" for test, _ in result.expectedFailures]
    for _test, text in bad:
        trial.fail(text)


def _result(trial: Any, unittest: Any) -> Any:
    """Return a result of cases in which an assertion that failed without an error fails its test."""

    class Result(unittest.TestResult):  # type: ignore[misc]
        def startTest(self, test: Any) -> None:  # noqa: N802 - of unittest
            self.known = set(trial.account.failed)
            super().startTest(test)

        def addSuccess(self, test: Any) -> None:  # noqa: N802
            if lost := trial.lost(self.known):
                self.failures.append((test, lost))
            else:
                super().addSuccess(test)

    return Result()


def run_doctest(trial: Any, module: types.ModuleType, name: str, text: str, line: int) -> None:
    """Run the examples of a docstring."""
    import doctest

    test = doctest.DocTestParser().get_doctest(text, module.__dict__, name, "tests.py", line)
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=said.append)
    skipped = [one for one in test.examples if one.options.get(doctest.SKIP)]
    trial.skipped += [f"skipped: an example in {name}" for _ in skipped]
    failed, tried = runner.failures, runner.tries
    trial.passed += tried - failed
    if failed:
        trial.fail("".join(said))


def run_pytest(trial: Any, module: types.ModuleType) -> None:
    """Run the module with pytest, which must be there."""
    try:
        import pytest
    except ImportError:
        trial.skipped.append("pytest is not installed")
        return
    from mftkit_plugins.program_tests.sandbox.under_pytest import run

    run(trial, module, pytest)
