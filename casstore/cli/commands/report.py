"""report: a page that shows where the space goes."""

from __future__ import annotations

from casstore.cli.options import OF_A_LOOK, TEXT, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="report",
    arguments="-o FILE",
    summary="Write a page that shows where the space goes",
    options=(
        Option(
            "files",
            "Read the layers that nobody has looked into, to show what of each\n"
            "later layers overwrite or delete; it can take minutes",
        ),
        Option(
            "output",
            "Write to this file, whole or not at all (needed)",
            short="o",
            kind=TEXT,
            value="file",
            completes="file",
        ),
        PROGRESS,
    ),
    most=0,
    exits=((0, "the page is written"), (1, "it cannot be written"), *OF_A_LOOK),
    description="""\
One HTML file for a browser, of this moment: what is on disk, what is shared, a map of repositories,
images and layers by bytes, and a table of all images with age, last use and what the removal of
each would free (the plan of rmi -f). Images can be selected there, to see what their removal would
free together, with the command that does it.

For images whose layers somebody has looked into (ls, tree --layers), and with --files for all, it
also shows the bytes of files that later layers overwrite or delete. Without --files a million
entries of layers at most are gone through; images beyond that are shown as unknown.

The page needs no network and no other file, and allows itself none: everything is in it. What names
and labels say is shown as text, whatever it is.""",
)


def run(args: Args, app: App) -> int:
    """Write the page."""
    out = args.text("output")
    if not out:
        raise args.wrong("output", "a file is needed")
    with Show(app, args.text("progress") or AUTO):
        app.store.report(out, files=args.flag("files"))
    return 0
