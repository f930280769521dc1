"""JSON documents from strangers: whole, within limits, and typed field by field.

A document is one value, without NaN, without a key twice in one object (readers disagree
on which of the two counts: that is how one digest comes to mean two things), not deeper and not
larger than any real one. Whatever is wrong with it is one `Refused` that names the document.

`read` is for what the world writes about images, and reads it as the programs that write it do.
`parse` is strict, for what decides whom to trust, what to remove and how to decrypt.
"""

from __future__ import annotations

from casstore.errors import Refused, quote
from casstore.startup.scanner import NotScanned, scanned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.model.shape import Shape

MAX_DOCUMENT = 4 << 20  # manifest, config, oci-layout, docker's manifest.json
MAX_INDEX_JSON = 16 << 20  # index.json of an input
MAX_DEPTH = 100
MAX_VALUES = 1_000_000  # in one document: what keeps 16 MiB of "[]," from becoming half a gigabyte
MAX_DIGITS = 400  # of one number; the longest double has 309
MAX_SIZE = (1 << 63) - 1  # sizes are int64 in every other implementation

_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)


def read(data: bytes, name: str, shape: Shape, *, limit: int = MAX_DOCUMENT) -> Any:
    """The one JSON value in `data`, in shape, however untidily it is written.

    A byte that is not UTF-8, and half a surrogate pair, are U+FFFD in the value. `data` itself is
    what is stored and hashed.

    Raises:
        Refused: too large, too deep, not JSON, a key twice, NaN or Infinity.
    """
    return shape(_parse(data, name, limit, strict=False), name)


def parse(data: bytes, name: str, *, limit: int = MAX_DOCUMENT) -> Any:
    """The one JSON value in `data`, as it stands.

    Args:
        data: the bytes as they were hashed.
        name: what messages call the document.
        limit: bytes allowed.

    Raises:
        Refused: as `read`; or not UTF-8.
    """
    return _parse(data, name, limit, strict=True)


def without_surrogates(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair, as Go's decoder has it."""
    return text.translate(_SURROGATES)


def _text_of(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # one for each byte, where "replace" has one for each sequence that was cut
        return without_surrogates(data.decode("utf-8", "surrogateescape"))


def _parse(data: bytes, name: str, limit: int, *, strict: bool) -> Any:
    if len(data) > limit:
        raise Refused(f"{name} exceeds the limit of {limit} bytes")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise Refused(f"{name} exceeds the limit of {MAX_VALUES} values")
    try:
        text = data.decode("utf-8") if strict else _text_of(data)
        value = _value(text)
        if _may_be_deep(data):
            _check_depth(value)
        if "\\ud" in text or "\\uD" in text:
            if strict:
                import json

                # half of a surrogate pair is legal in a JSON string, but no text at all
                json.dumps(value, ensure_ascii=False).encode("utf-8")
            else:
                value = _paired(value)
    except UnicodeEncodeError:
        raise Refused(f"{name} is not valid JSON: half a surrogate pair") from None
    except UnicodeDecodeError:
        raise Refused(f"{name} is not UTF-8") from None
    except RecursionError:
        raise Refused(f"{name} is nested more than {MAX_DEPTH} deep") from None
    except _Wrong as wrong:
        raise Refused(f"{name} {wrong}") from None
    except ValueError as error:
        raise Refused(f"{name} is not valid JSON: {_reason(error)}") from None
    return value


class Fields:
    """A JSON object and the name of the document that it stands in; getters check the type.

    Null is the same as absent, as it is for every Go program that writes these documents.
    """

    __slots__ = ("name", "values")

    def __init__(self, value: object, name: str) -> None:
        if not isinstance(value, dict):
            raise Refused(f"{name} is not a JSON object")
        self.values: dict[str, Any] = value
        self.name = name

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, "is not a string")
        return value

    def size(self, key: str) -> int:
        """A count of bytes, which must be there."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SIZE:
            raise self.wrong(key, "is not a size")
        return value

    def flag(self, key: str) -> bool:
        """A boolean; False where there is none."""
        value = self.values.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.wrong(key, "is not a boolean")
        return value

    def items(self, key: str) -> list[Any]:
        """A list; empty where there is none."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "is not a list")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of strings; empty where there is none."""
        value = self.items(key)
        if value and not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "is not a list of strings")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """An object; empty where there is none."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(key, "is not an object")
        return value

    def text_mapping(self, key: str) -> dict[str, str]:
        """An object of strings (annotations, labels); empty where there is none."""
        value = self.mapping(key)
        if value and not all(isinstance(item, str) for item in value.values()):
            raise self.wrong(key, "is not an object of strings")
        return value

    def fields(self, key: str) -> Fields:
        """An object that must be there, with getters of its own."""
        return Fields(self.values.get(key), f"{quote(key)} of {self.name}")

    def wrong(self, key: str, what: str) -> Refused:
        """A refusal of the field `key`."""
        return Refused(f"{quote(key)} of {self.name} {what}")


class _Wrong(ValueError):
    """Legal JSON that is refused; the text goes on from the document's name."""


def _value(text: str) -> Any:
    """`json.loads(text)`, strict."""
    try:
        return scanned(text, _Strictly)
    except NotScanned:
        return _loads(text)


def _loads(text: str) -> Any:
    import json

    return json.loads(
        text,
        object_pairs_hook=_unique,
        parse_constant=_constant,
        parse_int=_integer,
        parse_float=_real,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Wrong(f"has the key {quote(key)} twice in one object")
            seen.add(key)
    return value


def _constant(text: str) -> object:
    raise _Wrong(f"is not valid JSON: {text}")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _Wrong(f"has a number of more than {MAX_DIGITS} digits")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if value - value != 0:  # infinite
        raise _Wrong(f"has a number that is too large: {quote(text)}")
    return value


class _Strictly:
    """What the scanner asks of the decoder it works for."""

    strict = True
    array_hook = None  # asked for from Python 3.15 on
    object_hook = None
    object_pairs_hook = staticmethod(_unique)
    parse_constant = staticmethod(_constant)
    parse_int = staticmethod(_integer)
    parse_float = staticmethod(_real)


def _paired(value: Any) -> Any:
    """`value`, which is not deep, with U+FFFD for each half of a surrogate pair."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, list):
        return [_paired(item) for item in value]
    if isinstance(value, dict):
        return _unique([(_paired(key), _paired(item)) for key, item in value.items()])
    return value


def _may_be_deep(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") > MAX_DEPTH


def _check_depth(value: object) -> None:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise _Wrong(f"is nested more than {MAX_DEPTH} deep")


def _reason(error: ValueError) -> str:
    message = getattr(error, "msg", None)
    position = getattr(error, "pos", None)
    return f"{message} at character {position}" if message else "malformed"
