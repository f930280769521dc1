"""The functions that templates call: Go's own, and those that Docker adds."""

from __future__ import annotations

from casstore.cli.goprintf import count, printf
from casstore.cli.govalues import Fault, kind, printed, truth
from casstore.cli.jsontext import NIL_POINTER, NilMap, NilSlice, Struct, json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ASCII = 0x7F
_BLANK = 0x20
_PLAIN_IN_URLS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Fault(f"wrong type for value; expected string; got {kind(value)}")
    return value


def _len(value: object) -> int:
    if isinstance(value, Struct) or not isinstance(value, (str, list, tuple, dict)):
        raise Fault(f"len of type {kind(value)}")
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else len(value)


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, (list, tuple)):
            at = count(key)
            if not 0 <= at < len(value):
                raise Fault(f"index out of range: {at}")
            value = value[at]
        elif isinstance(value, str):
            at, data = count(key), value.encode("utf-8", "surrogatepass")
            if not 0 <= at < len(data):
                raise Fault(f"index out of range: {at}")
            value = data[at]
        elif isinstance(value, dict) and not isinstance(value, Struct):
            strings = all(isinstance(v, str) for v in value.values())
            value = value.get(_text(key), "" if strings else None)
        else:
            raise Fault("index of untyped nil" if value is None else f"can't index {kind(value)}")
    return value


def _slice(value: object, *bounds: object) -> object:
    if isinstance(value, str):
        length = _len(value)
    elif isinstance(value, (list, tuple)):
        length = len(value)
    else:
        raise Fault(f"can't slice item of type {kind(value)}")
    at = [count(b) for b in bounds]
    start, end = (at[0] if at else 0), (at[1] if len(at) > 1 else length)
    if not 0 <= start <= end <= length:
        raise Fault(f"index out of range: {start if start > length else end}")
    return _cut(value, start, end) if isinstance(value, str) else value[start:end]


def _print(*values: object) -> str:
    # as fmt.Sprint: a blank between two values when neither is a string
    out = ""
    for i, value in enumerate(values):
        if i and not isinstance(value, str) and not isinstance(values[i - 1], str):
            out += " "
        out += printed(value, nested=True)
    return out


def _println(*values: object) -> str:
    return " ".join(printed(value, nested=True) for value in values) + "\n"


def _eq(first: object, *others: object) -> bool:
    if not others:
        raise Fault("missing argument for comparison")
    for other in others:
        a, b = _basic(first), _basic(other)
        if a != b and None not in (first, other):
            raise Fault("incompatible types for comparison")
        if a or b:
            if type(first) is type(other) and first == other:
                return True
            if a == b == "int" and first == other:  # a length of time is a number too
                return True
            continue
        nil = _is_nil(first), _is_nil(other)
        if not any(nil):
            raise Fault(f"non-comparable type {kind(first)}")
        if all(nil):
            return True
    return False


def _basic(value: object) -> str:
    # what `eq` compares by value; nothing for all else
    found = kind(value)
    return found if found in ("bool", "string", "int", "float") else ""


def _is_nil(value: object) -> bool:
    return value is None or value is NIL_POINTER or isinstance(value, (NilSlice, NilMap))


def _lt(a: object, b: object) -> bool:
    if kind(a) != kind(b):
        raise Fault("incompatible types for comparison")
    if isinstance(a, str) and isinstance(b, str):
        return a < b
    if kind(a) in ("int", "float") and isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a < b
    raise Fault(f"invalid type for comparison: {kind(a)}")


def _join(values: object, separator: object) -> str:
    if not isinstance(values, (list, tuple)):
        raise Fault(f"wrong type for value; expected []string; got {kind(values)}")
    return _text(separator).join(_text(value) for value in values)


def _pad(text: object, before: object, after: object) -> str:
    text = _text(text)
    return " " * count(before) + text + " " * count(after) if text else text


def _each(text: object, change: Callable[[str], str]) -> str:
    # Go has one letter for one: no `SS` for an ß
    return "".join(new if len(new := change(c)) == 1 else c for c in _text(text))


