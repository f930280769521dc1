"""What parameters that take more than one type are called in signatures, for callers' own too.

No part of the package imports this at run time, for `typing` costs more than an `rmi`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Container(Protocol[T_co]):
    """A list, tuple, set, mapping or view. Not str and bytes: these contain only their own."""

    def __contains__(self, item: object, /) -> bool: ...
    def __iter__(self) -> Iterator[T_co]: ...


# Several values: not a single string, which would be a sequence of its characters.
Several: TypeAlias = Container[T] | Iterator[T]

# A path; a string that is not one is never meant where a path may stand.
StrPath: TypeAlias = str | os.PathLike[str]

# What the file of a key or certificate holds, or where it is. Not str, which could mean either.
Key: TypeAlias = bytes | os.PathLike[str]

# Called with what happens to what: ("sha256 short:", "Pulling fs layer").
Tell: TypeAlias = Callable[[str, str], None]
