"""tree: images under what they are built on, with what each adds; or the layers of some."""

from __future__ import annotations

import sys

from casstore.cli.commands.ls import LOOK_EXITS, PLATFORM
from casstore.cli.options import AS_JSON, NO_TRUNC, TEXT, Args, Command, Option, WrongUsage
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.cli.render import NONE, SECOND, image_size, size
from casstore.cli.terminal import BOLD, CYAN, DIM, terminal_of
from casstore.errors import CasstoreError, Locked, NotAStore, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.cli.terminal import Terminal
    from casstore.results.space import TreeRow

HELP = Command(
    name="tree",
    arguments="[--layers IMAGE [IMAGE...]]",
    summary="Show images under what they are built on, or what layers bring",
    options=(
        Option(
            "by",
            "'layers': under the parent, else under the image or the run of\n"
            "layers that stands at the bottom of its own (default);\n"
            "'parent': under the recorded parent only",
            kind=TEXT,
            choices=("layers", "parent"),
            default="layers",
        ),
        AS_JSON,
        Option(
            "layers",
            "Show the layers of each IMAGE instead: the files that each brings,\n"
            "and how much of that later layers overwrite or delete",
        ),
        NO_TRUNC,
        PLATFORM,
        PROGRESS,
    ),
    exits=(
        (0, "also where there is no image"),
        (1, "an IMAGE was not found, or cannot be looked into; the others are shown"),
        *LOOK_EXITS,
    ),
    description="""\
Each line is an image, or first layers that several images share without being an image themselves.
Its size is the bytes of the files that it adds to what it stands under, then of all its files;
[in brackets] what these layers take on disk. What takes most comes first.

On a terminal that can show them, lines and colours are drawn; NO_COLOR and TERM=dumb are heeded.

With --format json one object a line, a line before those under it: Below, CreatedUnix, Depth, ID,
Layers, Names, OwnBytes, SizeBytes, StoredBytes. ID is empty for shared layers.

With --layers each line is a layer of IMAGE, the bottom one first: its number (as for ls --layer),
its digest, its files and the bytes in them, and of these the bytes that the image does not show:
OVERWRITTEN where later layers have put something else in the file's place, DELETED where they have
left nothing. They stay in the image, and are pushed and pulled with it; another image on the same
layers may still show them. A file with several names counts once, and is hidden only if all of them
are. Efficiency is the share of the bytes that are not hidden. The first look at a layer reads all
of it; the store keeps a table of what was found. JSON then has CreatedBy, DeletedBytes,
DeletedFiles, Digest, Files, Image, Layer, OverwrittenBytes, OverwrittenFiles, SizeBytes.""",
    completes="image",
)

MOST_NAMES = 3  # of an image, unless --no-trunc


def run(args: Args, app: App) -> int:
    """Draw the tree, or show layers."""
    if args.flag("layers"):
        if not args.positional:
            raise WrongUsage("--layers needs an IMAGE", HELP)
        return _show_layers(args, app)
    if args.positional:
        raise WrongUsage("an IMAGE is only taken with --layers", HELP)
    rows = app.store.tree(by=args.text("by") or "layers")
    full = args.flag("no-trunc")
    if args.text("format") == "json":
        from casstore.cli.jsontext import json_text

        app.write("".join(json_text(_record(row)) + "\n" for row in rows))
        return 0
    terminal = terminal_of(sys.stdout)
    app.write("".join(_drawn(rows, terminal, full=full)))
    return 0


def _show_layers(args: Args, app: App) -> int:
    """Each image in turn; one that cannot be shown does not stop the others."""
    from casstore.cli.layerrows import layer_records, layer_table

    status, several, gap = 0, len(args.positional) > 1, ""
    for image in args.positional:
        try:
            with Show(app, args.text("progress") or AUTO):
                uses = app.store.layers(image, platform=args.text("platform"))
        except (NotAStore, Locked):
            raise
        except CasstoreError as error:
            app.error(str(error))
            status = max(status, error.exit_code)
            continue
        if args.text("format") == "json":
            from casstore.cli.jsontext import json_text

            app.write("".join(json_text(one) + "\n" for one in layer_records(image, uses)))
            continue
        head = f"{gap}{printable(image)}\n" if several else ""
        app.write(head + layer_table(uses, full=args.flag("no-trunc")))
        gap = "\n"
    return status


def _drawn(rows: list[TreeRow], terminal: Terminal, *, full: bool) -> list[str]:
    fork, end, bar = ("├── ", "└── ", "│   ") if terminal.box else ("|-- ", "`-- ", "|   ")
    margin: list[str] = []
    lines = []
    for row in rows:
        del margin[max(row.depth - 1, 0) :]
        branch = "" if row.depth == 0 else "".join(margin) + (end if row.last else fork)
        if row.depth:
            margin.append("    " if row.last else bar)
        lines.append(terminal.paint(branch, DIM) + _line(row, terminal, full=full) + "\n")
    return lines


def _line(row: TreeRow, terminal: Terminal, *, full: bool) -> str:
    stored = terminal.paint(f"[{size(row.stored)}]", DIM)
    amount = f"{terminal.paint(image_size(row.own, row.size), CYAN)}  {stored}"
    if row.image is None:
        count = len(row.layers)
        what = f"{count} shared layer{'s' if count != 1 else ''} of {row.below} images"
        return f"{terminal.paint(what, DIM)}  {amount}"
    shown = row.names if full else row.names[:MOST_NAMES]
    names = printable(", ".join(name.familiar for name in shown)) or NONE
    if len(shown) < len(row.names):
        names += f" and {len(row.names) - len(shown)} more"
    image = row.image.hex if full else row.image.short
    return f"{terminal.paint(names, BOLD)}  {image}  {amount}"


def _record(row: TreeRow) -> dict[str, object]:
    return {
        "Below": row.below,
        "CreatedUnix": None if row.created is None else row.created // SECOND,
        "Depth": row.depth,
        "ID": "" if row.image is None else row.image.hex,
        "Layers": [layer.hex for layer in row.layers],
        "Names": [name.familiar for name in row.names],
        "OwnBytes": row.own,
        "SizeBytes": row.size,
        "StoredBytes": row.stored,
    }
