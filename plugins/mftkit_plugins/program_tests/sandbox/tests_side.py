"""The process that holds the tests alone: runs them on proxies of the program, and takes the verdict."""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import json
import os
import random
import sys
import threading
import traceback
import types
import warnings
from typing import Any

from mftkit_plugins.program_tests.sandbox import forms, proxies
from mftkit_plugins.program_tests.sandbox.accounting import Account, Numbered, docstrings
from mftkit_plugins.program_tests.sandbox.peer import EndedError, Peer
from mftkit_plugins.program_tests.sandbox.plain import CannotCrossError

_HIDDEN = ("_", "f_", "gi_", "cr_", "ag_", "tb_", "func_", "assert", "fail")
SHOWN = 4000
"""Characters of an error."""


class TestsSide(Peer):
    """Trusts nothing that comes; shows of the tests' objects what the tests have passed, and no more."""

    trusted = False
    error_classes: dict[type, int]
    word = ""

    def __init__(self, read: Any, write: Any) -> None:
        super().__init__(read, write)
        self.watched: list[tuple[Any, str, Any, str]] = []
        self.warned: list[tuple[str, str]] = []

    def watch(self, owner: Any, name: str, value: Any) -> None:
        """Remember a container of an object; the tests may change it in place."""
        if type(value) in {list, dict, set, bytearray}:
            self.watched = [*self.watched[-7:], (owner, name, value, json.dumps(self.encode(value)))]

    def request(self, operation: str, *given: Any, **named: Any) -> Any:
        """Before anything else, tell the other side what the tests changed in an object's containers."""
        watched, self.watched = self.watched, []
        for owner, name, value, before in watched:
            if json.dumps(self.encode(value)) != before:
                super().request("change", owner, name, value)
            else:
                self.watched.append((owner, name, value, before))
        found = super().request(operation, *given, **named)
        warned, self.warned = self.warned, []
        for name, text in warned:
            kind = getattr(builtins, name, UserWarning)
            warnings.warn(text, kind if issubclass(kind, Warning) else UserWarning, stacklevel=4)
        return found

    def permit(self, operation: str, given: list[Any]) -> None:
        """Refuse whatever would show the tests to the program."""
        if operation == "load" or (
            operation in {"getattr", "setattr", "delattr"} and str(given[1]).startswith(_HIDDEN)
        ):
            raise PermissionError("a program cannot look into its tests")
        if given and proxies.reference(given[0]) is not None:
            raise PermissionError("a program asks its tests for objects of theirs only")

    def perform(self, operation: str, given: list[Any], named: dict[str, Any]) -> Any:
        """Also read the tests' standard input."""
        if operation == "input":
            return input(given[0])
        if operation == "readline":
            return sys.stdin.readline()
        return super().perform(operation, given, named)

    def take_news(self, message: dict[str, Any]) -> None:
        """Also print what the program printed."""
        super().take_news(message)
        for key, stream in (("o", sys.stdout), ("e", sys.stderr)):
            if key in message:
                stream.write(str(message[key]))
        self.warned += [(str(name), str(text)) for name, text in message.get("w", [])]


