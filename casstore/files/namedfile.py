"""Small files that people name: keys, certificates, passwords."""

from __future__ import annotations

import os

from casstore.errors import CasstoreError, quote

MAX_FILE = 64 << 10


def read_file(path: str, what: str) -> bytes:
    """A small file whole; `what` it is, for messages.

    Raises:
        CasstoreError: it cannot be read, or is larger than anything of the kind.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise CasstoreError(f"cannot read {what} {quote(path)}: {reason}") from None
    if len(data) > MAX_FILE:
        raise CasstoreError(f"{what} {quote(path)} exceeds the limit of {MAX_FILE} bytes")
    return data


def content_of(given: bytes | os.PathLike[str], what: str) -> bytes:
    """What a key's file holds: itself, or the path of the file.

    Raises:
        TypeError: it is a str, which could be meant as either.
        CasstoreError: as `read_file`.
    """
    if isinstance(given, os.PathLike):
        return read_file(os.fspath(given), what)
    if not isinstance(given, bytes):
        raise TypeError(
            f"{what} is given as bytes or as a pathlib.Path, not {type(given).__name__}"
        )
    return given
