"""copy: an image from one place to another."""

from __future__ import annotations

from casstore.cli.commands.load import COMPRESSION
from casstore.cli.layersize import MAX_LAYER_SIZE, limit_layers
from casstore.cli.options import OF_A_CHANGE, TEXT, Args, Command, Option
from casstore.cli.prose import filled, listed
from casstore.cli.registries import PLAIN_HTTP, transport
from casstore.transfer.formats import FOLDER, FORMATS, IMAGES, MANIFESTS, ONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

_BEHIND = {IMAGES: "[:NAME]", MANIFESTS: "[:REF]", ONE: ""}
_ALSO = {IMAGES: ", or :@N for the image at position N in it, from 0"}
_FILES = [
    f"{form.transport}:{'DIRECTORY' if form.shape == FOLDER else 'FILE'}{_BEHIND[form.holds]} for "
    f"{form.place or form.about}{_ALSO.get(form.holds, '')}"
    for form in reversed(FORMATS)
]
_PLACES = filled(
    "SOURCE and DESTINATION are written as for skopeo: casstore:NAME or just NAME for the store, "
    f"docker://NAME for a registry, {', '.join(_FILES)}."
)
_WITHOUT = listed([form.transport for form in FORMATS if form.holds == IMAGES])
_BYTES = filled(
    "Manifests and blobs are copied byte for byte, so that the digest stays; "
    f"{_WITHOUT} has no place for them. A directory that is written must be empty, or not be there."
)
HELP = Command(
    name="copy",
    arguments="SOURCE DESTINATION",
    summary="Copy an image between the store, registries, layouts and archives",
    options=(
        Option("all", "Copy an index with all its platforms", short="a"),
        COMPRESSION,
        MAX_LAYER_SIZE,
        Option(
            "platform",
            "Copy the image of this platform from an index\n(default: this machine's)",
            kind=TEXT,
            value="os/arch[/variant]",
        ),
        PLAIN_HTTP,
    ),
    least=2,
    most=2,
    exits=(
        (0, "the image is there; its digest is printed"),
        (1, "it could not be copied; the destination is as it was"),
        *OF_A_CHANGE,
    ),
    description=f"""\
{_PLACES}

{_BYTES}""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Copy, and print the digest of what was copied."""
    from casstore.store.copies import check_ends
    from casstore.transfer.place import STORE, parse_place

    source, target = (parse_place(text) for text in args.positional)
    check_ends(source, target)
    platform, whole = args.text("platform"), args.flag("all")
    compression = args.text("compression") or ""
    if whole and platform:
        raise args.wrong("platform", "--all copies every platform")
    with transport(args, app) as via:
        if target.transport == STORE:
            limit_layers(args, app.store)
            digest = app.store.copy_in(
                source,
                target.where,
                platform=platform,
                whole=whole,
                compression=compression,
                via=via,
            )
        elif source.transport == STORE:
            digest = app.store.copy_out(
                source.where, target, platform=platform, whole=whole, via=via
            )
        else:
            import tempfile

            from casstore.store import Store

            with tempfile.TemporaryDirectory(prefix="casstore-") as folder, Store(folder) as hub:
                limit_layers(args, hub)
                hub.copy_in(
                    source, _HUB, platform=platform, whole=whole, compression=compression, via=via
                )
                digest = hub.copy_out(_HUB, target, whole=True, via=via)
    app.out(digest)
    return 0


_HUB = "copied:latest"
