"""Filters of events: `event=`, `image=` and `type=`, as `docker events` has them.

Of one name any value is enough, and every name must be met. Docker's filters for what a store does
not have (containers, networks, ...) are errors, and so is `label`: events do not keep labels.

Source: docs.docker.com/reference/cli/docker/system/events; moby, daemon/events/filter.go.
"""

from __future__ import annotations

from casstore.errors import InvalidReference
from casstore.model.digest import PREFIX, is_hex
from casstore.model.event import IMAGE
from casstore.model.reference import familiar_name, parse_name
from casstore.rules.filters import name_and_value
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.event import Event

_LEAST_HEX = 12  # of an image ID: as many as lists show


class EventFilters(Value):
    """Parsed filters; `accepts` decides about one event."""

    actions: frozenset[str]  # empty: any
    images: tuple[str, ...]  # empty: any
    types: frozenset[str]  # empty: any

    def accepts(self, event: Event) -> bool:
        """Whether an event passes."""
        if self.actions and event.action not in self.actions:
            return False
        if self.types and IMAGE not in self.types:
            return False
        return not self.images or any(_is_of(event, image) for image in self.images)


def parse_event_filters(filters: Sequence[str]) -> EventFilters:
    """Parse `name=value` filters.

    Raises:
        UsageError: a filter without `=`.
        BadFilter: an unknown filter.
    """
    found: dict[str, list[str]] = {"event": [], "image": [], "type": []}
    for text in filters:
        name, value = name_and_value(text, found)
        found[name].append(value)
    return EventFilters(frozenset(found["event"]), tuple(found["image"]), frozenset(found["type"]))


def _is_of(event: Event, image: str) -> bool:
    """Whether an event is of an image by its ID, the first digits of it, a name or a repository."""
    if event.image is not None:
        digits = image.removeprefix(PREFIX)
        if len(digits) >= _LEAST_HEX and is_hex(digits) and event.image.hex.startswith(digits):
            return True
    if event.name is None:
        return False
    repository = event.name.repository
    if image in (repository, familiar_name(repository)):
        return True
    try:
        return parse_name(image).reference == event.name
    except InvalidReference:
        return False
