"""Runs in the sandbox: the solution, then its tests; prints a secret word at the end to show that all of it ran.

It is main.py there, beside solution.py and tests.py. Standard input has two lines: the word and the entry point (which
may be empty). It imports only the standard library.
"""

import sys
import types
from collections.abc import Callable


def run(word: str, entry: str) -> None:
    """Run the solution and all of its tests in order; any exception ends the program with exit code 1."""
    solution = types.ModuleType("solution")
    sys.modules["solution"] = solution
    _execute("solution.py", solution.__dict__)
    tests = types.ModuleType("tests")
    sys.modules["tests"] = tests
    tests.__dict__.update({name: value for name, value in vars(solution).items() if name[:2] != "__"})
    known = dict(vars(tests))
    _execute("tests.py", tests.__dict__)
    new = {name: value for name, value in vars(tests).items() if known.get(name) is not value}
    if callable(new.get("check")) and _required(new["check"]) == 1:
        new["check"](vars(solution)[entry])
    for name, value in new.items():
        if name.startswith("test") and isinstance(value, types.FunctionType) and not _required(value):
            value()
    _run_cases(tests)
    sys.stderr.write(f"\n{word}\n")


def _execute(path: str, names: dict[str, object]) -> None:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        exec(compile(file.read(), path, "exec"), names)


def _required(function: Callable[..., object]) -> int:
    code = getattr(function, "__code__", None)
    return code.co_argcount - len(function.__defaults__ or ()) if code is not None else -1


def _run_cases(tests: types.ModuleType) -> None:
    unittest = sys.modules.get("unittest")
    if unittest is None:  # the tests have not imported it, and importing it takes a while
        return
    suite = unittest.defaultTestLoader.loadTestsFromModule(tests)
    if suite.countTestCases():
        result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
        if not result.wasSuccessful():
            raise AssertionError("a test case failed")


if __name__ == "__main__":
    run(sys.stdin.readline().strip(), sys.stdin.readline().strip())
