"""JSON text of Go's values and of plain ones, byte for byte what `json.dumps` writes.

A document from JSON has lost the difference between Go's structs, maps, nil slices and nil maps;
`Struct`, `NilSlice` and `NilMap` bring it back. In JSON a struct keeps the order of its fields, a
map is sorted, and what is nil is null.

"""

from __future__ import annotations

from casstore.cli.jsonencoder import document_text


class Struct(dict[str, object]):
    """A record with fixed fields: any other field is an error. Prints as Go prints a struct."""

    def field(self, name: str) -> object:
        """The value of a field; KeyError if there is none."""
        return self[name]

    def complete(self) -> dict[str, object]:
        """All fields."""
        return self

    def document(self) -> dict[str, object]:
        """The fields that JSON shows."""
        return self.complete()


class Shown:
    """A value that JSON shows in a form of its own."""

    __slots__ = ()

    def as_json(self) -> object:
        """The value for JSON."""
        raise NotImplementedError


class _NilPointer(Shown):
    """A pointer to nothing: prints `<nil>`, is null in JSON and false in conditions."""

    __slots__ = ()

    def as_json(self) -> object:
        return None

    def __bool__(self) -> bool:
        return False


NIL_POINTER = _NilPointer()


class NilSlice(list[object]):
    """A list that is null in JSON."""


class NilMap(dict[str, object]):
    """A map that is null in JSON."""


def json_text(value: object, indent: int | None = None) -> str:
    """JSON in UTF-8 where all of it can be shown, else in ASCII with escapes."""
    return document_text(_plain(value), indent)


def _plain(value: object) -> object:
    # maps are sorted as Go's encoder sorts them; structs keep the order of their fields
    if isinstance(value, (NilSlice, NilMap)):
        return None
    if isinstance(value, Struct):
        return {k: _plain(v) for k, v in value.document().items()}
    if isinstance(value, dict):
        return {k: _plain(value[k]) for k in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.as_json() if isinstance(value, Shown) else value
