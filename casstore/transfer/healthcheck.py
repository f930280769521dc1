"""HEALTHCHECK of a Dockerfile, as dockerd reads it, into the `Healthcheck` of an image config.

`HEALTHCHECK [OPTIONS] CMD command` (a JSON list, or words for a shell) or `HEALTHCHECK NONE`. The
options are `--interval`, `--timeout`, `--start-period`, `--start-interval` (since Docker 25) and
`--retries`; NONE does not look at them. Source: moby's `instructions/parse.go` and `bflag.go`;
tests hold what dockerd 20.10 made of each form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.errors import Refused, printable, quote
from casstore.model.amount import parse_duration
from casstore.transfer.dockerwords import ESCAPE, split

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST = 1_000_000  # nanoseconds of an interval
_MOST = (1 << 63) - 1  # a duration is an int64 to Go
_RETRIES = range(-(1 << 31), 1 << 31)

_DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_COUNT = "retries"


def health_check(text: str, json_words: Callable[[str], list[str] | None]) -> dict[str, Any]:
    """The `Healthcheck` object that an instruction means.

    Args:
        text: what follows the word HEALTHCHECK.
        json_words: gives the strings of a JSON list, None for all else.

    Raises:
        Refused: it is malformed; the text is dockerd's.
    """
    flags, rest = _flags(text)
    kind, *more = rest.split(None, 1) or [""]
    command = more[0].strip() if more else ""
    kind = kind.upper()
    if not kind:
        raise Refused("HEALTHCHECK requires at least one argument")
    if kind == "NONE":
        if command:
            raise Refused("HEALTHCHECK NONE takes no arguments")
        return {"Test": ["NONE"]}
    values = _values(flags)
    if kind != "CMD":
        raise Refused(f"Unknown type {quote(kind)} in HEALTHCHECK (try CMD)")
    words = json_words(command)
    test = ["CMD", *words] if words is not None else ["CMD-SHELL", command]
    if test == ["CMD"] or not command:
        raise Refused("Missing command after HEALTHCHECK CMD")
    return {"Test": test, **_numbers(values)}


def _flags(text: str) -> tuple[list[str], str]:
    """The flags that `text` begins with, without their dashes, and what follows them."""
    flags: list[str] = []
    while text.startswith("--"):
        word = split(text)[0]
        text = text[len(word) :].lstrip()
        if word == "--":
            break
        flags.append(_unquoted(word)[2:])
    return flags, text


def _unquoted(word: str) -> str:
    """A word without its quotes and backslashes; a variable in it is none."""
    plain, at = "", 0
    while at < len(word):
        if word[at] == ESCAPE:
            at += 1
        if word[at : at + 1] not in "'\"" or word[at - 1 : at] == ESCAPE:
            plain += word[at : at + 1]
        at += 1
    return plain


def _values(flags: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if name not in _DURATIONS and name != _COUNT:
            raise Refused(f"Unknown flag: {printable(name[:80])}")
        if name in values:
            raise Refused(f"Duplicate flag specified: {name}")
        if not equals:
            raise Refused(f"Missing a value on flag: {name}")
        values[name] = value
    return values


def _numbers(values: dict[str, str]) -> dict[str, int]:
    """The fields that the values give, in the order of Docker's structure."""
    fields = {field: _duration(name, values.get(name, "")) for name, field in _DURATIONS.items()}
    fields["Retries"] = _retries(values.get(_COUNT, ""))
    return {field: number for field, number in fields.items() if number}


def _duration(name: str, text: str) -> int:
    if not text:
        return 0
    plain = text.lstrip("+-") if text[1:2] not in ("+", "-") else text
    length = 0 if plain == "0" else parse_duration(plain)
    if plain.isascii() and plain.isdigit() and plain != "0":
        raise Refused(f"time: missing unit in duration {quote(text)}")
    if length is None or length > _MOST or set(plain) & {"d", "w"}:
        raise Refused(f"time: invalid duration {quote(text)}")
    if length < LEAST or text.startswith("-"):
        raise Refused(f"Interval {quote(name)} cannot be less than 1ms")
    return length


def _retries(text: str) -> int:
    if not text:
        return 0
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise Refused(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    count = int(text) if len(text) < 20 else _RETRIES.stop
    if count not in _RETRIES:
        raise Refused(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    if count < 1:
        raise Refused(f"--retries must be at least 1 (not {count})")
    return count
