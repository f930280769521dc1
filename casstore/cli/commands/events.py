"""events: what was done in a store, and what is being done."""

from __future__ import annotations

import sys
import time

from casstore.cli.commands.images import checked_filters
from casstore.cli.jsontext import Struct
from casstore.cli.options import LIST, OF_A_LOOK, TEXT, Args, Command, Option
from casstore.cli.render import SECOND, rfc3339_nano
from casstore.errors import printable
from casstore.model.event import DAYS, IMAGE, LOCAL, MOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.cli.app import App
    from casstore.model.event import Event

FILTER = Option(
    "filter",
    "Filter output based on conditions provided",
    short="f",
    kind=LIST,
    value="filter",
)

HELP = Command(
    name="events",
    arguments="",
    summary="Show what is done in the store, as it happens or since a time",
    options=(
        FILTER,
        Option(
            "format",
            "Format output using a custom template:\n"
            "'json':             Print in JSON format, one object a line\n"
            "'TEMPLATE':         Print output using the given Go template",
            kind=TEXT,
        ),
        Option("since", "Show all events created since timestamp", kind=TEXT),
        Option("until", "Stream events until this timestamp", kind=TEXT),
    ),
    most=0,
    exits=(
        (0, "all events until then are printed"),
        (1, "a filter, a time or a template is wrong"),
        *OF_A_LOOK,
        (130, "interrupted: the usual end without --until"),
    ),
    description=f"""\
Without --since it begins now, or with --until at the first event that is kept; without --until it
goes on until it is interrupted. A time is 2006-01-02, 2006-01-02T15:04:05Z, seconds since 1970, or
10m, 1h30m ago: --until 0s prints what there is and ends.

Actions: tag, untag, delete, load, import, pull, push, save and prune, as with Docker; and copy
(into the store), sign, encrypt, decrypt, pin, unpin, lease, unlease, restore (from the trash),
empty (the trash), gc, adopt (what another tool has put into index.json) and rebuild (of the index).
A name that moves to another image is one event, of what moved it. Commands that print what they
would do (--dry-run) make none.

Filters: event=ACTION, image=NAME, REPOSITORY or ID, type=image. Of filters of one name any may fit,
and of each name one must.

The store keeps {MOST} events of changes, of the last {DAYS} days; an older casstore writes none.
What changes nothing in the index (save, push, prune, gc, a load of what is there) is noted without
waiting for the disk, and not at all in a store that cannot be written.

Fields of a template: .Action .Actor.Attributes .Actor.ID .From .Generation .ID .Scope .Status .Time
.TimeNano .Type""",
)

# Go's names of the fields that have others in JSON (moby, api/types/events.Message).
_IN_JSON = {
    "Status": "status",
    "ID": "id",
    "From": "from",
    "Type": "Type",
    "Action": "Action",
    "Actor": "Actor",
    "Scope": "scope",
    "Time": "time",
    "TimeNano": "timeNano",
    "Generation": "generation",
}


class Message(Struct):
    """An event in Docker's shape: JSON leaves out what is empty."""

    def document(self) -> dict[str, object]:
        """The fields that JSON shows."""
        return {_IN_JSON[name]: value for name, value in self.items() if value not in ("", None)}


def run(args: Args, app: App) -> int:
    """Print one event after the other."""
    show = _shown(args.text("format"))
    until = args.text("until")

    def wait(seconds: float) -> None:
        sys.stdout.flush()
        time.sleep(seconds)

    events = app.store.events(
        since=args.text("since"),
        until=until,
        follow=True,
        filters=checked_filters(args, FILTER),
        wait=wait,
    )
    for event in events:
        app.write(show(event))
    return 0


def _shown(form: str | None) -> Callable[[Event], str]:
    if not form:
        return lambda event: printable(line_of(event)) + "\n"
    if form == "json":
        from casstore.cli.jsontext import json_text

        return lambda event: json_text(message_of(event)) + "\n"
    from casstore.cli.gotemplate import Template

    template = Template(form.strip(" ").replace("\\t", "\t").replace("\\n", "\n"))
    return lambda event: template.render(message_of(event)) + "\n"


def line_of(event: Event) -> str:
    """An event as Docker prints it: `2026-01-02T15:04:05.000000000Z image tag ID (name=app:1)`."""
    attributes = ", ".join([f"{key}={value}" for key, value in event.actor_attributes.items()])
    line = f"{rfc3339_nano(event.happened)} {IMAGE} {event.action} {event.id}"
    return f"{line} ({attributes})" if attributes else line


def message_of(event: Event) -> Message:
    """An event as Docker's API has it."""
    return Message(
        {
            "Status": event.action,
            "ID": event.id,
            "From": "",
            "Type": IMAGE,
            "Action": event.action,
            "Actor": Struct({"ID": event.id, "Attributes": event.actor_attributes}),
            "Scope": LOCAL,
            "Time": event.happened // SECOND,
            "TimeNano": event.happened,
            "Generation": event.generation,
        }
    )
