"""Documents in Docker's shape, with the types that JSON has lost: what a template sees of them."""

from __future__ import annotations

from casstore.cli.gotime import Duration, Time
from casstore.cli.govalues import RawMap
from casstore.cli.jsontext import NIL_POINTER, NilMap, NilSlice, Struct
from casstore.model.dockertypes import DURATION, LIST, MAP, NO_TIME, POINTER, TIME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casstore.model.dockertypes import Field

ID = "Id"


class _Record(Struct):
    """A record of a type: JSON leaves out what is empty and said to be left out then."""

    def __init__(self, fields: Mapping[str, object], omitted: frozenset[str]) -> None:
        super().__init__(fields)
        self._omitted = omitted

    def field(self, name: str) -> object:
        """A field. Go calls an image's ID by another name than its JSON: both are known here."""
        return self[ID if name == "ID" and ID in self else name]

    def document(self) -> dict[str, object]:
        """The fields that JSON shows."""
        return {name: value for name, value in self.items() if name not in self._omitted}


def record(fields: tuple[Field, ...], given: Mapping[str, object]) -> Struct:
    """A record with every field of its type, and behind them what the type does not know."""
    values = {field.name: _of_kind(field, given.get(field.name)) for field in fields}
    values |= {key: _plain(value) for key, value in given.items() if key not in values}
    empty = frozenset(f.name for f in fields if f.omitted and not given.get(f.name))
    return _Record(values, empty)


def untyped(value: object) -> object:
    """A document of JSON without any type: an unknown key is an error."""
    if isinstance(value, dict):
        return RawMap({str(k): untyped(v) for k, v in value.items()})
    return [untyped(v) for v in value] if isinstance(value, (list, tuple)) else value


def _of_kind(field: Field, value: object) -> object:
    if isinstance(value, dict) and field.fields:
        return record(field.fields, value)
    if value is None or (field.omitted and not value):
        return _zero(field)
    if field.kind == DURATION and isinstance(value, int):
        return Duration(value)
    if field.kind == TIME and isinstance(value, str):
        return Time(value)
    return _plain(value)


def _zero(field: Field) -> object:
    if field.kind == POINTER:
        return NIL_POINTER
    if field.fields:
        return record(field.fields, {})
    zeros = {LIST: NilSlice(), MAP: NilMap(), DURATION: Duration(0), "int": 0, "bool": False}
    return Time(NO_TIME) if field.kind == TIME else zeros.get(field.kind, "")


def _plain(value: object) -> object:
    # what no type tells of: `map[string]struct{}` has empty structs
    if isinstance(value, dict):
        return {str(k): Struct() if v == {} else _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
