"""What the signatures of the public interface show, down to the fields of what they show."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

import casstore
from casstore import Store
from casstore.startup.hints import resolvable

# Public names that stand for several types at once, and are none themselves.
ALIASES = {"Key", "Several", "StrPath", "Tell"}

# Of what is no value, the methods that are public too; and what a caller makes with its class.
_HANDLES = {"Lease", "ProgressCallback", "Stop"}
_MADE = {"Store", "Stop", "Transport"}

GROUPS: dict[str, Any] = {"leases": Store.leases, "trash": Store.trash, "settings": Store.settings}


def public_members(kind: type) -> Iterator[tuple[str, Any]]:
    """The methods and properties of a class, as functions; the constructor if a caller uses it."""
    for name, member in inspect.getmembers(kind):
        is_made = name == "__init__" and kind.__name__ in _MADE
        is_called = name == "__call__" and kind.__name__ in _HANDLES
        if name.startswith("_") and not (is_made or is_called):
            continue
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) or inspect.ismethod(function):
            yield name, function


def _parts(hint: Any) -> Iterator[type]:
    """The classes of casstore that a type is put together of."""
    origin = get_origin(hint)
    if isinstance(hint, (list, tuple)):
        for one in hint:
            yield from _parts(one)
    elif origin is not None:
        yield from _parts(origin)
        yield from _parts(get_args(hint))
    elif isinstance(hint, type) and hint.__module__.partition(".")[0] == "casstore":
        yield hint


def shown_types() -> dict[type, str]:
    """Every class of casstore that is shown, with what shows it."""
    of_aliases = {kind for name in ALIASES for kind in _parts(getattr(casstore, name))}
    found: dict[type, str] = {}

    def look(where: str, types: dict[str, Any]) -> None:
        for name, hint in types.items():
            for kind in _parts(hint):
                if kind in found or kind in of_aliases:
                    continue
                found[kind] = f"{where}({name})" if name != "return" else where
                resolvable(kind)  # which need not be public, nor come through the front door
                if issubclass(kind, tuple):
                    look(kind.__name__, get_type_hints(kind))
                for member, function in public_members(kind):
                    if function.__module__.partition(".")[0] != "casstore":
                        continue  # of str or tuple
                    is_property = isinstance(inspect.getattr_static(kind, member), property)
                    if is_property or member == "__init__" or kind.__name__ in _HANDLES:
                        look(f"{kind.__name__}.{member}", get_type_hints(function))

    for group, owner in {"": Store, **GROUPS}.items():
        if group:
            found[owner] = f"Store.{group}"
        for name, function in public_members(owner):
            look(f"{owner.__name__}.{name}", get_type_hints(function))
    for name in casstore.__all__:
        public = getattr(casstore, name)
        if inspect.isfunction(public):
            look(name, get_type_hints(public))
    return found
