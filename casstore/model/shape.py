"""Documents as Go's programs read them: known keys in any case, null as the value of its type.

Nearly all images are written, and read, by programs in Go, whose decoder takes a key in any case,
and leaves what is null at its zero value. So images with `rootfS`, or with null for the value of a
label, are published, and every tool runs them. A shape says what keys a document has, and what its
lists and maps hold; a value that was brought into shape has the known keys as the specification
spells them. Unknown keys stay, and so do values of a type that nobody expects: whoever asks for
them refuses them.

Where a document has a key in its own spelling and in another one, the first counts. Where it has
two spellings, and neither is the right one, readers differ in which counts: that is refused.
"""

from __future__ import annotations

from casstore.errors import Refused, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    # What brings the value of a document (the name is for messages) into shape.
    Shape = Callable[[Any, str], Any]


def anything(value: Any, _name: str) -> Any:
    """A value with nothing in it that is known by name."""
    return value


def strings(value: Any, _name: str) -> Any:
    """A list of strings, or a map to strings: null is the empty string."""
    return _without_null(value, "")


def marks(value: Any, _name: str) -> Any:
    """A map whose keys are a set (`Volumes`): null is the empty object."""
    return _without_null(value, {})


def _without_null(value: Any, zero: object) -> Any:
    if isinstance(value, list) and None in value:
        return [zero if item is None else item for item in value]
    if isinstance(value, dict) and None in value.values():
        return {key: zero if item is None else item for key, item in value.items()}
    return value


class Each:
    """A list of things of one shape; null is one of them without any field."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def __call__(self, value: Any, name: str) -> Any:
        if not isinstance(value, list):
            return value
        shape = self._shape
        return [shape({} if item is None else item, name) for item in value]


class Keys:
    """An object with these keys."""

    def __init__(self, shapes: Mapping[str, Shape] | None = None, /, *plain: str) -> None:
        """`shapes` of what stands at a key; at the keys `plain` stands anything."""
        self._shapes = dict(shapes or {})
        self._spelling = {key.casefold(): key for key in (*plain, *self._shapes)}
        self._keys = frozenset(self._spelling.values())

    def __call__(self, value: Any, name: str) -> Any:
        if not isinstance(value, dict):
            return value
        if not self._keys >= value.keys():
            value = self._spelled(value, name)
        shaped = value
        for key, shape in self._shapes.items():
            if key in value:
                item = shape(value[key], name)
                if item is not value[key]:
                    if shaped is value:
                        shaped = value.copy()
                    shaped[key] = item
        return shaped

    def _spelled(self, value: dict[str, Any], name: str) -> dict[str, Any]:
        """`value` with the known keys as they should be spelled."""
        renamed: dict[str, str] = {}  # from the right spelling
        for key, item in value.items():
            right = self._spelling.get(key.casefold())
            if right is None or item is None or value.get(right) is not None:
                continue
            if right in renamed:
                raise Refused(
                    f"{name} has {quote(right)} in two spellings: {quote(renamed[right])} and "
                    f"{quote(key)}"
                )
            renamed[right] = key
        if not renamed:
            return value
        taken = set(renamed.values())
        left = {k: v for k, v in value.items() if k not in taken}
        return {**left, **{right: value[key] for right, key in renamed.items()}}
