"""Numbers every test and assertion of the tests' source, and counts those that begin and those that end well."""

from __future__ import annotations

import ast
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_RAISES = {
    *("raises", "warns", "deprecated_call", "assertRaises", "assertRaisesRegex"),
    *("assertWarns", "assertWarnsRegex", "assertLogs", "assertNoLogs"),
}
_MAINS = {"unittest", "pytest", "doctest", "nose"}


class Account:
    """What has run: the tests' source calls it as ``__mft__``."""

    def __init__(self, lenient: bool) -> None:
        self.lenient = lenient
        self.places: list[str] = []
        self.optional: set[int] = set()
        self.tests: set[int] = set()
        self.began: dict[int, int] = {}
        self.ended: dict[int, int] = {}
        self.failed: set[int] = set()

    def add(self, what: str, node: Any, optional: bool = False) -> int:
        """Number a place; an optional one may be left by an error."""
        self.places.append(f"{what} in line {node.lineno}")
        if optional:
            self.optional.add(len(self.places) - 1)
        return len(self.places) - 1

    def begin(self, *numbers: int) -> None:
        """Places are reached."""
        for number in numbers:
            self.began[number] = self.began.get(number, 0) + 1

    def done(self, number: int, _began: Any = None, value: Any = None) -> Any:
        """A place has ended well."""
        self.ended[number] = self.ended.get(number, 0) + 1
        return value

    def check(self, number: int, _began: Any, value: Any) -> bool:
        """Take the truth of an assertion; it counts as failed even if somebody catches the error."""
        holds = bool(value)
        self.done(number)
        if not holds:
            self.failed.add(number)
        return holds or self.lenient

    def fail(self, number: int) -> None:
        """A place that must not be reached is reached."""
        self.begin(number)
        self.done(number)
        self.failed.add(number)

    def assertions(self) -> dict[str, int]:
        """Numbers of assertions: of all, of those that held, and of those that failed.

        The others did not run, or were left by an error. That a test is reached is no evidence, so it does not count.
        """
        numbers = set(range(len(self.places))) - self.tests
        held = {
            number
            for number in numbers - self.failed
            if number in self.began
            and (number in self.optional or self.ended.get(number, 0) >= self.began[number])
        }
        return {"all": len(numbers), "held": len(held), "failed": len(self.failed)}

    def not_run(self) -> list[str]:
        """Places that never began, or that an error left and nobody saw."""
        found = [
            f"{place} was never reached"
            for number, place in enumerate(self.places)
            if number not in self.began
        ]
        for number, times in self.began.items():
            if number not in self.optional and self.ended.get(number, 0) < times:
                found.append(f"{self.places[number]} was left by an error")
        return found


