"""df: what is stored, what is shared, what could be freed."""

from __future__ import annotations

from casstore.cli.options import OF_A_LOOK, TEXT, Args, Command, Option
from casstore.cli.render import NONE, SECOND, UNKNOWN, age, go_time, image_size, size, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.results.space import DiskUsage, DiskUsageRow

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
            "'raw':              Print one field a line\n"
            "'TEMPLATE':         Print output using the given Go template",
            kind=TEXT,
        ),
        Option("verbose", "Show detailed information on space usage", short="v"),
    ),
    most=0,
    exits=(
        (0, "the figures are printed"),
        (1, "a template is wrong"),
        *OF_A_LOOK,
    ),
    description="""\
SIZE is bytes on disk, of compressed layers and all documents; every blob counts once. ACTIVE images
are held by a lease. RECLAIMABLE is what prune -a would free. As with docker, images without a name
that others are built on are not counted in TOTAL, but their bytes are. A row Trash shows
what was removed and is kept for a time, with the bytes that nothing else holds; trash empty frees
them. A row Leftovers shows what a crash or an unfinished load left; gc frees it.

With -v a row for each image, as docker's: SIZE is the bytes of its files, and where an image has a
parent first what it adds to that; SHARED SIZE is those of layers that other images need too, UNIQUE
SIZE of those that would go with it. STORED is what it takes on disk, STORED UNIQUE what comes free
with it. LEASES, which docker has not, stands for CONTAINERS.

Fields of a template: .Active .Reclaimable .ReclaimableBytes .Size .SizeBytes .TotalCount .Type
.UncompressedBytes .UncompressedSize; with -v .CreatedAt .CreatedSince .CreatedUnix .ID .Leases
.Names .OwnBytes .OwnSize .Repository .SharedBytes .SharedSize .Size .SizeBytes .Stored .StoredBytes
.StoredShared .StoredSharedBytes .StoredUnique .StoredUniqueBytes .Tag .UniqueBytes .UniqueSize""",
)

_SUMMARY = {
    "Active": "ACTIVE",
    "Reclaimable": "RECLAIMABLE",
    "ReclaimableBytes": "RECLAIMABLE BYTES",
    "Size": "SIZE",
    "SizeBytes": "SIZE BYTES",
    "TotalCount": "TOTAL",
    "Type": "TYPE",
    "UncompressedBytes": "UNCOMPRESSED BYTES",
    "UncompressedSize": "UNCOMPRESSED SIZE",
}
_DETAIL = {
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "CreatedUnix": "CREATED UNIX",
    "ID": "IMAGE ID",
    "Leases": "LEASES",
    "Names": "NAMES",
    "OwnBytes": "OWN BYTES",
    "OwnSize": "OWN SIZE",
    "Repository": "REPOSITORY",
    "SharedBytes": "SHARED BYTES",
    "SharedSize": "SHARED SIZE",
    "Size": "SIZE",
    "SizeBytes": "SIZE BYTES",
    "Stored": "STORED",
    "StoredBytes": "STORED BYTES",
    "StoredShared": "STORED SHARED",
    "StoredSharedBytes": "STORED SHARED BYTES",
    "StoredUnique": "STORED UNIQUE",
    "StoredUniqueBytes": "STORED UNIQUE BYTES",
    "Tag": "TAG",
    "UniqueBytes": "UNIQUE BYTES",
    "UniqueSize": "UNIQUE SIZE",
}

# What Docker prints for `--format raw`.
_RAW_SUMMARY = """\
type: {{.Type}}
total: {{.TotalCount}}
active: {{.Active}}
size: {{.Size}}
reclaimable: {{.Reclaimable}}
"""
_RAW_DETAIL = """\
type: Image
repository: {{.Repository}}
tag: {{.Tag}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
"""


def run(args: Args, app: App) -> int:
    """Print the totals, or with -v a row for each image."""
    usage = app.store.df()
    verbose = args.flag("verbose")
    form = args.text("format") or "table"
    if form != "table":
        from casstore.cli.formats import render_records
        from casstore.cli.jsontext import Struct

        if verbose:
            details = (Struct(_detail(row, app.now())) for row in usage.rows)
            app.write(render_records(form, _DETAIL, details, _RAW_DETAIL))
        else:
            records = [Struct(record) for record in _summary(usage)]
            app.write(render_records(form, _SUMMARY, records, _RAW_SUMMARY))
    elif verbose:
        app.write(_detail_table(usage, app.now()))
    else:
        header = ("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")
        keys = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
        rows = [[str(record[key]) for key in keys] for record in _summary(usage)]
        app.write(table(header, rows) + "\n")
    return 0


def _summary(usage: DiskUsage) -> list[dict[str, object]]:
    count = usage.images - usage.intermediate
    stored = usage.stored - usage.trash_bytes
    images = _total("Images", count, usage.active, stored, usage.reclaimable)
    images["UncompressedBytes"] = usage.file_bytes
    images["UncompressedSize"] = size(usage.file_bytes)
    rows = [images]
    if usage.trash:
        rows.append(_total("Trash", usage.trash, 0, usage.trash_bytes, usage.trash_bytes))
    left = usage.orphan_bytes + usage.ingest_bytes
    if usage.orphans or left:
        rows.append(_total("Leftovers", usage.orphans, 0, left, left))
    return rows


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
        "UncompressedBytes": None,
        "UncompressedSize": UNKNOWN,
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
        "Leases": str(len(row.leases)),
        "Names": names,
        "OwnBytes": row.own,
        "OwnSize": size(row.own),
        "Repository": repository,
        "SharedBytes": row.file_shared,
        "SharedSize": size(row.file_shared),
        "Size": image_size(row.own, row.size),
        "SizeBytes": row.size,
        "Stored": size(row.stored),
        "StoredBytes": row.stored,
        "StoredShared": size(row.shared),
        "StoredSharedBytes": row.shared,
        "StoredUnique": size(row.unique),
        "StoredUniqueBytes": row.unique,
        "Tag": tag,
        "UniqueBytes": row.file_unique,
        "UniqueSize": size(row.file_unique),
    }


def _detail_table(usage: DiskUsage, now: int) -> str:
    header = (
        *("REPOSITORY", "TAG", "IMAGE ID", "CREATED"),
        *("SIZE", "SHARED SIZE", "UNIQUE SIZE", "LEASES", "STORED", "STORED UNIQUE"),
    )
    keys = (
        *("Repository", "Tag", "ID", "CreatedSince"),
        *("Size", "SharedSize", "UniqueSize", "Leases", "Stored", "StoredUnique"),
    )
    details = [_detail(row, now) for row in usage.rows]
    rows = [[str(detail[key]) for key in keys] for detail in details]
    return "Images space usage:\n\n" + table(header, rows) + "\n"
