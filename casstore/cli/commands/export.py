"""export: the files of an image as a tar."""

from __future__ import annotations

from casstore.cli.commands.ls import LOOK_EXITS, PLATFORM
from casstore.cli.options import TEXT, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.errors import CasstoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="export",
    arguments="IMAGE",
    summary="Export an image's file system as a tar archive",
    options=(
        Option(
            "output",
            "Write to a file, instead of STDOUT",
            short="o",
            kind=TEXT,
            completes="file",
        ),
        PLATFORM,
        PROGRESS,
    ),
    least=1,
    most=1,
    exits=(
        (0, "the tar is written"),
        (1, "no such image, or it cannot be written; no file is left"),
        *LOOK_EXITS,
    ),
    description="""\
The files are those of the image as a container would see them: its layers put on top of each other,
without whiteouts. The same files give the same bytes, however they are spread over layers. Names
come sorted, a directory right before what is in it; of several names of one file the later ones are
hard links. The form is pax, with owners as numbers, times in nanoseconds, extended attributes as
SCHILY.xattr records, and sparse files with their holes. IMAGE may be a layer's digest.

Layers are verified as they are read. If one is wrong the tar has no end, and the status is 12.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Export; silent when it worked."""
    (image,) = args.positional
    target, platform = args.text("output"), args.text("platform")
    if target == "":
        raise args.wrong("output", "a file is needed")
    show = Show(app, args.text("progress") or AUTO)
    if target is not None:
        with show:
            app.store.export(image, target, platform=platform)
        return 0
    stream = app.output()
    if stream.isatty():
        raise CasstoreError("cowardly refusing to write to a terminal. Use the -o flag or redirect")
    with show:
        app.store.export(image, stream, platform=platform)
    return 0
