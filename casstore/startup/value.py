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
    try:
        from _collections import _tuplegetter as getter  # as namedtuple's fields are
    except ImportError:
        from _operator import itemgetter

        def getter(position, _doc):
            return property(itemgetter(position))

    class _ValueType(type):
        def __new__(mcs, name, bases, namespace):
            if bases != (tuple,):
                fields = tuple(namespace.get("__annotations__", ()))
                namespace["_fields"] = namespace["__match_args__"] = fields
                namespace["_field_defaults"] = defaults = {
                    field: namespace.pop(field) for field in fields if field in namespace
                }
                namespace["_last"] = tuple(defaults.values())  # of the last fields
                namespace["__slots__"] = ()
                for position, field in enumerate(fields):
                    namespace[field] = getter(position, None)
            return super().__new__(mcs, name, bases, namespace)

    class Value(tuple, metaclass=_ValueType):
        """Base class; a subclass lists its fields as annotations, like a NamedTuple."""

        __slots__ = ()
        _fields = ()
        _field_defaults = {}  # noqa: RUF012 - each subclass has its own
        _last = ()

        def __new__(cls, *values, **named):
            lacking = len(cls._fields) - len(values)
            if named or not 0 <= lacking <= len(cls._last):
                values += cls._given(lacking, named)
            elif lacking:
                values += cls._last[-lacking:]
            return tuple.__new__(cls, values)

        @classmethod
        def _given(cls, lacking, named):
            """The values of the last fields, so many of them, by their names or by default."""
            fields = cls._fields[-lacking:] if lacking > 0 else ()
            given = {**cls._field_defaults, **named}
            if lacking < 0 or not named.keys() <= {*fields} or not given.keys() >= {*fields}:
                raise TypeError(f"{cls.__name__} takes {', '.join(cls._fields)}")
            return tuple([given[field] for field in fields])

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
