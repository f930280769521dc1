"""JSON without the package `json`.

That is a shell around a scanner in C, `_json.make_scanner`, and importing the shell brings `re`,
which takes longer than all else that `inspect` does. So the scanner is used directly, where the
interpreter has it.

Gain: 11.4 ms of an inspect. Tried on CPython 3.11, 3.12 and 3.13; on 3.15 the scanner asks more of
its decoder, and `json` does it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class NotScanned(Exception):
    """The text is for `json` to read, or to say what is wrong with it."""


def scanned(text: str, decoder: Any) -> Any:
    """The one JSON value in `text`.

    Args:
        text: JSON, with white space around it or none.
        decoder: has the attributes that the scanner reads of a `json.JSONDecoder`.

    Raises:
        NotScanned: the scanner cannot be had, or did not take the text to its end. Where it wants
            to say why, it looks for json's own error among the imported modules, and returns
            without any error if json is not there (raise_errmsg of CPython's Modules/_json.c): the
            interpreter makes a SystemError of that.
    """
    try:
        from _json import make_scanner
    except ImportError:
        raise NotScanned from None
    body = text.strip(" \t\r\n")
    try:
        scanner = make_scanner(decoder)
    except (AttributeError, TypeError):  # of a Python that asks more of the decoder
        raise NotScanned from None
    try:
        value, end = scanner(body, 0)
    except (StopIteration, ValueError, SystemError):
        raise NotScanned from None
    if end != len(body):
        raise NotScanned
    return value
