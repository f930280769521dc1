"""save: images to an archive or a layout."""

from __future__ import annotations

from casstore.cli.options import LIST, OF_A_LOOK, TEXT, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.cli.prose import filled, listed
from casstore.errors import CasstoreError
from casstore.transfer.formats import DEFAULT, FOLDER, FORMATS, IMAGES, ONE, format_named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

_FOLDERS = listed([form.name for form in FORMATS if form.shape == FOLDER])
_FORMATS = listed([f"{form.name} ({form.about})" for form in FORMATS], "or")
_ONE = listed([form.name for form in FORMATS if form.holds == ONE])
_BY_TAR = listed([form.name for form in FORMATS if form.holds == IMAGES])
_BY_BLOB = listed([form.name for form in FORMATS if form.holds != IMAGES])
HELP = Command(
    name="save",
    arguments="IMAGE [IMAGE...]",
    summary="Save one or more images to a tar archive (streamed to STDOUT by default)",
    options=(
        Option(
            "output",
            f"Write to a file, instead of STDOUT\n(for {_FOLDERS} to a directory)",
            short="o",
            kind=TEXT,
            completes="file",
        ),
        Option(
            "format",
            filled(f"{_FORMATS} (default {DEFAULT.name})", 60),
            kind=TEXT,
            value="format",
            choices=tuple(form.name for form in FORMATS),
            default=DEFAULT.name,
            own=True,
        ),
        Option(
            "platform",
            "Of an index, save the image of this platform alone",
            kind=TEXT,
            value="os/arch[/variant]",
        ),
        Option(
            "exclude-base",
            "Leave out layers of this image, which the other side\nhas (may be repeated)",
            kind=LIST,
            value="image",
            own=True,
            completes="image",
        ),
        Option(
            "delta-from",
            "Save layers as their difference from this image,\n"
            "which the other side has (may be repeated)",
            kind=LIST,
            value="image",
            own=True,
            completes="image",
        ),
        Option(
            "since",
            "Leave out layers in this archive, layout or list of\ndigests (may be repeated)",
            kind=LIST,
            value="file",
            own=True,
            completes="file",
        ),
        PROGRESS,
    ),
    least=1,
    exits=(
        (0, "the archive is written"),
        (1, "no such image or platform, or it cannot be written; no file is left"),
        *OF_A_LOOK,
    ),
    description=f"""\
A repository's name alone means all its tags. An ID or a digest saves the image without a name.
The same images give the same bytes. In OCI formats what refers to an image (signatures, SBOMs,
attestations) goes along, by its subject or by a tag in the same repository. {_ONE} has one
image, without a name.

--platform takes of an index the image for one platform, with its manifest and under the names of
the index, in any format; what refers to the index stays behind. An image that is not of that
platform is refused, and nothing is written.

--exclude-base and --since leave out layers that the other side has: those of images of this store
that it has too, those of archives and layouts that it has loaded, or those in a list of digests and
diff IDs, one a line. The archive lists what it leaves out in casstore-thin.json. casstore load
takes these layers from its store, or says which are missing; other programs miss them. In
{_BY_BLOB} a layer is left out by its blob, in {_BY_TAR} by its diff ID.

--delta-from leaves out the layers of an image, too, and saves of every other layer only what
differs from one of its layers, as zstd's --patch-from does. It takes Python 3.14, or the package
backports.zstd; load needs neither. In {_BY_BLOB} a layer is saved so only if load can make its blob
again from the tar: if it is plain, or compressed as casstore does by default.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Save; silent when it worked."""
    target, form = args.text("output"), args.text("format") or DEFAULT.name
    if target == "":
        raise args.wrong("output", "a file is needed")
    if format_named(form).shape == FOLDER and target is None:
        raise args.wrong("format", f"{form} needs -o DIR")
    if target is None and app.output().isatty():
        raise CasstoreError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    with Show(app, args.text("progress") or AUTO):
        app.store.save(
            args.positional,
            target if target is not None else app.output(),
            format=form,
            platform=args.text("platform"),
            exclude_base=args.texts("exclude-base"),
            since=args.texts("since"),
            delta_from=args.texts("delta-from"),
        )
    return 0
