"""load: images from an archive or a layout."""

from __future__ import annotations

from casstore.cli.compression import COMPRESSION
from casstore.cli.incominglayers import MAX_LAYER_SIZE, VERIFY, limit_layers
from casstore.cli.keyinput import POLICY
from casstore.cli.options import OF_A_CHANGE, TEXT, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.cli.prose import filled, listed
from casstore.errors import CasstoreError
from casstore.transfer.formats import FOLDER, FORMATS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from casstore.cli.app import App
    from casstore.results.exchange import LoadedImage

_TRANSPORTS = [
    f"{form.transport} (a directory)" if form.shape == FOLDER else form.transport
    for form in FORMATS
]
_POLICY = filled(
    "A trust policy says which images may come in, in the format of containers-policy.json(5). The "
    f"transports are {listed(_TRANSPORTS)}; an image that a layout brings with its signatures can "
    "be held to sigstoreSigned."
)
HELP = Command(
    name="load",
    arguments="[FILE|DIR]",
    summary="Load an image from a tar archive, a layout directory or STDIN",
    options=(
        Option(
            "input",
            "Read from a file or directory, instead of STDIN",
            short="i",
            kind=TEXT,
            completes="file",
        ),
        Option("quiet", "Suppress the load output", short="q"),
        COMPRESSION,
        POLICY,
        PROGRESS,
        MAX_LAYER_SIZE,
        VERIFY,
        Option("link", "Take blobs of a layout directory by hard link or reflink", own=True),
        Option("no-clobber", "Leave names where they are that are there already", own=True),
        Option(
            "tag",
            "Name the one image of the archive so, and not as in there",
            short="t",
            kind=TEXT,
            value="name",
            own=True,
        ),
    ),
    most=1,
    exits=(
        (0, "everything in the archive is in the store, less names that --no-clobber left"),
        (1, "the archive was refused; the store is as it was"),
        *OF_A_CHANGE,
    ),
    description=f"""\
Reads what docker save, podman save, skopeo, buildah and others write: docker archives, OCI
archives, OCI layout directories and skopeo's directories of files; plain, or compressed with gzip,
zstd, xz or bzip2. Every digest, size and diff ID is verified before anything is kept. A store that
is not there yet is made.

Layers that a thin archive leaves out (save --exclude-base, --since) are taken from the store; where
one is missing the archive is refused, and the message says which image to load first. Layers that
come as deltas (save --delta-from) are put together from those of the store.

With --verify digest, the diff IDs of layers that come compressed in an OCI layout or a directory of
skopeo's are left to who reads them first: save, fsck or gc.

{_POLICY}

--tag gives the image of an archive a name, and takes none from the archive. Signatures and SBOMs of
the image go along, and an image without a name that is only its parent; if there are other images,
the archive is refused. With --no-clobber a name that is there already stays with what it names. The
image comes in without it, and a line says so; the status is 0.

-q shows no progress; as with docker, names are printed all the same.""",
    completes="file",
)


def run(args: Args, app: App) -> int:
    """Load, then say which names and images arrived."""
    source: str | None = args.text("input")
    if args.positional:
        if source is not None:
            raise args.wrong("input", "FILE is given twice")
        source = args.positional[0]
    limit_layers(args, app.store)
    with Show(app, args.text("progress") or AUTO, quiet=args.flag("quiet")):
        result = app.store.load(
            standard_input(app, "load") if source in (None, "-") else source,
            compression=args.text("compression") or "",
            link=args.flag("link"),
            policy=args.text("policy"),
            verify=args.text("verify"),
            tag=args.text("tag"),
            clobber=not args.flag("no-clobber"),
        )
    for image in result.images:
        _report(image, app)
    app.warn(result.warnings)
    return 0


def standard_input(app: App, purpose: str) -> IO[bytes]:
    """Stdin, unless somebody sits there: they forgot to name a file."""
    stream = app.input()
    if stream.isatty():
        raise CasstoreError(f"requested {purpose} from stdin, but stdin is empty")
    return stream


def _report(image: LoadedImage, app: App) -> None:
    old = {renamed.name: renamed.old for renamed in image.renamed}
    for name in image.names:
        renamed = old.pop(name, None)  # a name may stand twice, and moves once
        if renamed is not None:
            app.out(
                f"The image {name.familiar} already exists, "
                f"renaming the old one with ID {renamed.hex} to empty string"
            )
        app.out(f"Loaded image: {name.familiar}")
    for name in image.kept:
        app.out(f"The name {name.familiar} already exists, leaving it where it is")
    if not image.names:
        app.out(f"Loaded image ID: {image.id.hex}")
