"""ls: the files of an image, or of one of its layers."""

from __future__ import annotations

from itertools import islice

from casstore.cli.filerows import HEADERS, FileRow, long_line, shown_name, shown_path
from casstore.cli.formats import render_records
from casstore.cli.imagepath import image_path
from casstore.cli.options import DAMAGED, LOCKED, NO_STORE, TEXT, WRONG_USAGE, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.errors import CasstoreError
from casstore.model.fileentry import SYMLINK, normalised
from casstore.model.manifest import MAX_LAYERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.cli.app import App
    from casstore.results.files import ImageFile
    from casstore.store.files import ImageFiles

PLATFORM = Option(
    "platform",
    "Look at the image for this platform (os/architecture[/variant]);\n"
    "default: the only one that is there, else this machine's",
    kind=TEXT,
    value="platform",
)
LOOK_EXITS = (WRONG_USAGE, NO_STORE, LOCKED, DAMAGED)

HELP = Command(
    name="ls",
    arguments="IMAGE[:/PATH]",
    summary="List the files of an image",
    options=(
        Option(
            "format",
            "Format output using a custom template:\n"
            "'json':             Print in JSON format, one object a line\n"
            "'table TEMPLATE':   Print a table using the given Go template\n"
            "'TEMPLATE':         Print output using the given Go template",
            kind=TEXT,
        ),
        Option(
            "layer",
            "List what one layer has, whiteouts and all: its number, from 1 at\n"
            "the bottom, or its digest or diff ID",
            kind=TEXT,
            value="layer",
            own=True,
        ),
        Option("long", "Show type and mode, owner, size, time and links", short="l"),
        PLATFORM,
        PROGRESS,
        Option("recursive", "List directories with all that is below them", short="R"),
    ),
    least=1,
    most=1,
    exits=(
        (0, "the files are listed"),
        (1, "no such image or file, or it cannot be read"),
        *LOOK_EXITS,
    ),
    description="""\
The files are those of the image as a container would see them: its layers put on top of each
other. Without -R a directory shows the names in it, with -R the paths below it, a directory right
before what is in it. Symbolic links on the way are followed within the image. IMAGE may be the
digest of a layer.

Names are bytes. A line break, another control character, a byte that is not UTF-8 and a backslash
are shown as \\n, \\x1b, \\xff and \\\\. In JSON and templates .Path has U+FFFD for what is not
UTF-8, and .RawPath the bytes in base64 where there is any.

With --layer the entries are those of the layer's own tar: also 'whiteout' (hides a file of a lower
layer), 'opaque' (hides what lower layers have in a directory) and 'hard link' (to a lower layer).

The first look at a layer reads all of it; the store keeps a table of what was found.

Fields of a template: .Device .GID .Layer .ModTime .Mode .Path .RawPath .RawTarget .SHA256 .Size
.Target .Type .UID .Xattrs""",
    completes="image",
)

_AT_ONCE = 1000  # lines in one write


def run(args: Args, app: App) -> int:
    """List."""
    image, path = image_path(args.positional[0])
    form, layer, long = args.text("format"), args.text("layer"), args.flag("long")
    with Show(app, args.text("progress") or AUTO):
        files = app.store.files(image, platform=args.text("platform"))
    with files:
        short = False
        if layer is not None:
            found = _of_layer(files, _layer(args, layer), path or b"/")
        else:
            top = _top(files, path or b"/", itself=long)
            short = top.is_directory and not args.flag("recursive")
            found = _below(files, top, all_levels=args.flag("recursive"))
        if form:
            app.write(render_records(form, HEADERS, map(FileRow, found)))
        else:
            _write_lines(app, found, long=long, short=short)
    return 0


def _top(files: ImageFiles, path: bytes, *, itself: bool) -> ImageFile:
    """What is listed; as ls has it, a link to a directory is that directory, unless with -l."""
    top = files.resolve(path, follow_last=path.endswith(b"/"))
    if top.kind != SYMLINK or itself:
        return top
    try:
        beyond = files.resolve(path)
    except CasstoreError:  # it dangles, and is listed as what it is
        return top
    return beyond if beyond.is_directory else top


def _below(files: ImageFiles, top: ImageFile, *, all_levels: bool) -> Iterator[ImageFile]:
    if not top.is_directory:
        return iter((top,))
    if not all_levels:
        return files.listdir(top.name)
    walk = files.walk(top.name)
    next(walk)
    return walk


def _of_layer(files: ImageFiles, layer: int | str, path: bytes) -> Iterator[ImageFile]:
    name = normalised(path)
    below = name + b"/" if name else b""
    contents = files.layer_contents(layer)
    return (one for one in contents if one.name == name or one.name.startswith(below))


def _layer(args: Args, text: str) -> int | str:
    if not text.isascii() or not text.isdigit():
        return text
    if not 0 < int(text[:6]) <= MAX_LAYERS:
        raise args.wrong("layer", "layers are counted from 1 at the bottom")
    return int(text) - 1


def _write_lines(app: App, found: Iterator[ImageFile], *, long: bool, short: bool) -> None:
    while some := list(islice(found, _AT_ONCE)):
        lines = []
        for file in some:
            name = file.name
            path = shown_name(name[name.rfind(b"/") + 1 :]) if short else shown_path(name)
            lines.append(long_line(file, path) if long else path)
        app.write("\n".join(lines) + "\n")
