"""JSON text of Go's values and of plain ones, byte for byte what `json.dumps` writes.

A document from JSON has lost the difference between Go's structs, maps, nil slices and nil maps;
`Struct`, `NilSlice` and `NilMap` bring it back. In JSON a struct keeps the order of its fields, a
map is sorted, and what is nil is null.

Importing json costs as much as all else that `inspect` does, because it brings `re`. What a
command prints is strings, numbers, lists and objects: forty lines. A test compares them with json.
"""

from __future__ import annotations

# What must not stand in a string (RFC 8259, section 7), in json's spelling.
_ESCAPES = {
    **{number: f"\\u{number:04x}" for number in range(0x20)},
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord("\f"): "\\f",
    ord("\b"): "\\b",
}


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


def as_it_is(value: object) -> object:
    """A document for JSON, its keys in the order in which they stand."""
    if isinstance(value, dict):
        return Struct((str(k), as_it_is(v)) for k, v in value.items())
    return [as_it_is(v) for v in value] if isinstance(value, (list, tuple)) else value


def json_text(value: object, indent: int | None = None) -> str:
    """JSON in UTF-8 where all of it can be shown, else in ASCII with escapes."""
    plain = _plain(value)
    text = encode(plain, indent)
    if text.replace("\n", "").isprintable():
        return text
    import json  # 5 ms: only for what a terminal cannot show

    return json.dumps(plain, indent=indent, separators=(",", ":" if indent is None else ": "))


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


def encode(value: object, indent: int | None = None) -> str:
    """`json.dumps(value, ensure_ascii=False)` with Go's separators; keys are strings.

    Args:
        value: None, booleans, strings, finite numbers, lists, and dicts with keys of text.
        indent: blanks for each level; None puts all on one line, without blanks.
    """
    out: list[str] = []
    _write(value, out, "\n" if indent is not None else "", " " * (indent or 0))
    return "".join(out)


def _write(value: object, out: list[str], line: str, step: str) -> None:
    # `line` is what comes between two items: a newline and the blanks of this level, or nothing.
    if isinstance(value, str):
        out.append(f'"{value.translate(_ESCAPES)}"')
    elif value is None or value is True or value is False:
        out.append("null" if value is None else "true" if value else "false")
    elif isinstance(value, (int, float)):
        out.append((int if isinstance(value, int) else float).__repr__(value))
    elif not value:
        out.append("{}" if isinstance(value, dict) else "[]")
    elif isinstance(value, dict):
        colon = ": " if line else ":"
        before = "{" + line + step
        for key, item in value.items():
            out.append(f'{before}"{key.translate(_ESCAPES)}"{colon}')
            _write(item, out, line + step, step)
            before = "," + line + step
        out.append(line + "}")
    else:
        assert isinstance(value, (list, tuple))
        before = "[" + line + step
        for item in value:
            out.append(before)
            _write(item, out, line + step, step)
            before = "," + line + step
        out.append(line + "]")
