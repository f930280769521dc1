"""save: images to an archive or a layout."""

from __future__ import annotations

from casstore.cli.options import OF_A_LOOK, TEXT, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.errors import CasstoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="save",
    arguments="IMAGE [IMAGE...]",
    summary="Save one or more images to a tar archive (streamed to STDOUT by default)",
    options=(
        Option(
            "output",
            "Write to a file (for oci-dir a directory), instead of STDOUT",
            short="o",
            kind=TEXT,
            completes="file",
        ),
        Option(
            "format",
            "docker (an archive for docker load), oci (an archive) or\n"
            "oci-dir (a layout directory) (default docker)",
            kind=TEXT,
            value="format",
            choices=("docker", "oci", "oci-dir"),
            default="docker",
            own=True,
        ),
        PROGRESS,
    ),
    least=1,
    exits=(
        (0, "the archive is written"),
        (1, "no such image, or it cannot be written; no file is left"),
        *OF_A_LOOK,
    ),
    description="""\
A repository's name alone means all its tags. An ID or a digest saves the image without a name.
The same images give the same bytes. In OCI formats what refers to an image (signatures, SBOMs,
attestations) goes along, by its subject or by a tag in the same repository.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Save; silent when it worked."""
    target, form = args.text("output"), args.text("format") or ""
    if target == "":
        raise args.wrong("output", "a file is needed")
    if form == "oci-dir" and target is None:
        raise args.wrong("format", "oci-dir needs -o DIR")
    show = Show(app, args.text("progress") or AUTO)
    if target is not None:
        with show:
            app.store.save(args.positional, target, format=form)
        return 0
    stream = app.output()
    if stream.isatty():
        raise CasstoreError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    with show:
        app.store.save(args.positional, stream, format=form)
    return 0
