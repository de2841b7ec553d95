"""A kind of component with all that the program needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mftkit_registry import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.interfaces.component import Component

C_co = TypeVar("C_co", bound="Component", covariant=True)


@dataclass(frozen=True, kw_only=True)
class ComponentKind(Kind[C_co]):
    """A kind: name, interface, place in the spec, conformance suite and scaffold templates.

    >>> ComponentKind("loss", "mftkit.interfaces.loss:Loss", place="loss").suite
    'mftkit.testing:LossConformance'
    """

    place: str
    """Its place in the spec: keys with dots, "[]" after one that holds a list; an option that names a component of
    this kind stands behind "options"."""
    further_places: tuple[str, ...] = ()
    """More places in the spec, written as ``place``."""
    suite: str = ""
    """Import string of the conformance suite; by default it is named after the interface, in ``mftkit.testing``."""
    templates: Path | None = None
    """Directory of the scaffold's templates; None: the one of its name among the scaffold's own."""

    def __post_init__(self) -> None:
        if not self.suite:
            object.__setattr__(self, "suite", f"mftkit.testing:{self.interface_name}Conformance")

    @property
    def places(self) -> tuple[str, ...]:
        """All its places in the spec."""
        return (self.place, *self.further_places)

    @property
    def is_option(self) -> bool:
        """True if its components are named in options of other components, not in the spec itself."""
        return ".options." in self.place

    @property
    def noun(self) -> str:
        """The last word of the name: ends the names of classes, and names modules.

        >>> ComponentKind("gradient-combiner", "mftkit:GradientCombiner", place="gradients").noun
        'combiner'
        """
        return self.name.rpartition("-")[2]

    def in_spec(self, component: str) -> str:
        """The place in the spec as JSON, with the text ``component`` in it.

        >>> ComponentKind("data-filter", "mftkit:DataFilter", place="tasks[].filters[]").in_spec("NAME")
        '"tasks": [{"filters": [NAME], ...}, ...]'
        """
        text = component
        keys = self.place.split(".")
        for depth, key in reversed(list(enumerate(keys))):
            if key.endswith("[]"):
                text = f"[{text}]" if depth == len(keys) - 1 else f"[{text}, ...]"
            text = f'"{key.removesuffix("[]")}": {text}'
            text = f"{{{text}, ...}}" if depth else text
        return text