class Trial:
    """One run of the tests."""

    def __init__(self, given: dict[str, Any], peer: TestsSide) -> None:
        self.given = given
        self.peer = peer
        self.account = Account(given["lenient"])
        self.errors: list[str] = []
        self.skipped: list[str] = []
        self.passed = 0
        self.failed = 0
        self.results: Any = None
        """What ``call_function`` has collected, in a variable of its tests."""
        self.too_deep = False
        """Whether the tests are nested too deeply to be numbered."""
        self.strict = bool(given["stub"])
        """A stub has to fail by the tests themselves, not by the account."""

    def caught(self, function: Any, *given: Any) -> Any:
        """Call something, and keep its error; a test that returns False fails."""
        known = set(self.account.failed)
        try:
            value = function(*given)
            if inspect.iscoroutine(value):
                value = self.peer.run("await", [value])
        except (EndedError, CannotCrossError):
            raise
        except BaseException as error:
            self.fail(error)
            return None
        if value is False:
            self.fail(AssertionError("a test returned False"))
            return None
        if function is not exec and (lost := self.lost(known)):
            self.fail(lost)
            return None
        self.passed += 1
        return value

    def lost(self, known: set[int]) -> str:
        """Return the error of a test in which an assertion failed and did not raise, as none does if lenient.

        Empty if none did, or if assertions raise. ``known``: the assertions that had failed before the test.
        """
        failed = sorted(self.account.failed - known)
        if not failed or not self.account.lenient:
            return ""
        return f"AssertionError: {self.account.places[failed[0]]} fails"

    def fail(self, error: BaseException | str) -> None:
        """A test has failed, or was skipped."""
        text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
        if isinstance(error, BaseException) and type(error).__name__ in {"SkipTest", "Skipped"}:
            self.skipped.append(f"skipped: {error}")
            return
        if getattr(error, "name", None) == "pytest" and proxies.reference(error) is None:
            self.skipped.append("pytest is not installed")
            raise StopTestsError
        self.failed += 1
        self.errors.append(text[-SHOWN:])
        if not self.account.lenient:
            raise StopTestsError

    def run(self) -> dict[str, Any]:
        """Run everything, and return what the host makes a verdict of."""
        cannot, dead, loaded = "", "", False
        try:
            loaded = self._run()
        except StopTestsError:
            loaded = True
        except CannotCrossError as error:
            cannot = str(error)
        except EndedError as error:
            dead = str(error)
            self.errors.append(dead)
        account = self.account
        lost = [account.places[number] for number in sorted(account.failed)]
        if lost and not self.errors:
            caught = "" if account.lenient else ", though its error was caught"
            self.errors.append(f"AssertionError: {lost[0]} fails{caught}")
        return {
            "cannot": cannot,
            "too_deep": self.too_deep,
            "dead": dead,
            "loaded": loaded,
            "errors": self.errors,
            "failed": self.failed,
            "passed": self.passed,
            "assertions": account.assertions(),
            "not_run": [*self.skipped, *account.not_run()],
            "objects": self.peer.of_objects,
            "results": self.results,
        }

    def _run(self) -> bool:
        numbered = Numbered(self.account)
        try:
            tree = ast.parse(self.given["tests"])
            examples = docstrings(tree)
            tree = numbered.whole(tree)
            parts = self._compiled(tree)
        except (RecursionError, MemoryError):
            self.too_deep = True
            return False
        try:
            solution = self.peer.request("load", self.given["solution"])
        except Exception as error:
            self.errors.append("".join(traceback.format_exception_only(error)))
            self.failed += 1
            return False
        names = solution["names"]
        for name, value in names.items():
            self.peer.share(name, value)
        sys.modules["solution"] = solution["module"]
        module = types.ModuleType("tests")
        sys.modules["tests"] = module
        module.__dict__.update({**names, "__mft__": self.account})
        known = dict(module.__dict__)
        self._execute(parts, module)
        self.results = module.__dict__.get("_results") if self.given.get("results") else None
        own = {name: value for name, value in vars(module).items() if known.get(name) is not value}
        forms.run_all(self, module, own, names, numbered.holders, examples)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(5)
        return True

    def _compiled(self, tree: ast.Module) -> list[types.CodeType]:
        """Return the module's code; leniently that of each statement, which is run with its own error."""
        parts = [[node] for node in tree.body] if self.account.lenient else [tree.body]
        return [compile(ast.Module(part, []), "tests.py", "exec") for part in parts]

    def _execute(self, parts: list[types.CodeType], module: types.ModuleType) -> None:
        for code in parts:
            before = self.passed
            self.caught(exec, code, module.__dict__)
            self.passed = before


class StopTestsError(BaseException):
    """A test has failed, and the others need not run."""


def main(read: Any, write: Any) -> None:
    """Take the tests from the line, run them, and write the verdict to it."""
    given = json.loads(read())
    peer = TestsSide(read, lambda line: write("S" + line))
    peer.error_classes = {}
    peer.word = given["word"]
    proxies.PEER[0] = peer
    random.seed(given["word"])
    sys.stdin = io.StringIO("")
    sys.stdout = io.StringIO()
    write("V" + json.dumps(Trial(given, peer).run()))
    os._exit(0)
