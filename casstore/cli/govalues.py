"""Go's values as templates see them: how they print, and the functions that work on them.

The types of jsontext.py show here: an unknown field of a struct is an error, an unknown key of a
map is `<no value>`, a nil slice prints `[]` but is `null` in JSON.
"""

from __future__ import annotations

import sys

from casstore.cli.jsontext import Struct, json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NO_VALUE = "<no value>"
MAX_WIDTH = 10_000  # of printf and pad: a template may come from a script's variable


class Fault(Exception):
    """Evaluation went wrong; the template adds where."""


def printed(value: object, *, nested: bool = False) -> str:
    """`value` as Go's `print` shows it, without control characters other than tab and newline."""
    if value is None:
        return "<nil>" if nested else NO_VALUE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Struct):
        return "{" + " ".join(printed(v, nested=True) for v in value.complete().values()) + "}"
    if isinstance(value, dict):
        pairs = (f"{harmless(k)}:{printed(value[k], nested=True)}" for k in sorted(value))
        return "map[" + " ".join(pairs) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(printed(v, nested=True) for v in value) + "]"
    return str(value)


def harmless(text: str) -> str:
    """`text` with everything escaped that could drive a terminal; tabs and newlines stay."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def truth(value: object) -> bool:
    """Go's truth: empty, zero and nil are false; a struct is true."""
    return True if isinstance(value, Struct) else bool(value)


