"""Old names of the plugin interface: they keep working, and a DeprecationWarning gives the new one.

An interface keeps an old attribute by one line, ``hold = RenamedAttribute("minibatch_reuse")``, a dataclass keeps old
fields by the decorator ``renamed_fields``. Core itself reads only the new names.
"""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that ``old`` is now ``new``; with the default, at the caller of the function that calls this."""
    warnings.warn(
        f"{old} is now {new}; the old name will be removed", DeprecationWarning, stacklevel=stacklevel
    )


class RenamedAttribute:
    """The old name of an attribute or method: reading and setting it warns, and reaches the new name.

    >>> class Balancer:
    ...     minibatch_reuse = 1
    ...     hold = RenamedAttribute("minibatch_reuse")
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     (Balancer().hold, str(caught[0].message))
    (1, 'Balancer.hold is now Balancer.minibatch_reuse; the old name will be removed')
    """

    def __init__(self, new: str) -> None:
        self.new = new
        self.old = ""
        self.owner: type = object

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner, self.old = owner, name

    def __get__(self, instance: object, owner: type) -> Any:
        self.warn(self.owner)
        if instance is None:
            return getattr(owner, self.new)
        overrides = [
            base for base in type(instance).__mro__ if self.old in vars(base) and base is not self.owner
        ]
        if overrides:  # super().old() in the last of them: the next class up is meant, under the new name
            return getattr(super(overrides[-1], instance), self.new)
        return getattr(instance, self.new)

    def __set__(self, instance: object, value: object) -> None:
        self.warn(self.owner)
        setattr(instance, self.new, value)

    def warn(self, owner: type, stacklevel: int = 4) -> None:
        """Warn of a use of the old name in ``owner``."""
        warn_renamed(f"{owner.__name__}.{self.old}", f"{owner.__name__}.{self.new}", stacklevel)


def adopt_old_names(cls: type) -> None:
    """Give what a new subclass defines or mixes in under an old name the new name, with a warning.

    The first class in the method resolution order that defines either name decides. One that defines both, to work
    with older versions too, is left as it is.
    """
    for position, base in enumerate(cls.__mro__[1:], start=1):
        for old, renamed in list(vars(base).items()):
            if not isinstance(renamed, RenamedAttribute):
                continue
            names = {old, renamed.new}
            definer = next((found for found in cls.__mro__[:position] if names & vars(found).keys()), None)
            if definer is None or renamed.new in vars(definer):
                continue
            renamed.warn(cls, stacklevel=5)
            value = vars(definer)[old]
            setattr(cls, renamed.new, value)
            if definer is cls and not callable(
                value
            ):  # else ``super().old()`` in the method still finds its place
                delattr(cls, old)


def renamed_fields(**new_names: str) -> Callable[[type[T]], type[T]]:
    """Decorate a dataclass so that old field names work as attributes and as keywords of the constructor.

    >>> from dataclasses import dataclass
    >>> @renamed_fields(counts="loss_mask")
    ... @dataclass(frozen=True)
    ... class Sample:
    ...     loss_mask: list[bool]
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     (Sample(counts=[True]).loss_mask, len(caught))
    ([True], 1)
    """

    def decorate(cls: type[T]) -> type[T]:
        original = cls.__init__

        @functools.wraps(original)
        def init(self: T, *args: object, **fields: object) -> None:
            for old in new_names.keys() & fields.keys():
                warn_renamed(f"{cls.__name__}({old}=...)", f"{cls.__name__}({new_names[old]}=...)")
                fields[new_names[old]] = fields.pop(old)
            original(self, *args, **fields)

        cls.__init__ = init  # type: ignore[method-assign, assignment]
        for old, new in new_names.items():
            if old not in vars(cls):  # a class may define how its old field is read
                renamed = RenamedAttribute(new)
                setattr(cls, old, renamed)
                renamed.__set_name__(cls, old)
        return cls

    return decorate
