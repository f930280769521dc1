"""history: how an image came to be, newest first."""

from __future__ import annotations

from casstore.cli.options import NO_TRUNC, OF_A_LOOK, TEXT, Args, Command, Option
from casstore.cli.render import SECOND, age, rfc3339, size, table
from casstore.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.cli.app import App
    from casstore.results.images import HistoryRow

HELP = Command(
    name="history",
    arguments="IMAGE",
    summary="Show the history of an image",
    options=(
        Option(
            "format",
            "Format output using a custom template:\n"
            "'table':            Print output in table format with column headers (default)\n"
            "'table TEMPLATE':   Print output in table format using the given Go template\n"
            "'json':             Print in JSON format, one object a line\n"
            "'TEMPLATE':         Print output using the given Go template",
            kind=TEXT,
        ),
        Option(
            "human",
            "Print sizes and dates in human readable format (default true)",
            short="H",
            default="true",
        ),
        NO_TRUNC,
        Option("quiet", "Only show image IDs", short="q"),
    ),
    least=1,
    most=1,
    exits=(
        (0, "the history is printed"),
        (1, "no such image, or a template is wrong"),
        *OF_A_LOOK,
    ),
    description="""\
One row for each step. IMAGE is the ID of the image, then of each recorded ancestor, and <missing>
where the links end.

Fields of a template: .Comment .CreatedAt .CreatedBy .CreatedSince .CreatedUnix .ID .Size .SizeBytes
.Tags""",
    completes="image",
)

MISSING = "<missing>"
CREATED_BY_WIDTH = 45


def run(args: Args, app: App) -> int:
    """Print the rows."""
    rows = app.store.history(args.positional[0])
    full, human = args.flag("no-trunc"), args.flag("human")
    form = args.text("format") or "table"
    if form not in ("table", "json") or (form == "json" and not args.flag("quiet")):
        from casstore.cli.formats import render_records
        from casstore.cli.jsontext import Struct

        headers = {
            "Comment": "COMMENT",
            "CreatedAt": "CREATED AT",
            "CreatedBy": "CREATED BY",
            "CreatedSince": "CREATED",
            "CreatedUnix": "CREATED UNIX",
            "ID": "IMAGE",
            "Size": "SIZE",
            "SizeBytes": "SIZE BYTES",
            "Tags": "TAGS",
        }
        now = app.now()
        records = (Struct(_record(row, now=now, full=full, human=human)) for row in rows)
        app.write(render_records(form, headers, records))
    elif args.flag("quiet"):
        app.write("".join(f"{_id(row, full=full)}\n" for row in rows))
    else:
        app.write(_table(rows, now=app.now(), full=full, human=human))
    return 0


def _record(row: HistoryRow, *, now: int, full: bool, human: bool) -> dict[str, object]:
    return {
        "Comment": row.comment,
        "CreatedAt": rfc3339(row.created),
        "CreatedBy": _created_by(row, full=full),
        "CreatedSince": age(row.created, now) if human else rfc3339(row.created),
        "CreatedUnix": None if row.created is None else row.created // SECOND,
        "ID": _id(row, full=full),
        "Size": size(row.size) if human else str(row.size),
        "SizeBytes": row.size,
        "Tags": [name.familiar for name in row.tags],
    }


def _table(rows: Sequence[HistoryRow], *, now: int, full: bool, human: bool) -> str:
    header = ("IMAGE", "CREATED" if human else "CREATED AT", "CREATED BY", "SIZE", "COMMENT")
    lines = [
        (
            _id(row, full=full),
            age(row.created, now) if human else rfc3339(row.created),
            printable(_created_by(row, full=full)),
            size(row.size) if human else str(row.size),
            printable(row.comment),
        )
        for row in rows
    ]
    return table(header, lines) + "\n"


def _id(row: HistoryRow, *, full: bool) -> str:
    if row.id is None:
        return MISSING
    return row.id.hex if full else row.id.short


def _created_by(row: HistoryRow, *, full: bool) -> str:
    text = row.created_by.replace("\t", " ")
    if full or len(text) <= CREATED_BY_WIDTH:
        return text
    return text[: CREATED_BY_WIDTH - 1] + "…"