def kind(value: object) -> str:
    """The name of the value's kind, for messages and for comparison."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, Struct):
        return "struct"
    return "map" if isinstance(value, dict) else "slice"


def _float(value: float) -> str:
    # Go's %v is the shortest text, with an exponent outside 1e-4 .. 1e21
    if value and not 1e-4 <= abs(value) < 1e21:
        mantissa, _, exponent = f"{value!r}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{exponent}" if exponent else repr(value)
    text = repr(value)
    if "e" in text:  # Python turns to exponents at 1e16
        text = f"{value:f}".rstrip("0")
    return text.removesuffix(".0").removesuffix(".")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Fault(f"wrong type for value; expected string; got {kind(value)}")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Fault(f"wrong type for value; expected int; got {kind(value)}")
    if abs(value) > MAX_WIDTH:
        raise Fault(f"{value} is out of range")
    return value


def _len(value: object) -> int:
    if isinstance(value, Struct) or not isinstance(value, (str, list, tuple, dict)):
        raise Fault(f"len of type {kind(value)}")
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else len(value)


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, (list, tuple)):
            at = _count(key)
            if not 0 <= at < len(value):
                raise Fault(f"index out of range: {at}")
            value = value[at]
        elif isinstance(value, dict) and not isinstance(value, Struct):
            strings = all(isinstance(v, str) for v in value.values())
            value = value.get(_text(key), "" if strings else None)
        else:
            raise Fault("index of untyped nil" if value is None else f"can't index {kind(value)}")
    return value


def _slice(value: object, *bounds: object) -> object:
    if not isinstance(value, (str, list, tuple)):
        raise Fault(f"can't slice item of type {kind(value)}")
    at = [_count(b) for b in bounds]
    start, end = (at[0] if at else 0), (at[1] if len(at) > 1 else len(value))
    if not 0 <= start <= end <= len(value):
        raise Fault(f"index out of range: {start if start > len(value) else end}")
    return value[start:end]


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


def _printf(form: object, *values: object) -> str:
    form = _text(form)
    out: list[str] = []
    used = at = 0
    while at < len(form):
        if form[at] != "%":
            out.append(form[at])
            at += 1
            continue
        start = at
        at += 1
        while at < len(form) and form[at] in "+-# 0123456789.":
            at += 1
        verb = form[at : at + 1]
        at += 1
        if verb == "%":
            out.append("%")
        elif not verb:
            out.append("%!(NOVERB)")
        elif used >= len(values):
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_verb(form[start + 1 : at - 1], verb, values[used]))
            used += 1
    if used < len(values):
        extra = ", ".join(f"{kind(v)}={printed(v, nested=True)}" for v in values[used:])
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _verb(flags: str, verb: str, value: object) -> str:
    marks = flags[: len(flags) - len(flags.lstrip("+-# 0"))]
    width_text, _, precision = flags.removeprefix(marks).partition(".")
    width = _count(int(width_text or 0))
    if _count(int(precision or 0)) and verb in "vsq" and isinstance(value, str):
        value = value[: int(precision)]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    text = _number_verb(precision, verb, value) if number else _plain_verb(verb, value)
    if text is None:
        text = f"%!{verb}({kind(value)}={printed(value, nested=True)})"
    if number and "+" in marks and not text.startswith("-"):
        text = "+" + text
    if "-" in marks:
        return text.ljust(width)
    return text.zfill(width) if number and "0" in marks else text.rjust(width)


def _plain_verb(verb: str, value: object) -> str | None:
    if verb in "vs":
        return printed(value, nested=True)
    if verb == "t" and isinstance(value, bool):
        return printed(value)
    if verb == "q" and isinstance(value, str):
        return json_text(value)
    if verb == "q" and isinstance(value, (list, tuple)):
        return "[" + " ".join(json_text(item) for item in value) + "]"
    if verb in "xX" and isinstance(value, str):
        digits = value.encode("utf-8", "surrogateescape").hex()
        return digits if verb == "x" else digits.upper()
    return None


def _number_verb(precision: str, verb: str, value: object) -> str | None:
    if verb == "v":
        return printed(value)
    if isinstance(value, int):
        if verb == "c":
            return harmless(chr(value)) if 0 <= value <= sys.maxunicode else "\ufffd"
        return format(value, verb) if verb in "dxXob" else None
    if verb in "feEgG" and isinstance(value, float):
        return format(value, f".{precision}{verb}" if precision else verb)
    return None


def _eq(first: object, *others: object) -> bool:
    if not others:
        raise Fault("missing argument for comparison")
    for other in others:
        if None not in (first, other) and kind(first) != kind(other):
            raise Fault("incompatible types for comparison")
        if kind(first) in ("map", "slice", "struct"):
            raise Fault(f"non-comparable type {kind(first)}")
    return any(type(first) is type(other) and first == other for other in others)


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
    return " " * _count(before) + text + " " * _count(after) if text else text


def _title(text: object) -> str:
    out, start = [], True
    for c in _text(text):
        out.append(c.upper() if start else c)
        start = c.isspace()
    return "".join(out)


def _truncate(text: object, length: object) -> str:
    return _text(text)[: max(_count(length), 0)]


# name -> (function, least number of arguments, most, or -1 for any)
FUNCTIONS: dict[str, tuple[Callable[..., object], int, int]] = {
    "eq": (_eq, 1, -1),
    "ge": (lambda a, b: not _lt(a, b), 2, 2),
    "gt": (lambda a, b: not _lt(a, b) and not _eq(a, b), 2, 2),
    "index": (_index, 1, -1),
    "join": (_join, 2, 2),
    "json": (json_text, 1, 1),
    "le": (lambda a, b: _lt(a, b) or _eq(a, b), 2, 2),
    "len": (_len, 1, 1),
    "lower": (lambda text: _text(text).lower(), 1, 1),
    "lt": (_lt, 2, 2),
    "ne": (lambda a, b: not _eq(a, b), 2, 2),
    "not": (lambda value: not truth(value), 1, 1),
    "pad": (_pad, 3, 3),
    "print": (_print, 0, -1),
    "printf": (_printf, 1, -1),
    "println": (_println, 0, -1),
    "slice": (_slice, 1, 3),
    "split": (lambda text, sep: _text(text).split(_text(sep)) if sep else list(_text(text)), 2, 2),
    "title": (_title, 1, 1),
    "truncate": (_truncate, 2, 2),
    "upper": (lambda text: _text(text).upper(), 1, 1),
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
