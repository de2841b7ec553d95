"""Honest tests in every form: a right solution passes, and one that only passes the part that stands first does not."""

from __future__ import annotations

import pytest

import mftkit
from mftkit_plugins.executors.bubblewrap import Bubblewrap
from mftkit_plugins.executors.rlimits import Rlimits
from mftkit_plugins.program_tests import TestedProgram, results, run_tests

BUBBLEWRAP = Bubblewrap(Bubblewrap.Options())
EXECUTOR = Rlimits(mftkit.Options()) if BUBBLEWRAP.unavailable() else BUBBLEWRAP
LIMITS = mftkit.Limits(seconds=10.0)
RIGHT = "def double(x):\n    return 2 * x\n"
PART = "def double(x):\n    return 2 * x if x == 1 else x + 1\n"
"""It passes the first assertion only."""
FIRST = "assert double(1) == 2\n"

RUN = {
    "parametrize": "import pytest\n@pytest.mark.parametrize('x, y', [(1, 2), (3, 6)])\ndef test_all(x, y):\n    assert double(x) == y\n",
    "a fixture": "import pytest\n@pytest.fixture\ndef three():\n    return 3\ndef test_it(three):\n    assert double(three) == 6\n",
    "a plain test class": "class TestDouble:\n    def setup_method(self):\n        self.x = 3\n    def test_it(self):\n        assert double(self.x) == 6\n",
    "main": "if __name__ == '__main__':\n    assert double(3) == 6\n",
    "unittest.main": "import unittest\nclass Case(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(double(3), 6)\nif __name__ == '__main__':\n    unittest.main()\n",
    "async def": "async def test_it():\n    assert double(3) == 6\n",
    "an async case": "import unittest\nclass Case(unittest.IsolatedAsyncioTestCase):\n    async def test_it(self):\n        self.assertEqual(double(3), 6)\n",
    "a function of another name": "def verify():\n    assert double(3) == 6\n",
    "another name with candidate": "def verify(candidate):\n    assert candidate(3) == 6\n",
    "a doctest": "def examples():\n    '''\n    >>> double(3)\n    6\n    '''\n",
    "returns False": "def test_it():\n    return double(3) == 6\n",
    "swallowed": "def test_it():\n    try:\n        assert double(3) == 6\n    except AssertionError:\n        print('no')\n",
    "in a thread": "import threading\ndef test_it():\n    def work():\n        assert double(3) == 6\n    thread = threading.Thread(target=work)\n    thread.start()\n    thread.join()\n",
    "subtests": "import unittest\nclass Case(unittest.TestCase):\n    def test_it(self):\n        for x in (1, 3):\n            with self.subTest(x=x):\n                self.assertEqual(double(x), 2 * x)\n",
    "a swallowed method": "import unittest\nclass Case(unittest.TestCase):\n    def test_it(self):\n        try:\n            self.assertEqual(double(3), 6)\n        except Exception:\n            pass\n",
}  # fmt: skip
NOT_RUN = {
    "needs more arguments": ("def check(candidate, n):\n    assert candidate(n) == 2 * n\n", results.NEVER_REACHED),
    "skipped": ("import unittest\nclass Case(unittest.TestCase):\n    @unittest.skip('later')\n    def test_it(self):\n        self.assertEqual(double(3), 6)\n", results.SKIPPED),
    "skipped by pytest": ("import pytest\n@pytest.mark.skip\ndef test_it():\n    assert double(3) == 6\n", results.SKIPPED),
    "expected to fail": ("import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert double(3) == 6\n", results.SKIPPED),
    "a branch": ("import sys\nif sys.platform == 'none':\n    assert double(3) == 6\n", results.NEVER_REACHED),
    "after a return": ("def test_it():\n    return\n    assert double(3) == 6\n", results.NEVER_REACHED),
    "an empty loop": ("for x in []:\n    assert double(x) == 6\n", results.NEVER_REACHED),
}  # fmt: skip


