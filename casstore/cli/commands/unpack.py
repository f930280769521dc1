"""unpack: the files of an image in a directory."""

from __future__ import annotations

from casstore.cli.commands.ls import LOOK_EXITS, PLATFORM
from casstore.cli.lostattributes import warnings_of
from casstore.cli.options import Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

KEEP_SETID = Option(
    "keep-setid", "Keep set-user-ID and set-group-ID where owners are not kept", own=True
)

HELP = Command(
    name="unpack",
    arguments="IMAGE DIR",
    summary="Unpack an image's file system to a directory",
    options=(
        Option("force", "Write to a directory that has files, over those of the same names"),
        KEEP_SETID,
        PLATFORM,
        PROGRESS,
        Option(
            "rootless",
            "Write as an ordinary user would, also as root, and note owners in\n"
            "the extended attribute user.rootlesscontainers",
        ),
    ),
    least=2,
    most=2,
    exits=(
        (0, "the files are in the directory"),
        (1, "no such image, the directory is not empty, or a file cannot be written"),
        *LOOK_EXITS,
    ),
    description="""\
The files are those of the image as a container would see them. DIR is new or empty. Nothing outside
of it is written to, whatever the image says: no symbolic link is followed, not one of the image and
not one that is in DIR.

As root, files have their owners, modes, times and extended attributes, and devices are made. As an
ordinary user they are the user's; devices are left out, set-user-ID, set-group-ID and capabilities
are cleared unless --keep-setid is given, and extended attributes that cannot be set are dropped: a
warning says how many. With --rootless the owners that are not root are noted where umoci and PRoot
look for them.

The files are written to DIR.casstore-partial-… beside DIR, which becomes DIR when it is whole. A
command that was killed leaves it; the same command again removes it. Where DIR cannot be replaced
(it has files and --force is given, it is a mount point or the working directory, its parent is not
writable) the files are written in place, and a file .casstore-partial in DIR says until the end
that it is not complete; the same command again completes it. With --force a file replaces a file, a
directory keeps what is in it, and a file that stands where the image has a directory goes; a
file does not replace a directory. Nothing waits for the disk: after a power cut, unpack again.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Unpack; silent when all was kept."""
    image, directory = args.positional
    with Show(app, args.text("progress") or AUTO):
        written = app.store.unpack(
            image,
            directory,
            force=args.flag("force"),
            rootless=args.flag("rootless"),
            keep_setid=args.flag("keep-setid"),
            platform=args.text("platform"),
        )
    app.warn(warnings_of(written))
    return 0
