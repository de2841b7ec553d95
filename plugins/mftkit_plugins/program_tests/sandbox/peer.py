"""One end of the line between the program and its tests: requests in both directions, one inside the other."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from mftkit_plugins.program_tests.sandbox import crossing, proxies
from mftkit_plugins.program_tests.sandbox.operations import OPERATIONS
from mftkit_plugins.program_tests.sandbox.plain import CannotCrossError, decode, encode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_MUTABLE = (list, dict, set, bytearray)
_CHANGED = {
    *("list", "dict", "set", "bytearray", "deque", "ndarray"),
    *("Counter", "OrderedDict", "defaultdict"),
}
"""Types of arguments that a function may change in place."""


class EndedError(BaseException):
    """The other process has ended."""


class Peer:
    """Sends requests, serves those of the other side, and keeps the objects that the other side holds handles of."""

    trusted = True
    """Whether the other side may ask for anything."""

    def __init__(self, read: Callable[[], str], write: Callable[[str], None]) -> None:
        self.read = read
        self.write = write
        self.lock = threading.RLock()
        self.objects: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}
        self.made: dict[int, Any] = {}
        self.described: set[int] = set()
        self.shared: dict[str, tuple[Any, str]] = {}
        self.mirrored: dict[int, tuple[Any, str]] = {}
        """Lists, dictionaries and sets of the program's own classes, with their data as the other side knows it."""
        self.functions: dict[Any, int] = {}
        self.of_objects = False
        self.loop: asyncio.AbstractEventLoop | None = None

    def number(self, value: Any) -> int:
        """Keep an object, and return the number of its handle."""
        if id(value) not in self.numbers:
            number = len(self.objects)
            self.objects[number] = value
            self.numbers[id(value)] = number
        return self.numbers[id(value)]

    def encode(self, value: Any) -> Any:
        """Return a value as JSON."""
        return encode(value, lambda other: crossing.leave(self, other))

    def decode(self, given: Any) -> Any:
        """Return the value of JSON."""
        return decode(given, lambda other: crossing.arrive(self, other))

    def request(self, operation: str, *given: Any, **named: Any) -> Any:
        """Have the other side do something, and return or raise what came of it."""
        with self.lock:
            message = {
                "op": operation,
                "a": [self.encode(value) for value in given],
                "k": {name: self.encode(value) for name, value in named.items()},
                **self.news(),
            }
            self.write(json.dumps(message))
            while True:
                line = self.read()
                answer = json.loads(line) if line else {"dead": "the other process has ended"}
                if "dead" in answer:
                    raise EndedError(answer["dead"])
                self.take_news(answer)
                if "op" not in answer:
                    return self.result(answer, operation, given)
                self.serve(answer)

    def result(self, answer: dict[str, Any], operation: str, given: tuple[Any, ...]) -> Any:
        """Return or raise what an answer holds, after changing the arguments that changed."""
        for place, changed in answer.get("m", {}).items():
            crossing.change(given[int(place)], self.decode(changed))
        if "cannot" in answer:
            raise CannotCrossError(answer["cannot"])
        if "x" in answer:
            raise crossing.honoured(self, self.decode(answer["x"]), operation)
        returned = answer["v"]
        if isinstance(returned, list) and returned[0] == "same":
            return given[returned[1]]
        return self.decode(returned)

    def serve(self, message: dict[str, Any]) -> None:
        """Do what the other side asks for, and answer."""
        answer: dict[str, Any] = {}
        given: list[Any] = []
        try:
            given = [self.decode(value) for value in message["a"]]
            named = {name: self.decode(value) for name, value in message["k"].items()}
            answer["v"] = self.returned(self.perform(message["op"], given, named), given)
        except CannotCrossError as error:
            answer = {"cannot": str(error)}
        except EndedError:
            raise
        except BaseException as error:
            answer = {"x": crossing.leave_error(self, error)}
        answer["m"] = self.changed(given, message["a"])
        self.write(json.dumps({**answer, **self.news()}))

    def returned(self, value: Any, given: list[Any]) -> Any:
        """Return JSON for a result; one that is an argument stays that argument."""
        for place, one in enumerate(given):
            if one is value and isinstance(value, _MUTABLE):
                return ["same", place]
        return self.encode(value)

    def changed(self, given: list[Any], before: list[Any]) -> dict[str, Any]:
        """Return the arguments that were changed in place, by position."""
        found = {}
        for place, value in enumerate(given):
            if type(value).__name__ in _CHANGED:
                now = self.encode(value)
                if json.dumps(now) != json.dumps(before[place]):
                    found[str(place)] = now
        return found

    def perform(self, operation: str, given: list[Any], named: dict[str, Any]) -> Any:
        """Do one operation."""
        self.permit(operation, given)
        if operation in {"await", "__anext__", "__aenter__", "__aexit__"}:
            return self.run(operation, given)
        function = OPERATIONS[operation]
        return function(*given, **named)

    def permit(self, operation: str, given: list[Any]) -> None:
        """Raise PermissionError for what the other side may not do."""

    def run(self, operation: str, given: list[Any]) -> Any:
        """Await something in an event loop, in a thread of its own if one runs already."""
        import asyncio  # takes a third of the start of a process, and few programs need it

        async def waits() -> Any:
            return await (given[0] if operation == "await" else getattr(given[0], operation)(*given[1:]))

        if asyncio._get_running_loop() is None:
            self.loop = self.loop or asyncio.new_event_loop()
            return self.loop.run_until_complete(waits())
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(asyncio.run(waits())))
        thread.start()
        thread.join()
        return results[0]

    def share(self, name: str, value: Any) -> None:
        """Keep a container that both sides may change the same on both."""
        if type(value) in _MUTABLE:
            self.shared[name] = value, json.dumps(self.encode(value))

    def news(self) -> dict[str, Any]:
        """Return what changed in shared containers, and what was printed."""
        found = {}
        for name, (value, before) in self.shared.items():
            now = self.encode(value)
            if (text := json.dumps(now)) != before:
                found[name] = now
                self.shared[name] = value, text
        mirrored = {}
        for number, (value, before) in self.mirrored.items():
            now = self.encode(crossing.data_of(value))
            if (text := json.dumps(now)) != before:
                mirrored[str(number)] = now
                self.mirrored[number] = value, text
        return {**({"g": found} if found else {}), **({"r": mirrored} if mirrored else {})}

    def watch(self, owner: Any, name: str, value: Any) -> None:
        """Look whether a container that was read from an object is changed here."""

    def take_news(self, message: dict[str, Any]) -> None:
        """Change shared containers as they were changed on the other side."""
        for name, now in message.get("g", {}).items():
            if name in self.shared:
                value = self.shared[name][0]
                crossing.change(value, self.decode(now))
                self.shared[name] = value, json.dumps(self.encode(value))
        for number, now in message.get("r", {}).items():
            if int(number) in self.mirrored:
                value = self.mirrored[int(number)][0]
                proxies.refreshed(value, self.decode(now))
                self.mirrored[int(number)] = value, json.dumps(now)
