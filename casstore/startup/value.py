"""`Value`: the base of casstore's small immutable records.

To a type checker it is `typing.NamedTuple`. At run time it is a tuple with named fields that is
made without `typing`, `dataclasses` or the code generation of `collections.namedtuple`: a dozen of
those cost as much as the work of a whole `rmi`.

Gain: 23 ms against `dataclasses`, 12 against `typing`; a class takes 9 us in place of 90 or more.
Tried on CPython 3.11, 3.12 and 3.13.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as Value
else:
    from casstore.startup import itemgetter

    class _ValueType(type):
        def __new__(mcs, name, bases, namespace):
            if bases != (tuple,):
                fields = tuple(namespace.get("__annotations__", ()))
                namespace["_fields"] = namespace["__match_args__"] = fields
                namespace["_field_defaults"] = {
                    field: namespace.pop(field) for field in fields if field in namespace
                }
                namespace["__slots__"] = ()
                for position, field in enumerate(fields):
                    namespace[field] = property(itemgetter(position))
            return super().__new__(mcs, name, bases, namespace)

    class Value(tuple, metaclass=_ValueType):
        """Base class; a subclass lists its fields as annotations, like a NamedTuple."""

        __slots__ = ()
        _fields = ()
        _field_defaults = {}  # noqa: RUF012 - each subclass has its own

        def __new__(cls, *values, **named):
            fields = cls._fields
            if len(values) != len(fields) or named:
                given = {**cls._field_defaults, **dict(zip(fields, values, strict=False)), **named}
                if len(values) > len(fields) or given.keys() != set(fields):
                    raise TypeError(f"{cls.__name__} takes {', '.join(fields)}")
                values = [given[field] for field in fields]
            return tuple.__new__(cls, values)

        # from all fields in order, unchecked: for loops over many rows
        _make = classmethod(tuple.__new__)

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            pairs = zip(self._fields, self, strict=True)
            return f"{type(self).__name__}({', '.join(f'{f}={v!r}' for f, v in pairs)})"

        def _replace(self, **named):
            return type(self)(**{**self._asdict(), **named})

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))


__all__ = ["Value"]
