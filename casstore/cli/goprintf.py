"""Go's fmt.Printf, as far as templates can ask for it."""

from __future__ import annotations

import sys

from casstore.cli.gotime import Duration
from casstore.cli.govalues import Fault, go_float, harmless, kind, printed
from casstore.cli.jsontext import NIL_POINTER, Struct, json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_WIDTH = 10_000  # of printf and pad: a template may come from a script's variable

_TYPES = {"int": "int", "float": "float64", "nil": "<nil>", "slice": "[]string"}
_TYPES |= {"map": "map[string]string", "ptr": "*struct {}", "struct": "struct {}"}


def printf(form: object, *values: object) -> str:
    """`printf`. What does not fit stands in the output, as Go has it: `%!d(string=x)`."""
    if not isinstance(form, str):
        raise Fault(f"wrong type for value; expected string; got {kind(form)}")
    return _Printf(form, values).run()


class _Printf:
    """One call."""

    def __init__(self, form: str, values: Sequence[object]) -> None:
        self._form, self._values = form, values
        self._at = self._next = 0
        self._reordered = False

    def run(self) -> str:
        form, out = self._form, []
        while True:
            percent = form.find("%", self._at)
            out.append(form[self._at : percent if percent >= 0 else len(form)])
            if percent < 0:
                break
            self._at = percent + 1
            out.append(self._one())
        left = self._values[self._next :]
        if left and not self._reordered:
            extra = ", ".join(_with_type(value) for value in left)
            out.append(f"%!(EXTRA {extra})")
        return "".join(out)

    def _one(self) -> str:
        form = self._form
        marks = self._run("+-# 0")
        width = self._amount()
        precision = None
        if form[self._at : self._at + 1] == ".":
            self._at += 1
            precision = self._amount() or 0
        self._argument()
        verb = form[self._at : self._at + 1]
        self._at += 1
        if verb == "%":
            return "%"
        if not verb:
            return "%!(NOVERB)"
        if self._next >= len(self._values):
            return f"%!{verb}({'BADINDEX' if self._reordered else 'MISSING'})"
        self._next += 1
        return _shown(marks, width or 0, precision, verb, self._values[self._next - 1])

    def _run(self, characters: str) -> str:
        start = self._at
        while self._form[self._at : self._at + 1] and self._form[self._at] in characters:
            self._at += 1
        return self._form[start : self._at]

    def _amount(self) -> int | None:
        # a width or a precision: digits, or `*` for the next argument
        self._argument()
        if self._form[self._at : self._at + 1] == "*":
            self._at += 1
            given = self._values[self._next] if self._next < len(self._values) else 0
            self._next += 1
            return count(given)
        digits = self._run("0123456789")
        if len(digits) > len(str(MAX_WIDTH)):
            raise Fault("a width is out of range")
        return count(int(digits)) if digits else None

    def _argument(self) -> None:
        # `[2]`: which argument comes next, counted from one
        end = self._form.find("]", self._at)
        number = self._form[self._at + 1 : end]
        if self._form[self._at : self._at + 1] == "[" and number.isdecimal() and len(number) < 6:
            self._next, self._reordered, self._at = int(number) - 1, True, end + 1


def count(value: object) -> int:
    """A number of characters. Raises Fault where it is none, or too great."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Fault(f"wrong type for value; expected int; got {kind(value)}")
    if abs(value) > MAX_WIDTH:
        raise Fault(f"{value} is out of range")
    return value


def _shown(marks: str, width: int, precision: int | None, verb: str, value: object) -> str:
    if precision is not None and verb in "vsq" and isinstance(value, str):
        value = value[:precision]
    if isinstance(value, (list, tuple)) and verb not in "vT":
        return "[" + " ".join(_shown(marks, width, precision, verb, one) for one in value) + "]"
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    text = _number_verb(precision, verb, value) if number else _plain_verb(marks, verb, value)
    if text is None and verb == "T":
        text = _TYPES.get(kind(value), kind(value))
    if text is None:
        text = f"%!{verb}({_with_type(value)})"
    if number and not text.startswith(("-", "%", "'")):
        text = ("0x" if "#" in marks and verb == "x" else "") + text
        text = ("+" if "+" in marks else " " if " " in marks else "") + text
    if "-" in marks:
        return text.ljust(width)
    return text.zfill(width) if number and "0" in marks else text.rjust(width)


def _with_type(value: object) -> str:
    if value is None:
        return "<nil>"
    shown = printed(value, nested=True)
    return f"{_TYPES.get(kind(value), kind(value))}={shown}"


def _plain_verb(marks: str, verb: str, value: object) -> str | None:
    if verb == "v" and "#" in marks and isinstance(value, (str, list, tuple)):
        return _as_source(value)
    if verb == "v":
        return printed(value, nested=True)
    if verb == "s" and not isinstance(value, bool) and value is not None:
        return None if value is NIL_POINTER else printed(value, nested=True)
    if verb == "t" and isinstance(value, bool):
        return printed(value)
    if verb == "q" and isinstance(value, str):
        return json_text(value)
    if verb == "q" and isinstance(value, dict) and not isinstance(value, Struct):
        return (
            "map[" + " ".join(f"{json_text(k)}:{json_text(value[k])}" for k in sorted(value)) + "]"
        )
    if verb in "xX" and isinstance(value, str):
        digits = value.encode("utf-8", "surrogateescape").hex()
        return digits if verb == "x" else digits.upper()
    return None


def _as_source(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[]string{" + ", ".join(_as_source(item) for item in value) + "}"
    return json_text(value) if isinstance(value, str) else printed(value, nested=True)


def _number_verb(precision: int | None, verb: str, value: object) -> str | None:
    if verb == "v" or (isinstance(value, Duration) and verb in "sq"):
        return json_text(str(value)) if verb == "q" else printed(value)
    if isinstance(value, int):
        if verb in "cqU":
            character = chr(value) if 0 <= value <= sys.maxunicode else "\ufffd"
            shown = {"c": harmless(character), "q": f"'{harmless(character)}'"}
            return shown.get(verb, f"U+{value:04X}")
        return format(int(value), verb) if verb in "dxXob" else None
    if isinstance(value, float) and verb in "feEgG":
        if precision is None and verb in "gG":
            return go_float(value)
        return format(value, f".{precision}{verb}" if precision is not None else verb)
    return None