def _title(text: object) -> str:
    # Go's strings.Title: a letter behind anything but a letter, a digit or an underscore
    out, start = [], True
    for c in _text(text):
        out.append(c.title() if start else c)
        start = c.isspace() if ord(c) > _ASCII else not (c.isalnum() or c == "_")
    return "".join(out)


def _truncate(text: object, length: object) -> str:
    return _cut(_text(text), 0, max(count(length), 0))


def _cut(text: str, start: int, end: int) -> str:
    # Go counts bytes
    if text.isascii():
        return text[start:end]
    return text.encode("utf-8", "surrogatepass")[start:end].decode("utf-8", "replace")


def _joined(values: tuple[object, ...]) -> str:
    # what `html`, `js` and `urlquery` escape: a text, or several values as `print` shows them
    return values[0] if len(values) == 1 and isinstance(values[0], str) else _print(*values)


_HTML = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
)
_SCRIPT = {"\\": "\\\\", "'": "\\'", '"': '\\"'} | {c: f"\\u{ord(c):04X}" for c in "<>&="}


def _html(*values: object) -> str:
    return _joined(values).translate(_HTML)


def _js(*values: object) -> str:
    return "".join(
        _SCRIPT.get(c) or (c if c.isprintable() else f"\\u{ord(c):04X}") for c in _joined(values)
    )


def _urlquery(*values: object) -> str:
    return "".join(
        chr(byte) if chr(byte) in _PLAIN_IN_URLS else "+" if byte == _BLANK else f"%{byte:02X}"
        for byte in _joined(values).encode("utf-8", "surrogateescape")
    )


def _call(value: object, *_arguments: object) -> object:
    raise Fault(f"non-function of type {kind(value)}")


# name -> (function, least number of arguments, most, or -1 for any)
FUNCTIONS: dict[str, tuple[Callable[..., object], int, int]] = {
    "call": (_call, 1, -1),
    "eq": (_eq, 1, -1),
    "ge": (lambda a, b: not _lt(a, b), 2, 2),
    "gt": (lambda a, b: not _lt(a, b) and not _eq(a, b), 2, 2),
    "html": (_html, 0, -1),
    "index": (_index, 1, -1),
    "join": (_join, 2, 2),
    "js": (_js, 0, -1),
    "json": (json_text, 1, 1),
    "le": (lambda a, b: _lt(a, b) or _eq(a, b), 2, 2),
    "len": (_len, 1, 1),
    "lower": (lambda text: _each(text, str.lower), 1, 1),
    "lt": (_lt, 2, 2),
    "ne": (lambda a, b: not _eq(a, b), 2, 2),
    "not": (lambda value: not truth(value), 1, 1),
    "pad": (_pad, 3, 3),
    "print": (_print, 0, -1),
    "printf": (printf, 1, -1),
    "println": (_println, 0, -1),
    "slice": (_slice, 1, 3),
    "split": (lambda text, sep: _text(text).split(_text(sep)) if sep else list(_text(text)), 2, 2),
    "title": (_title, 1, 1),
    "truncate": (_truncate, 2, 2),
    "upper": (lambda text: _each(text, str.upper), 1, 1),
    "urlquery": (_urlquery, 0, -1),
}

# In the header of a `table` format a field is its column's title, and these leave it alone.
_AS_IN_HEADER = ("json", "lower", "upper", "title", "truncate", "pad", "join", "split")
HEADER_FUNCTIONS = FUNCTIONS | {
    name: (lambda value, *_: value, FUNCTIONS[name][1], FUNCTIONS[name][2])
    for name in _AS_IN_HEADER
}


def call(
    name: str,
    functions: dict[str, tuple[Callable[..., object], int, int]],
    values: Sequence[object],
) -> object:
    """Call a template function; Fault says what is wrong with the arguments."""
    function, least, most = functions[name]
    if len(values) < least or (most != -1 and len(values) > most):
        want = f"at least {least}" if most == -1 else str(least)
        raise Fault(f"wrong number of args for {name}: want {want} got {len(values)}")
    try:
        return function(*values)
    except Fault as fault:
        raise Fault(f"error calling {name}: {fault}") from None
