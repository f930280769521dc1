"""What callers from Python hand in: several values, paths, files.

A string is a sequence of strings, so that `remove("app:39")` would mean seven images, of which `3`
and `9` can be the beginnings of IDs. `Several` is what a type checker may let through, `several`
what is let through at run time; every method that takes more than one value uses both.
"""

from __future__ import annotations

import os
from io import TextIOBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from casstore.model.parameters import Several, StrPath

    T = TypeVar("T")
    File = TypeVar("File")

PATHS = (str, os.PathLike)


def several(given: Several[T], name: str, kind: type | tuple[type, ...] = str) -> tuple[T, ...]:
    """The values of the parameter `name`, each of which is a `kind`; a generator is used up.

    Raises:
        TypeError: it is a single string, or nothing that has values, or one of them is another
            thing.
    """
    if isinstance(given, (str, bytes, bytearray, memoryview)):
        raise TypeError(
            f"{name} takes several values, such as a list of them, and not one"
            f" {type(given).__name__}"
        )
    values = tuple(given)
    for value in values:
        if not isinstance(value, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            wanted = " or ".join(one.__name__ for one in kinds)
            raise TypeError(f"{name} takes values of type {wanted}, not {type(value).__name__}")
    return values


def path_of(given: StrPath) -> str:
    """A path as a string. Raises TypeError for bytes, and for what is no path."""
    path: object = os.fspath(given)
    if not isinstance(path, str):
        raise TypeError(f"expected a str or a path of str, not {type(path).__name__}")
    # A Path with this name is a file, as every Path is; only as a word is it a standard stream.
    return os.path.join(".", path) if path == "-" and given != "-" else path


def path_or_file(given: StrPath | File) -> str | File:
    """A path as a string, or an open binary file as it is. Raises TypeError for anything else."""
    if isinstance(given, (str, os.PathLike)):
        return path_of(given)
    if isinstance(given, TextIOBase):
        raise TypeError("expected a binary file: open it with mode 'rb' or 'wb'")
    if not (hasattr(given, "read") or hasattr(given, "write")):
        raise TypeError(f"expected a path or a binary file, not {type(given).__name__}")
    return given
