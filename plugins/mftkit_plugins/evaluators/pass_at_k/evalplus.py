"""Problems of EvalPlus (Liu et al., arXiv 2305.01210): inputs, and a reference solution that gives the results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mftkit
from mftkit_plugins.evaluators.execution.sandbox import place
from mftkit_plugins.evaluators.pass_at_k.forms import Form, asked, text_of, verdict
from mftkit_plugins.evaluators.pass_at_k.humaneval import COMPLETE
from mftkit_plugins.evaluators.pass_at_k.mbpp import STOPS as MBPP_STOPS
from mftkit_plugins.evaluators.pass_at_k.python_answers import STOPS, solution
from mftkit_plugins.program_tests import CallResult, call_function

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit_plugins.evaluators.execution.sandbox import Sandbox
    from mftkit_plugins.evaluators.pass_at_k.forms import Ask

RELATIVE = 1e-7
FLOATS = 1e-6
"""Tolerances of EvalPlus: relative, and absolute for results that are floats if the row's ``atol`` is 0."""
SOLVE = "{prompt}\n\nReply with the whole function {entry} in one block of Python code."


class EvalPlus(Form):
    """EvalPlus: ``base_input`` and ``plus_input`` are lists of arguments for ``entry_point``.

    The results of ``canonical_solution`` and of the answer are computed in the executor, and compared outside of it.
    """

    name = "EvalPlus"
    marks = ("base_input",)
    needs = ("prompt", "entry_point", "canonical_solution", "base_input")

    def __init__(self, plus: bool) -> None:
        self._plus = plus
        self._expected: dict[tuple[str, str], list[CallResult]] = {}

    def check_row(self, row: mftkit.EvaluationRow) -> None:
        """Raise MftError for inputs that are no lists of arguments."""
        for key in ("base_input", *(("plus_input",) if self._plus else ())):
            given = row.row.get(key)
            if not isinstance(given, list) or not all(isinstance(each, list) for each in given):
                raise mftkit.MftError(
                    f'pass-at-k: {place(row)}: "{key}" must be a list of lists of arguments; correct the row'
                )
        if not isinstance(row.row.get("atol") or 0, int | float):
            raise mftkit.MftError(f'pass-at-k: {place(row)}: "atol" must be a number; correct the row')

    def check(self, rows: Sequence[mftkit.EvaluationRow], sandbox: Sandbox) -> None:
        """Also run the reference solutions. Raises MftError if one gives no result."""
        super().check(rows, sandbox)
        self._expected.clear()
        pairs = [(row, key) for row in rows for key in self._keys]
        results = sandbox.each(lambda pair: self._results(*pair, sandbox), pairs)
        for (row, _key), found in zip(pairs, results, strict=True):
            bad = next((result.error for result in found if result.error is not None), None)
            if bad is not None:
                raise mftkit.MftError(
                    f"pass-at-k: {place(row)}: its canonical_solution gives no result for an input: {bad}; correct the "
                    'row, or raise the option "seconds"'
                )

    @property
    def _keys(self) -> tuple[str, ...]:
        return ("base_input", "plus_input") if self._plus else ("base_input",)

    def _results(self, row: mftkit.EvaluationRow, key: str, sandbox: Sandbox) -> list[CallResult]:
        if (row.id, key) not in self._expected:
            reference = text_of(row, "canonical_solution")
            self._expected[row.id, key] = self._calls(row, key, reference, "completion", sandbox)
        return self._expected[row.id, key]

    def _calls(
        self, row: mftkit.EvaluationRow, key: str, answer: str, ask: Ask, sandbox: Sandbox
    ) -> list[CallResult]:
        entry = text_of(row, "entry_point")
        program = solution(text_of(row, "prompt"), answer, entry, ask)
        return call_function(program, entry, row.row[key], sandbox.executor, sandbox.limits)

    def prompt(self, row: mftkit.EvaluationRow, ask: Ask) -> mftkit.EvaluationPrompt:
        """Return the text to be continued, or a question that quotes it."""
        text, entry = text_of(row, "prompt"), text_of(row, "entry_point")
        begun = f"def {entry}" in text
        if ask == "completion":
            return mftkit.EvaluationPrompt(text=text, stop=STOPS if begun else MBPP_STOPS)
        template = COMPLETE if begun else SOLVE
        return asked(template.format(prompt=text.strip(), entry=entry))

    def verdict(self, row: mftkit.EvaluationRow, answer: str, ask: Ask, sandbox: Sandbox) -> mftkit.Verdict:
        """Compare the results of the answer with those of the reference, for the base inputs and the others."""
        wrong = [self._wrong(row, key, answer, ask, sandbox) for key in self._keys]
        more: mftkit.JsonObject = {"plus": not any(wrong)} if self._plus else {}
        return verdict(not wrong[0], next(filter(None, wrong), ""), more)

    def _wrong(self, row: mftkit.EvaluationRow, key: str, answer: str, ask: Ask, sandbox: Sandbox) -> str:
        """Return what is wrong with the first input that has another result; empty if there is none."""
        expected = self._results(row, key, sandbox)
        found = self._calls(row, key, answer, ask, sandbox)
        atol = float(row.row.get("atol") or 0)
        # Any root will do, as in EvalPlus.
        roots = text_of(row, "entry_point") == "find_zero"
        for number, (given, ours, theirs) in enumerate(zip(row.row[key], found, expected, strict=True), 1):
            if ours.error is not None:
                return f"{key} {number}: {ours.error}"
            same = _is_root(given, ours.value, atol) if roots else same_result(ours.value, theirs.value, atol)
            if not same:
                return f"{key} {number}: {_shown(ours.value)}, not {_shown(theirs.value)}"
        return ""


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python's limit on the digits of a whole number that becomes text
        return "a number with thousands of digits"


def same_result(found: Any, expected: Any, atol: float) -> bool:
    """Whether two results are equal, or of one type and close as numpy.allclose has it: |a-b| <= atol + 1e-7 |b|."""
    if _equal(found, expected):
        return True
    if not atol and _is_floats(expected):
        atol = FLOATS
    return bool(atol) and type(found) is type(expected) and _close(found, expected, atol)


def _equal(found: Any, expected: Any) -> bool:
    try:
        return bool(found == expected)
    except ValueError:  # arrays
        shapes = getattr(found, "shape", None), getattr(expected, "shape", None)
        return shapes[0] == shapes[1] and bool((found == expected).all())


def _is_floats(value: Any) -> bool:
    many = isinstance(value, list | tuple) and bool(value)
    return all(isinstance(each, float) for each in value) if many else isinstance(value, float)


def _close(found: Any, expected: Any, atol: float) -> bool:
    if isinstance(expected, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(expected):
            return False
        return all(_close(one, other, atol) for one, other in zip(found, expected, strict=True))
    if isinstance(expected, int | float) and isinstance(found, int | float):
        try:
            return found == expected or math.fabs(found - expected) <= atol + RELATIVE * math.fabs(expected)
        except OverflowError:  # a whole number beyond all floats
            return False
    return _equal(found, expected)


def _is_root(given: list[Any], found: Any, atol: float) -> bool:
    """Whether the polynomial with these coefficients is 0 there (HumanEval/32)."""
    if not isinstance(found, int | float):
        return False
    try:
        value = sum(factor * found**power for power, factor in enumerate(given[0]))
        return bool(abs(value) <= (atol or FLOATS))
    except (ArithmeticError, LookupError, TypeError):
        return False
