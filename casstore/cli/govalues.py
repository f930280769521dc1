"""Go's values as templates see them: how they print, what is true, what kind they are of.

The types of jsontext.py and gotime.py show here: an unknown field of a struct is an error, an
unknown key of a map is `<no value>`, a nil slice prints `[]` but is `null` in JSON, a length of
time prints `30s` but is a number in JSON.
"""

from __future__ import annotations

from casstore.cli.gotime import METHODS, Duration, Time
from casstore.cli.jsontext import NIL_POINTER, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NO_VALUE = "<no value>"


class Fault(Exception):
    """Evaluation went wrong; the template adds where."""


class RawMap(dict[str, object]):
    """An object of JSON that has no type: an unknown key is an error."""


def printed(value: object, *, nested: bool = False) -> str:
    """`value` as Go's `print` shows it, without control characters other than tab and newline."""
    if value is None:
        return "<nil>" if nested else NO_VALUE
    if value is NIL_POINTER:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, float):
        return go_float(value)
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
    if isinstance(value, Time):
        return "time.Time"
    if value is NIL_POINTER:
        return "ptr"
    return "map" if isinstance(value, dict) else "slice"


def method(value: object, name: str) -> tuple[Callable[..., object], int] | None:
    """A method of a value's type, and the number of its arguments; None if it has none."""
    if isinstance(value, (Duration, Time)):
        return METHODS[type(value)].get(name)
    return None


def go_float(value: float) -> str:
    """A number as Go prints it."""
    # the shortest text that is this number, with an exponent below 1e-4 and from 1e6 on
    if value and not 1e-4 <= abs(value) < 1e6:
        digits = f"{value!r}".partition("e")[0].strip("-0.").replace(".", "").rstrip("0")
        return f"{value:.{max(len(digits.lstrip('0')) - 1, 0)}e}"
    return repr(value).removesuffix(".0")
