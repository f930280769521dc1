"""df: what is stored, what is shared, what could be freed."""

from __future__ import annotations

from casstore.cli.options import DAMAGED, NO_STORE, TEXT, WRONG_USAGE, Args, Command, Option
from casstore.cli.render import NONE, SECOND, age, go_time, size, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.results import DiskUsage, DiskUsageRow

HELP = Command(
    name="df",
    arguments="",
    summary="Show disk usage",
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
        Option("verbose", "Show detailed information on space usage", short="v"),
    ),
    most=0,
    exits=(
        (0, "the figures are printed"),
        (1, "a template is wrong"),
        WRONG_USAGE,
        NO_STORE,
        DAMAGED,
    ),
    description="""\
SIZE is bytes on disk, of compressed layers and all documents; every blob counts once. ACTIVE images
are held by a lease. RECLAIMABLE is what prune -a would free. A second row, Leftovers, shows what a
crash or an unfinished load left; gc frees it.

With -v a row for each image: SIZE is the bytes of its files; SHARED SIZE is what it takes on disk
together with other images, UNIQUE SIZE what it takes alone, STORED both.

Fields of a template: .Active .Reclaimable .ReclaimableBytes .Size .SizeBytes .TotalCount .Type;
with -v .CreatedAt .CreatedSince .ID .Names .Repository .SharedBytes .SharedSize .Size .SizeBytes
.Stored .StoredBytes .Tag .UniqueBytes .UniqueSize""",
)

_SUMMARY = {
    "Active": "ACTIVE",
    "Reclaimable": "RECLAIMABLE",
    "ReclaimableBytes": "RECLAIMABLE BYTES",
    "Size": "SIZE",
    "SizeBytes": "SIZE BYTES",
    "TotalCount": "TOTAL",
    "Type": "TYPE",
}
_DETAIL = {
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "CreatedUnix": "CREATED UNIX",
    "ID": "IMAGE ID",
    "Names": "NAMES",
    "Repository": "REPOSITORY",
    "SharedBytes": "SHARED BYTES",
    "SharedSize": "SHARED SIZE",
    "Size": "SIZE",
    "SizeBytes": "SIZE BYTES",
    "Stored": "STORED",
    "StoredBytes": "STORED BYTES",
    "Tag": "TAG",
    "UniqueBytes": "UNIQUE BYTES",
    "UniqueSize": "UNIQUE SIZE",
}


def run(args: Args, app: App) -> int:
    """Print the totals, or with -v a row for each image."""
    usage = app.store.df()
    verbose = args.flag("verbose")
    form = args.text("format") or "table"
    if form != "table":
        from casstore.cli.formats import render_records
        from casstore.cli.govalues import Struct

        if verbose:
            details = (Struct(_detail(row, app.now())) for row in usage.rows)
            app.write(render_records(form, _DETAIL, details))
        else:
            records = [Struct(record) for record in _summary(usage)]
            app.write(render_records(form, _SUMMARY, records))
    elif verbose:
        app.write(_detail_table(usage, app.now()))
    else:
        header = ("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")
        keys = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
        rows = [[str(record[key]) for key in keys] for record in _summary(usage)]
        app.write(table(header, rows) + "\n")
    return 0


def _summary(usage: DiskUsage) -> list[dict[str, object]]:
    records = [_total("Images", usage.images, usage.active, usage.stored, usage.reclaimable)]
    left = usage.orphan_bytes + usage.ingest_bytes
    if usage.orphans or left:
        records.append(_total("Leftovers", usage.orphans, 0, left, left))
    return records


def _total(
    kind: str, count: int, active: int, byte_count: int, reclaimable: int
) -> dict[str, object]:
    share = f" ({100 * reclaimable // byte_count}%)" if byte_count else ""
    return {
        "Active": str(active),
        "Reclaimable": size(reclaimable) + share,
        "ReclaimableBytes": reclaimable,
        "Size": size(byte_count),
        "SizeBytes": byte_count,
        "TotalCount": str(count),
        "Type": kind,
    }


def _detail(row: DiskUsageRow, now: int) -> dict[str, object]:
    names = [name.familiar for name in row.names]
    repository, tag = NONE, NONE
    if names:
        repository, _, tag = names[0].rpartition("@" if "@" in names[0] else ":")
        tag = NONE if "@" in names[0] else tag
    return {
        "CreatedAt": go_time(row.created),
        "CreatedSince": age(row.created, now),
        "CreatedUnix": None if row.created is None else row.created // SECOND,
        "ID": row.id.short,
        "Names": names,
        "Repository": repository,
        "SharedBytes": row.shared,
        "SharedSize": size(row.shared),
        "Size": size(row.size),
        "SizeBytes": row.size,
        "Stored": size(row.stored),
        "StoredBytes": row.stored,
        "Tag": tag,
        "UniqueBytes": row.unique,
        "UniqueSize": size(row.unique),
    }


def _detail_table(usage: DiskUsage, now: int) -> str:
    header = (
        *("REPOSITORY", "TAG", "IMAGE ID", "CREATED"),
        *("SIZE", "SHARED SIZE", "UNIQUE SIZE", "STORED"),
    )
    keys = (
        *("Repository", "Tag", "ID", "CreatedSince"),
        *("Size", "SharedSize", "UniqueSize", "Stored"),
    )
    details = [_detail(row, now) for row in usage.rows]
    rows = [[str(detail[key]) for key in keys] for detail in details]
    return "Images space usage:\n\n" + table(header, rows) + "\n"
