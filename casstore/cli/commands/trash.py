"""trash: what rmi and prune removed and kept for a time."""

from __future__ import annotations

from casstore.cli.options import NO_TRUNC, OF_A_CHANGE, OF_A_LOOK, TEXT, Args, Command, Option
from casstore.cli.render import NONE, SECOND, rfc3339, size, span, table
from casstore.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.cli.app import App
    from casstore.results.trash import TrashEntry

HELP = Command(
    name="trash",
    arguments="COMMAND",
    summary="Show and empty the trash, where removed images are kept for a time",
    least=1,
    in_order=True,
    description="""\
rmi and prune keep what they remove where --keep or the setting trash.keep says so; casstore restore
brings it back. Each removal of an image is one entry: the names that went, their image, and the
parents that went with it. What is kept costs its space and nothing else, and is removed for good

- when its time is over, by the next rmi, prune, load, import or gc,
- by trash empty or gc --empty-trash,
- oldest first, when a load, import or pull finds the disk nearly full (less than 1 GiB free, or 5%
where that is less), or runs out of space.""",
)

LS = Command(
    name="trash ls",
    arguments="",
    summary="List what is in the trash, newest first",
    options=(
        Option(
            "format",
            "'table', 'json' (one object a line), or a Go template with the fields\n"
            ".Expires .ExpiresAt .ID .Image .Images .Names .Removed .RemovedAt .Size\n"
            ".SizeBytes",
            kind=TEXT,
        ),
        NO_TRUNC,
        Option("quiet", "Only show the numbers of entries", short="q"),
    ),
    most=0,
    exits=(
        (0, "also where it is empty"),
        (1, "a template is wrong"),
        *OF_A_LOOK,
    ),
    description="""\
ID is for restore and trash empty. SIZE is bytes on disk that nothing else holds, neither an image
nor another entry: what emptying this one alone would free.""",
)

EMPTY = Command(
    name="trash empty",
    arguments="[ENTRY...]",
    summary="Remove entries of the trash for good, all where none is named",
    exits=(
        (0, "they are gone; also where there was none"),
        (1, "no such entry; nothing is removed"),
        *OF_A_CHANGE,
    ),
    description="ENTRY is the number of an entry, or a name or image ID in it.",
)

_HEADERS = {
    "Expires": "EXPIRES",
    "ExpiresAt": "EXPIRES AT",
    "ID": "ID",
    "Image": "IMAGE ID",
    "Images": "IMAGES",
    "Names": "NAMES",
    "Removed": "REMOVED",
    "RemovedAt": "REMOVED AT",
    "Size": "SIZE",
    "SizeBytes": "SIZE BYTES",
}


def ls(args: Args, app: App) -> int:
    """List the entries."""
    entries = app.store.trash.list()
    form = args.text("format") or "table"
    full, now = args.flag("no-trunc"), app.now()
    if form not in ("table", "json") or (form == "json" and not args.flag("quiet")):
        from casstore.cli.formats import render_records
        from casstore.cli.jsontext import Struct

        records = (Struct(_record(entry, now=now, full=full)) for entry in entries)
        app.write(render_records(form, _HEADERS, records))
    elif args.flag("quiet"):
        for entry in entries:
            app.out(str(entry.id))
    else:
        keys = ("ID", "Names", "Image", "Removed", "Expires", "Size")
        rows = []
        for entry in entries:
            record = _record(entry, now=now, full=full)
            record["Names"] = " ".join(name.familiar for name in entry.names) or NONE
            rows.append([printable(str(record[key])) for key in keys])
        app.write(table([_HEADERS[key] for key in keys], rows) + "\n")
    return 0


def empty(args: Args, app: App) -> int:
    """Let go of entries and say what that freed."""
    result = app.store.trash.empty(*args.positional)
    app.warn(result.warnings)
    app.out(f"Total reclaimed space: {size(result.freed)}")
    return 0


SUBCOMMANDS: dict[str, tuple[Command, Callable[[Args, App], int]]] = {
    "empty": (EMPTY, empty),
    "ls": (LS, ls),
}


def _record(entry: TrashEntry, *, now: int, full: bool) -> dict[str, object]:
    images = [image.hex if full else image.short for image in entry.images]
    left = -((now - entry.expires) // SECOND)  # whole seconds, rounded up
    return {
        "Expires": "in " + span(left).lower() if left > 0 else "expired",
        "ExpiresAt": rfc3339(entry.expires),
        "ID": entry.id,
        "Image": images[0] if images else NONE,
        "Images": images,
        "Names": [name.familiar for name in entry.names],
        "Removed": span((now - entry.removed) / SECOND) + " ago",
        "RemovedAt": rfc3339(entry.removed),
        "Size": size(entry.size),
        "SizeBytes": entry.size,
    }
