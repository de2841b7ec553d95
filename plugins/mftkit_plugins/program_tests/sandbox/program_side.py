"""The process that holds the program alone: loads it, and computes what the tests' process asks for."""

from __future__ import annotations

import builtins
import io
import json
import linecache
import os
import sys
import types
import warnings
from typing import Any

from mftkit_plugins.program_tests.sandbox import crossing, proxies
from mftkit_plugins.program_tests.sandbox.peer import Peer


class ProgramSide(Peer):
    """Serves requests; what the program prints goes along with the next message."""

    error_classes: dict[type, int]

    def news(self) -> dict[str, Any]:
        """Return also what the program printed."""
        found = super().news()
        for key, stream in (("o", sys.stdout), ("e", sys.stderr)):
            if isinstance(stream, Printed) and (text := stream.taken()):
                found[key] = text
        if self.warned:
            found["w"], self.warned = self.warned, []
        return found

    warned: list[tuple[str, str]]

    def warn(self, message: Any, category: type, *_place: Any, **_more: Any) -> None:
        """Keep a warning for the tests."""
        self.warned.append((category.__name__, str(message)))

    def perform(self, operation: str, given: list[Any], named: dict[str, Any]) -> Any:
        """Also load the program."""
        if operation == "change":
            crossing.change(getattr(given[0], given[1]), given[2])
            return None
        return self.load(*given) if operation == "load" else super().perform(operation, given, named)

    def load(self, source: str) -> dict[str, Any]:
        """Execute the program as the module ``solution``; return its names."""
        module = types.ModuleType("solution")
        module.__file__ = "solution.py"
        sys.modules["solution"] = module
        with open("solution.py", "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(source)
        linecache.cache["solution.py"] = (len(source), None, source.splitlines(keepends=True), "solution.py")
        exec(compile(source, "solution.py", "exec"), module.__dict__)
        names = {name: value for name, value in vars(module).items() if name[:2] != "__"}
        for name, value in names.items():
            self.share(name, value)
        return {"module": module, "names": names}


class Printed(io.StringIO):
    """Standard output of the program."""

    def taken(self) -> str:
        """Return what was printed since the last time."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class Asked(io.TextIOBase):
    """Standard input of the program, which the tests may have set."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def readline(self, *_size: Any) -> str:  # type: ignore[override]
        """Ask the tests' process."""
        return self.peer.request("readline")  # type: ignore[no-any-return]

    def read(self, *_size: Any) -> str:
        """Return all lines."""
        return "".join(iter(self.readline, ""))

    def readable(self) -> bool:
        """It can be read."""
        return True


def main(read: Any, write: Any) -> None:
    """Serve until the line ends."""
    peer = ProgramSide(read, write)
    peer.error_classes = {}
    peer.warned = []
    warnings.simplefilter("always")
    warnings.showwarning = peer.warn
    proxies.PEER[0] = peer
    sys.stdin = Asked(peer)
    sys.stdout, sys.stderr = Printed(), Printed()
    builtins.input = lambda prompt="": peer.request("input", str(prompt))
    while line := read():
        message = json.loads(line)
        peer.take_news(message)
        peer.serve(message)
    os._exit(0)
