"""What runs in the sandbox: the solution, then its tests, then a word that says that all of it ran.

It stands there as main.py, beside solution.py and tests.py. Standard input has the word, the entry point (or an
empty line), and nothing more. It imports the standard library alone.
"""

import sys
import types
from collections.abc import Callable
from typing import Any


def run(word: str, entry: str) -> None:
    """Everything in turn; whatever is raised ends the program with exit code 1."""
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


def _execute(path: str, names: dict[str, Any]) -> None:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        exec(compile(file.read(), path, "exec"), names)


def _required(function: Callable[..., Any]) -> int:
    code = getattr(function, "__code__", None)
    return code.co_argcount - len(function.__defaults__ or ()) if code is not None else -1


def _run_cases(tests: types.ModuleType) -> None:
    unittest = sys.modules.get("unittest")
    if unittest is None:  # nobody has asked for it, and it takes a while to import
        return
    suite = unittest.defaultTestLoader.loadTestsFromModule(tests)
    if suite.countTestCases():
        result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
        if not result.wasSuccessful():
            raise AssertionError("a test case failed")


if __name__ == "__main__":
    run(sys.stdin.readline().strip(), sys.stdin.readline().strip())