def verdict(solution: str, tests: str, **options: object) -> results.TestResult:
    return run_tests(TestedProgram(solution, tests), EXECUTOR, LIMITS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", RUN)
def test_a_form_is_run(form: str) -> None:
    right, part = (verdict(solution, FIRST + RUN[form]) for solution in (RIGHT, PART))
    assert right.passed, right
    assert not part.passed


@pytest.mark.parametrize("form", NOT_RUN)
def test_what_does_not_run_is_said(form: str) -> None:
    tests, reason = NOT_RUN[form]
    dropped = verdict(RIGHT, FIRST + tests)
    assert (dropped.passed, dropped.reason) == (False, reason)
    assert dropped.not_run
    assert dropped.detail


def test_what_did_not_run_may_be_reported_only() -> None:
    tests = FIRST + NOT_RUN["needs more arguments"][0]
    reported = verdict(RIGHT, tests, not_run="report")
    assert reported.passed
    assert reported.not_run
    assert not verdict("def double(x):\n    return 0\n", tests, not_run="report").passed


def test_a_share_of_the_tests_may_do() -> None:
    tests = "assert double(1) == 2\nassert double(3) == 6\nassert double(1) + 0 == 2\nassert double(1) > 0\n"
    assert verdict(PART, tests, pass_rate=0.7).passed
    assert not verdict(PART, tests, pass_rate=0.8).passed
    assert not verdict(PART, tests).passed


GUARDS = {
    "assert False": "try:\n    root(-1)\n    assert False, 'it must raise'\nexcept ValueError:\n    pass\n",
    "fail": "import unittest\nclass Case(unittest.TestCase):\n    def test_it(self):\n        try:\n            root(-1)\n            self.fail('it must raise')\n        except ValueError as error:\n            self.assertIn('negative', str(error))\n",
    "pytest.raises": "import pytest\ndef test_it():\n    with pytest.raises(ValueError, match='negative'):\n        root(-1)\n",
    "assertRaises": "import unittest\nclass Case(unittest.TestCase):\n    def test_it(self):\n        with self.assertRaises(ValueError) as caught:\n            root(-1)\n        self.assertEqual(caught.exception.args, ('negative',))\n        self.assertRaises(ValueError, root, -2)\n",
    "an error of its own": "import pytest\nwith pytest.raises(Wrong) as caught:\n    root(-1)\nassert caught.value.code == 7\n",
}  # fmt: skip
ROOT = "class Wrong(ValueError):\n    code = 7\ndef root(x):\n    if x < 0:\n        raise Wrong('negative')\n    return x ** 0.5\n"


@pytest.mark.parametrize("guard", GUARDS)
def test_errors_that_must_come(guard: str) -> None:
    assert verdict(ROOT, "assert root(4) == 2\n" + GUARDS[guard]).passed
    silent = ROOT.replace("raise Wrong('negative')", "return 0")
    assert not verdict(silent, "assert root(4) == 2\n" + GUARDS[guard]).passed


def test_tests_that_are_reached_and_left_by_an_error_are_no_evidence() -> None:
    tests = "def test_one():\n    assert double(1) == 2\n\ndef test_two():\n    assert double(2) == 4\n"
    found = verdict("x = 1\n", tests, pass_rate=0.6, not_run="report")
    assert not found.passed
    assert (found.tests, found.tests_passed) == (4, 0)


FAILING = {
    "functions": "def test_one():\n    assert double(1) == 2\n\ndef test_two():\n    assert double(2) == 4\n",
    "check": "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 4\n",
    "cases": "import unittest\nclass Case(unittest.TestCase):\n    def test_one(self):\n        assert double(1) == 2\n    def test_two(self):\n        assert double(2) == 4\n",
    "pytest": "class TestIt:\n    def test_one(self):\n        assert double(1) == 2\n    def test_two(self):\n        assert double(2) == 4\n",
}  # fmt: skip


@pytest.mark.parametrize("form", FAILING)
def test_a_test_whose_assertion_fails_has_not_passed(form: str) -> None:
    """Where a share of them may do, assertions do not raise, so that a test ends as if it had passed."""
    program = TestedProgram("def double(x):\n    return 0\n", FAILING[form], "double")
    found = run_tests(program, EXECUTOR, LIMITS, pass_rate=0.1)
    assert (found.passed, found.tests_passed) == (False, 0), found
    assert "fails" in found.error
    assert "caught" not in found.error
