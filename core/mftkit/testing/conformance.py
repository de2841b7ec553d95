"""Checks of every component of any kind: the base class of the suites."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.interfaces.component import TaskInfo
from mftkit.plugins import kinds
from mftkit.plugins.compatibility import interface_differences
from mftkit.plugins.options import describe_options
from mftkit.testing.assertions import advise, require
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mftkit.interfaces.component import Component

HEAVY = ("torch", "transformers")
"""Packages that ``mft plugins list`` must not import."""


class Conformance:
    """Base class of the suites: set ``component`` in a subclass; each ``test_`` method is one check.

    A check raises ``ConformanceError`` for a violation of the interface, and warns with ``ConformanceWarning`` of
    flaws that break nothing. Any other exception comes from the component.
    """

    component: ClassVar[type[Any]]
    """The component's class."""
    options: ClassVar[Mapping[str, Any]] = {}
    """The options to check it with, as in a spec."""
    tasks: ClassVar[tuple[TaskInfo, ...]] = (
        TaskInfo("first", samples=40, tokens=400, valid_samples=4),
        TaskInfo("second", samples=20, tokens=600, valid_samples=4),
        TaskInfo("third", samples=4, tokens=16, valid_samples=2),
    )
    """The tasks of the simulated run."""

    def make(self, tasks: tuple[TaskInfo, ...] | None = None) -> Any:
        """Return a new component with ``options``."""
        options = self.component.Options.model_validate(dict(self.options))
        return self.component(options, self.tasks if tasks is None else tasks)

    def stated(self, name: str) -> bool | None:
        """Return what the suite states about its component in the attribute ``name``; None if nothing.

        A class attribute of the component, as in earlier versions of the interface, is also read.
        """
        stated: bool | None = getattr(self, name)
        return getattr(self.component, name, None) if stated is None else stated

    def resized(self, count: int) -> Any:
        """Return a new component in a run of ``count`` tasks; None if its options name a missing task."""
        more = (TaskInfo(f"task-{i}", samples=9, tokens=90, valid_samples=2) for i in range(count))
        try:
            return self.make((*self.tasks, *more)[:count])
        except MftError:
            if count >= len(self.tasks):
                raise
            return None

    def test_methods_fit_the_interface(self) -> None:
        """Every required method is defined and accepts the arguments that core passes."""
        for kind in kinds.KINDS:
            if issubclass(self.component, kind.interface):
                differences = interface_differences(self.component, kind.interface)
                require(not differences, "; ".join(differences))

    def test_options_round_trip(self) -> None:
        """Options are the same after being written and read, as JSON and as Python values."""
        model = self.component.Options
        options = self.make().options
        for dumped in (json.loads(options.model_dump_json(by_alias=True)), options.model_dump(by_alias=True)):
            again = model.model_validate(dumped)
            require(again == options, f"options are written as {dumped}, but read back as {again!r}")

    def test_every_option_is_described(self) -> None:
        """Every option has a description, which ``mft plugins show`` prints."""
        bare = [key for key, _, _, text in describe_options(self.component.Options) if not text]
        if bare:
            advise(f"no description: {', '.join(bare)}; write a docstring below the field of Options")

    def test_listing_it_is_light(self) -> None:
        """Importing the plugin's front module in a new process loads neither torch nor transformers."""
        front = front_module(self.component)
        heavy = imported_by(front) if front else ()
        if heavy:
            advise(
                f"importing {front} loads {' and '.join(heavy)}, which delays every mft command: "
                'register "package.module:Class" instead of the class'
            )


def front_module(component: type[Component]) -> str | None:
    """Return the module that is imported to list the component; None if the class is in no importable package.

    This is the module of the closest entry point above the class, or else the outermost package of the class.
    """
    home = component.__module__
    points = {point.value.partition(":")[0] for point in entry_points(group="mft")}
    above = [module for module in points if f"{home}.".startswith(f"{module}.")]
    front = max(above, key=len, default=home.partition(".")[0])
    # Ask the finders, not sys.modules: an imported module may be a test file that no other process can find.
    outermost = front.partition(".")[0]
    return front if any(finder.find_spec(outermost, None) for finder in sys.meta_path) else None


@functools.cache
def imported_by(module: str) -> tuple[str, ...]:
    """Return the packages of ``HEAVY`` that a new process has loaded after importing ``module``."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; import {module}; "
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules) + chr(10))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = (done.stderr.strip().splitlines() or [""])[-1]
    require(done.returncode == 0, f"{module} cannot be imported in a new process: {last}")
    return tuple(last.split())
