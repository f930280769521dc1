"""GET /events: what happens in the store, as it happens, a JSON object a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.clock import current_time
from casstore.model.event import IMAGE, LOCAL
from casstore.server.engine.lines import Pieces, line_of
from casstore.server.message import Response
from casstore.store import Store, store_of

if TYPE_CHECKING:
    from casstore.model.event import Event
    from casstore.server.engine.call import Call
    from casstore.server.engine.lines import Give

SECOND = 1_000_000_000
# Filters that no event of a store passes, for it is not about any of these, and keeps no labels.
_NEVER = frozenset(
    (
        *("config", "container", "daemon", "label", "network", "node", "plugin", "secret"),
        *("service", "volume"),
    )
)


def events(call: Call) -> Response:
    """From `since` on, or from now, until `until`, or until the client goes."""
    filters, nothing = [], False
    for name, value in call.filters():
        if name == "scope":
            nothing = nothing or value != LOCAL
        elif name in _NEVER:
            nothing = True
        else:
            filters.append(f"{name}={value}")
    # One of its own, for the thread goes on for a moment when the connection is done with it.
    store = store_of(call.store.session.another(), Store)
    until = call.argument("until") or None

    def wait(seconds: float) -> bool:
        return pieces.wait(seconds)

    found = store.events(
        since=call.argument("since") or (current_time() if until is not None else None),
        until=until,
        follow=True,
        filters=filters,
        wait=wait,
    )

    def work(give: Give) -> None:
        try:
            for event in found:
                if not nothing:
                    give(line_of(event_shape(event)))
        finally:
            store.close()

    pieces = Pieces(work)
    headers = [("Content-Type", "application/json")]
    if call.request.method == "HEAD":
        store.close()
        return Response(200, headers)
    return Response(200, headers, pieces.begun())


def event_shape(event: Event) -> dict[str, Any]:
    """An event as Docker's API has it, up to 1.51."""
    return {
        "status": event.action,
        "id": event.id,
        "Type": IMAGE,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.actor_attributes},
        "scope": LOCAL,
        "time": event.happened // SECOND,
        "timeNano": event.happened,
    }
