"""`Value`: the base of casstore's small immutable records.

To a type checker it is `typing.NamedTuple`. At run time it is the same tuple, made without
importing `typing` or `dataclasses`: those cost more than a whole `rmi` (see BENCHMARKS.md).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as Value
else:
    from collections import namedtuple

    class _ValueType(type):
        def __new__(mcs, name, bases, namespace):
            if not bases:
                return super().__new__(mcs, name, bases, namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            base = namedtuple(name, fields, defaults=defaults, module=namespace["__module__"])
            namespace.setdefault("__slots__", ())
            namespace.pop("__classcell__", None)
            return type(name, (base,), namespace)

    class Value(metaclass=_ValueType):
        """Base class; a subclass lists its fields as annotations, like a NamedTuple."""


__all__ = ["Value"]
