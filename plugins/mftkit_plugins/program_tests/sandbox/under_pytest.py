"""pytest on a module in memory: no file holds the tests."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import types


class Watch:
    """A plugin that collects the module, runs coroutines, and keeps the outcomes."""

    def __init__(self, trial: Any, module: types.ModuleType, pytest: Any) -> None:
        self.trial = trial
        self.module = module
        self.pytest = pytest

    def pytest_pycollect_makemodule(self, module_path: Path, parent: Any) -> Any:
        """Give the module in memory for the empty file."""
        module = self.module

        class InMemory(self.pytest.Module):  # type: ignore[misc, name-defined]
            def _getobj(self) -> Any:
                return module

            def _importtestmodule(self) -> Any:
                return module

        return InMemory.from_parent(parent, path=module_path)

    def pytest_pyfunc_call(self, pyfuncitem: Any) -> Any:
        """Call a test; await a coroutine, refuse False."""
        known = set(self.trial.account.failed)
        names = pyfuncitem._fixtureinfo.argnames
        value = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
        if inspect.iscoroutine(value):
            value = self.trial.peer.run("await", [value])
        if value is False:
            raise AssertionError("a test returned False")
        if lost := self.trial.lost(known):
            raise AssertionError(lost.removeprefix("AssertionError: "))
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep an outcome."""
        trial = self.trial
        if hasattr(report, "wasxfail"):
            if report.when == "call" or report.outcome == "skipped":
                trial.skipped.append(f"expected to fail: {report.nodeid}")
        elif report.outcome == "skipped":
            trial.skipped.append(f"skipped: {report.nodeid}")
        elif report.outcome == "failed":
            trial.failed += 1
            trial.errors.append(str(report.longreprtext)[-4000:])
        elif report.when == "call":
            trial.passed += 1

    def pytest_collectreport(self, report: Any) -> None:
        """Keep what could not be collected."""
        if report.outcome == "skipped":
            self.trial.skipped.append(f"skipped: {report.longrepr}")
        elif report.outcome == "failed":
            self.trial.failed += 1
            self.trial.errors.append(str(report.longreprtext)[-4000:])


def run(trial: Any, module: types.ModuleType, pytest: Any) -> None:
    """Run all tests of a module."""
    Path("test_program.py").write_text("", encoding="utf-8")
    pytest.hookimpl(tryfirst=True)(Watch.pytest_pyfunc_call)
    watch = Watch(trial, module, pytest)
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-p",
        "no:xdist",
        "--tb=short",
        "-W",
        "ignore",
    ]
    pytest.main([*options, "-c", "/dev/null", "--rootdir=.", "test_program.py"], plugins=[watch])