class Numbered(ast.NodeTransformer):
    """Rewrites the tests' tree so that it keeps the account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.raising = 0
        self.guards: list[int] = []
        self.holders: list[tuple[Any, list[int]]] = []
        """Functions with the numbers of the assertions in them."""

    def whole(self, tree: ast.Module) -> ast.Module:
        """Rewrite the tests."""
        tree.body = self.block(tree.body)
        return ast.fix_missing_locations(tree)

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Rewrite the body of a module or function; guards count as run when their statement is reached."""
        found: list[ast.stmt] = []
        for node in body:
            outer, self.guards = self.guards, []
            made = self.visit(node)
            if self.guards:
                found.append(ast.copy_location(ast.Expr(_call("begin", *self.guards)), node))
            self.guards = outer
            found += made if isinstance(made, list) else [made] if made is not None else []
        if found and _is_docstring(body[0]) and found[0] is not body[0]:
            found.insert(0, body[0])
        return found

    def _function(self, node: Any) -> Any:
        raising, self.raising = self.raising, 0
        first = len(self.account.places)
        is_test = node.name.startswith("test")
        number = self.account.add(f"the test {node.name}", node, optional=True) if is_test else None
        self.account.tests |= set() if number is None else {number}
        body = self.block(node.body)
        at = 1 if body and _is_docstring(body[0]) else 0
        if number is not None:
            body.insert(at, ast.copy_location(ast.Expr(_call("begin", number)), node))
        node.body = body
        self.holders.append((node, list(range(first, len(self.account.places)))))
        self.raising = raising
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        """Number a test, and what it asserts."""
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        """As ``visit_FunctionDef``."""
        return self._function(node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        """Have an assertion's truth taken down before it raises."""
        if isinstance(node.test, ast.Constant) and not node.test.value:
            return self._guard(node, node)
        number = self.account.add("the assertion", node, optional=bool(self.raising))
        test = self.visit(node.test)
        error = ast.Call(ast.Name("AssertionError", ast.Load()), [node.msg] if node.msg else [], [])
        unless = ast.UnaryOp(ast.Not(), _call("check", number, _call("begin", number), test))
        return ast.copy_location(ast.If(unless, [ast.Raise(error, None)], []), node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        """``raise AssertionError`` is as ``assert False``."""
        called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        is_failure = isinstance(called, ast.Name) and called.id == "AssertionError"
        return self._guard(node, node) if is_failure else self.generic_visit(node)

    def _guard(self, node: Any, kept: Any) -> Any:
        number = self.account.add("the guard", node, optional=True)
        self.guards.append(number)
        return [ast.copy_location(ast.Expr(_call("fail", number)), node), kept]

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Leave out calls that would run the tests once more."""
        value = node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            holder = value.func.value
            if (
                value.func.attr in {"main", "testmod"}
                and isinstance(holder, ast.Name)
                and holder.id in _MAINS
            ):
                return ast.copy_location(ast.Pass(), node)
            if value.func.attr == "fail":
                return self._guard(node, node)
            if _is_exit(value) and "main" in ast.dump(value):
                return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        """Number calls of functions and methods whose names begin with "assert"."""
        name = _name(node.func)
        if not (name.startswith("assert") or name in {"raises", "warns"}):
            return self.generic_visit(node)
        number = self.account.add("the assertion", node, optional=bool(self.raising))
        made = self.generic_visit(node)
        return ast.copy_location(_call("done", number, _call("begin", number), made), node)

    def _with(self, node: Any) -> Any:
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        expected = [call for call in calls if _name(call.func) in _RAISES]
        if not expected:
            return self.generic_visit(node)
        number = self.account.add("the assertion", node, optional=bool(self.raising))
        self.raising += 1
        for item in node.items:
            if item.context_expr not in expected:
                item.context_expr = self.visit(item.context_expr)
        node.body = [one for part in node.body for one in _listed(self.visit(part))]
        self.raising -= 1
        before, after = (ast.copy_location(ast.Expr(_call(name, number)), node) for name in ("begin", "done"))
        return [before, node, after]

    def visit_With(self, node: ast.With) -> Any:
        """Number a statement that expects an error or a warning."""
        return self._with(node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> Any:
        """As ``visit_With``."""
        return self._with(node)

    def visit_If(self, node: ast.If) -> Any:
        """Run what stands under ``if __name__ == "__main__"``."""
        test = node.test
        if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
            node.test = ast.copy_location(ast.Constant(True), test)
        return self.generic_visit(node)


def _listed(made: Any) -> list[Any]:
    return made if isinstance(made, list) else [] if made is None else [made]


def _call(name: str, *given: Any) -> ast.Call:
    arguments = [ast.Constant(one) if isinstance(one, int) else one for one in given]
    return ast.Call(ast.Attribute(ast.Name("__mft__", ast.Load()), name, ast.Load()), arguments, [])


def _name(called: ast.expr) -> str:
    return (
        called.attr
        if isinstance(called, ast.Attribute)
        else called.id
        if isinstance(called, ast.Name)
        else ""
    )


def _is_exit(value: ast.Call) -> bool:
    return _name(value.func) in {"exit", "_exit", "quit"}


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def docstrings(tree: ast.Module) -> list[tuple[str, str, int]]:
    """Return (name, text, line) of every docstring with examples, read before the tree is rewritten."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS)):
            text = ast.get_docstring(node, clean=False)
            if text and ">>>" in text:
                found.append((getattr(node, "name", "tests"), text, getattr(node, "lineno", 1)))
    return found
