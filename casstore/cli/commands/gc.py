"""gc: finish what a crash left, remove what nothing refers to."""

from __future__ import annotations

from casstore.cli.options import (
    DAMAGED,
    LOCKED,
    NO_STORE,
    TEXT,
    WRONG_USAGE,
    Args,
    Command,
    Option,
)
from casstore.cli.render import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="gc",
    arguments="",
    summary="Remove what a crash left and what nothing refers to",
    options=(
        Option("dry-run", "Show what would be removed, and remove nothing"),
        Option("empty-trash", "Remove all of the trash, not only what has expired"),
        Option("format", "'json': one JSON object", kind=TEXT, choices=("json",)),
    ),
    most=0,
    exits=(
        (0, "done, also where there was nothing to do"),
        (1, "something could not be removed"),
        WRONG_USAGE,
        NO_STORE,
        LOCKED,
        DAMAGED,
    ),
    description="""\
Removes blobs that no image holds, temporary files that no living process holds, expired leases, and
what has expired in the trash (all of it with --empty-trash); publishes index.json again where it is
behind. Images and names stay: that is prune.""",
)


def run(args: Args, app: App) -> int:
    """Collect, and say what went."""
    dry_run = args.flag("dry-run")
    result = app.store.gc(dry_run=dry_run, empty_trash=args.flag("empty-trash"))
    if args.text("format") == "json":
        from casstore.cli.govalues import json_text

        record: dict[str, object] = {
            "RemovedBlobs": result.removed_blobs,
            "RemovedFiles": result.removed_files,
            "Freed": result.freed,
            "Findings": result.findings,
        }
        app.write(json_text(record) + "\n")
    else:
        for finding in result.findings:
            app.out(finding)
        app.out(f"Removed blobs: {result.removed_blobs}")
        app.out(f"Removed temporary files: {result.removed_files}")
        app.out(f"Total reclaimed space: {size(result.freed)}")
    if dry_run:
        app.note(f"Would free {size(result.freed)}")
    return 0
