"""What happened in a store, and what happens: past events, then those to come.

Who follows looks every LOOK seconds whether there is more; nothing is held meanwhile, neither a
lock nor a view.
"""

from __future__ import annotations

import time
from itertools import chain

from casstore.clock import current_time
from casstore.model.event import AGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casstore.model.event import Event
    from casstore.ports.backend import Backend
    from casstore.ports.events import Place
    from casstore.rules.eventfilters import EventFilters

    Wait = Callable[[float], bool | None]

LOOK = 0.2
_SECOND = 1_000_000_000


def each_event(
    backend: Backend,
    filters: EventFilters,
    *,
    since: int | None,
    until: int | None,
    follow: bool,
    wait: Wait | None,
) -> Iterator[Event]:
    """Events in the order of their times; see `Store.events`.

    Nothing that is committed after this is called is missed, and nothing is told twice.
    """
    found, place = backend.events.read()
    if follow and since is None and until is None:
        found = []
    oldest = max(current_time() - AGE, since if since is not None else 0)

    def wanted(event: Event) -> bool:
        in_time = event.happened >= oldest and (until is None or event.happened <= until)
        return in_time and filters.accepts(event)

    more = _each_more(backend, place, until, wait) if follow else ()
    return (event for some in chain((found,), more) for event in some if wanted(event))


def _each_more(
    backend: Backend, place: Place, until: int | None, wait: Wait | None
) -> Iterator[list[Event]]:
    """The events after a place, as they come, until that time or until `wait` says so."""
    while True:
        seconds = LOOK
        if until is not None:
            left = until - current_time()
            if left < 0:
                return
            seconds = min(LOOK, (left + 1) / _SECOND)
        if (wait or time.sleep)(seconds):
            return
        found, place = backend.events.read(place)
        yield found
