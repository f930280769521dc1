"""Parts and verbs of an object, and methods of a class, imported when they are first asked for.

`Store` has some sixty methods, and a command uses one of them. To import all of them, with what
their signatures name, took 1.35 ms; a part alone takes 0.2. `cached_property` is functools' own,
which would be another import.

Gain: 1.1 ms for the parts of `Store`, 2.5 for `cached_property`; 0.17 ms of an rmi, or 1.65 million
instructions, for methods of the index that it does not call. Tried on CPython 3.11, 3.12 and 3.13.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import cached_property
    from typing import Any
else:

    class cached_property:  # noqa: N801 - its name in functools
        """As in functools: an attribute that is made when it is first asked for, and kept."""

        def __init__(self, make: Callable[[Any], object]) -> None:
            self._make = make
            self._name = make.__name__
            self.__doc__ = make.__doc__

        def __get__(self, owner: Any, kind: type) -> object:
            if owner is None:
                return self
            part = owner.__dict__[self._name] = self._make(owner)
            return part


__all__ = ["Part", "Verb", "cached_property", "completed"]


def _class(where: str) -> Any:
    module, _, name = where.rpartition(".")
    kind = getattr(__import__(f"casstore.store.{module}", fromlist=(name,)), name)
    hints = sys.modules.get("casstore.startup.hints")  # imported by the front door, if it is used
    return kind if hints is None else hints.resolvable(kind)


def completed(where: str, names: str) -> Callable[[Any, str], Any]:
    """A `__getattr__` for a class, some of whose methods stand in a class of another module.

    They become its own when one of them is first asked for; what it has by then stays. To a type
    checker the class inherits them; `super()` does not find them.

    Args:
        where: a module of the package, and the class in it.
        names: of its methods, less the private ones.
    """
    late = frozenset(names.split())

    def complete(owner: Any, name: str) -> Any:
        own = next(one for one in type(owner).__mro__ if vars(one).get("__getattr__") is complete)
        if name not in late:
            above = getattr(super(own, owner), "__getattr__", None)
            if above is not None:
                return above(name)
            raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
        module, _, kind = where.rpartition(".")
        there = getattr(__import__(f"casstore.{module}", fromlist=(kind,)), kind)
        for each, method in vars(there).items():
            if not each.startswith("__") and each not in vars(own):
                setattr(own, each, method)
        return getattr(owner, name)

    return complete


class Part:
    """An attribute that is a part, made of the owner's session when it is first asked for."""

    def __init__(self, where: str) -> None:
        """`where` is a module of the store room, and a class in it."""
        self._where = where

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return _class(self._where)
        parts = owner.parts
        if self._where not in parts:
            parts[self._where] = _class(self._where)(owner.session)
        return parts[self._where]


class Verb(Part):
    """A method that stands in a part; asked of the class, it is a function of the owner."""

    def __init__(self, where: str, name: str) -> None:
        self._where = where  # not by super(): there are some sixty of these
        self._name = name

    def __get__(self, owner: Any, kind: type) -> Any:
        method = getattr(super().__get__(owner, kind), self._name)
        if owner is not None:
            return method
        from functools import wraps

        @wraps(method)
        def verb(owner: Any, *args: Any, **named: Any) -> Any:
            return self.__get__(owner, type(owner))(*args, **named)

        return verb
