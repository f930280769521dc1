"""The names that follow from events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from casstore import Digest, Event, Reference
from casstore.model.event import GIVING


def names_after(
    events: Iterable[Event], before: Mapping[Reference, Digest] | None = None
) -> dict[Reference, Digest]:
    """The names of a store after some events, with their images; `before` has those before them."""
    names = dict(before or {})
    for event in events:
        if event.name is None or event.image is None:
            continue
        if event.action == "untag":
            assert names.pop(event.name) == event.image
        elif event.action in GIVING:
            names[event.name] = event.image
    return names
