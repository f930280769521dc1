"""import: a root file system becomes an image."""

from __future__ import annotations

from casstore.cli.commands.load import standard_input
from casstore.cli.compression import COMPRESSION
from casstore.cli.incominglayers import MAX_LAYER_SIZE, limit_layers
from casstore.cli.options import LIST, OF_A_CHANGE, TEXT, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="import",
    arguments="FILE|- [REPOSITORY[:TAG]]",
    summary="Import the contents from a tarball to create a filesystem image",
    options=(
        Option(
            "change",
            "Apply Dockerfile instruction to the created image",
            short="c",
            kind=LIST,
            value="list",
        ),
        Option("message", "Set commit message for imported image", short="m", kind=TEXT),
        Option("platform", "Set platform, as linux/arm64", kind=TEXT),
        COMPRESSION,
        PROGRESS,
        MAX_LAYER_SIZE,
        Option(
            "parent",
            "Put the file system on top of an image, its parent",
            kind=TEXT,
            value="image",
            own=True,
            completes="image",
        ),
    ),
    least=1,
    most=2,
    exits=(
        (0, "the image is in the store; its ID is printed"),
        (1, "the tarball was refused; the store is as it was"),
        *OF_A_CHANGE,
    ),
    description="""\
Changes: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, USER, VOLUME, WORKDIR. A store
that is not there yet is made.""",
    completes="file",
)


def run(args: Args, app: App) -> int:
    """Import, and print the new image's ID in full, as docker does."""
    source, *name = args.positional
    limit_layers(args, app.store)
    with Show(app, args.text("progress") or AUTO):
        image = app.store.import_image(
            standard_input(app, "import") if source == "-" else source,
            name[0] if name else None,
            changes=args.texts("change"),
            message=args.text("message"),
            parent=args.text("parent"),
            compression=args.text("compression") or "",
            platform=args.text("platform"),
        )
    app.out(image)
    return 0
