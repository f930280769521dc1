"""Events: what was done in a store, and what is being done."""

from __future__ import annotations

from casstore.clock import current_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casstore.model.event import Event
    from casstore.model.parameters import Several
    from casstore.store.session import Session


class Events:
    """Looking back, and looking on."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def events(
        self,
        *,
        since: int | str | None = None,
        until: int | str | None = None,
        follow: bool = False,
        filters: Several[str] = (),
        wait: Callable[[float], bool | None] | None = None,
    ) -> Iterator[Event]:
        """What happened, oldest first; the last 5000 events that changed something, of 30 days.

        Args:
            since: from this time on: nanoseconds since 1970, or as the command line takes it
                (`10m` for ten minutes ago, `2026-01-02T15:04:05Z`, seconds since 1970). By default
                all; with `follow`, and no `until`, what happens from now on.
            until: up to this time, likewise.
            follow: go on with what happens until then, for ever by default.
            filters: `event=`, `image=`, `type=`; of one name any, and of each name one must fit.
            wait: called with a number of seconds when there is nothing new, in place of a sleep; it
                may return early, and ends the events with a true value. `threading.Event.wait` is
                one, which lets another thread end them.

        Raises:
            BadFilter: a filter does not exist; a time is none.
        """
        from casstore.model.arguments import several
        from casstore.queries.events import each_event
        from casstore.rules.eventfilters import parse_event_filters

        now = current_time()
        chosen = parse_event_filters(several(filters, "filters"))
        first, last = _moment(since, now), _moment(until, now)
        self._session.backend.require()
        return each_event(
            self._session.backend, chosen, since=first, until=last, follow=follow, wait=wait
        )


def _moment(given: int | str | None, now: int) -> int | None:
    if given is None or isinstance(given, int):
        return given
    from casstore.rules.filters import parse_moment

    return parse_moment(given, now)
