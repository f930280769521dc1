"""cp: files of an image, copied to this machine."""

from __future__ import annotations

from casstore.cli.commands.ls import LOOK_EXITS, PLATFORM
from casstore.cli.commands.unpack import KEEP_SETID
from casstore.cli.imagepath import image_path
from casstore.cli.lostattributes import warnings_of
from casstore.cli.options import Args, Command, Option, WrongUsage
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.errors import CasstoreError, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="cp",
    arguments="IMAGE:/PATH DEST|-",
    summary="Copy files or folders of an image to the local filesystem",
    options=(
        Option("archive", "Archive mode (copy all uid/gid information)", short="a"),
        Option("follow-link", "Always follow symbol link in /PATH", short="L"),
        KEEP_SETID,
        PLATFORM,
        PROGRESS,
    ),
    least=2,
    most=2,
    exits=(
        (0, "the files are copied"),
        (1, "no such image or file, or it cannot be written where it shall be"),
        *LOOK_EXITS,
    ),
    description="""\
Use '-' as the destination to write a tar archive to stdout, of names that begin with the last one
of /PATH.

DEST is as for docker cp. A file goes to DEST, over a file that is there; into DEST if that is a
directory. A directory becomes DEST, or goes into DEST if that is there; a path that ends with /.
means what is in the directory. The directory above DEST must be there. Symbolic links on the way to
/PATH are followed within the image; one that /PATH itself is, is copied as a link, unless -L is
given. Below DEST no link is followed.

Modes, times and extended attributes are kept. Owners are kept with -a, by root; else the copies are
the caller's, and set-user-ID, set-group-ID and capabilities are cleared unless --keep-setid is
given. Devices are left out unless root copies.

A file appears whole or not at all, and so does a directory that is new.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Copy; silent when all was kept."""
    source, target = args.positional
    image, path = image_path(source)
    if path is None:
        raise WrongUsage(f"no path in {quote(source)}: use IMAGE:/PATH", HELP)
    if not target:
        raise WrongUsage("a destination is needed", HELP)
    stream = app.output() if target == "-" else None
    if stream is not None and stream.isatty():
        raise CasstoreError("cowardly refusing to write to a terminal. Redirect it")
    with Show(app, args.text("progress") or AUTO):
        written = app.store.copy_files(
            image,
            path,
            target if stream is None else stream,
            owners=args.flag("archive"),
            keep_setid=args.flag("keep-setid"),
            follow_link=args.flag("follow-link"),
            platform=args.text("platform"),
        )
    if written is not None:
        app.warn(warnings_of(written))
    return 0
