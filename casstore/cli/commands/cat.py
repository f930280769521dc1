"""cat: the content of files of images, on stdout."""

from __future__ import annotations

from contextlib import ExitStack

from casstore.cli.commands.ls import LOOK_EXITS, PLATFORM
from casstore.cli.imagepath import image_path
from casstore.cli.options import Args, Command, WrongUsage
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.errors import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.store.files import ImageFiles

HELP = Command(
    name="cat",
    arguments="IMAGE:/PATH [IMAGE:/PATH...]",
    summary="Print files of an image",
    options=(PLATFORM, PROGRESS),
    least=1,
    exits=(
        (0, "the files are printed"),
        (1, "no such image or file, not a regular file, or it cannot be read"),
        *LOOK_EXITS,
    ),
    description="""\
The content goes to stdout as it is, one file after the other. Symbolic links are followed within
the image. Each content is verified while it is read; a digest that is wrong ends the command with
status 12, after what was read until then.

Where the layer can be entered near the file (casstore's own zstd layers, plain layers, gzip layers
that were read before), only that part of it is read. IMAGE may be a layer's digest.""",
    completes="image",
)

_AT_ONCE = 1 << 20


def run(args: Args, app: App) -> int:
    """Print the files."""
    wanted = [image_path(argument) for argument in args.positional]
    for argument, (_, path) in zip(args.positional, wanted, strict=True):
        if path is None:
            raise WrongUsage(f"no path in {quote(argument)}: use IMAGE:/PATH", HELP)
    out = app.output()
    opened: dict[str, ImageFiles] = {}
    with ExitStack() as held:
        for image, path in wanted:
            if image not in opened:
                with Show(app, args.text("progress") or AUTO):
                    files = app.store.files(image, platform=args.text("platform"))
                opened[image] = held.enter_context(files)
            with opened[image].open(path or b"/") as file:
                while piece := file.read(_AT_ONCE):
                    out.write(piece)
    return 0
