"""copy: an image from one place to another."""

from __future__ import annotations

import os

from casstore.cli.compression import COMPRESSION
from casstore.cli.incominglayers import MAX_LAYER_SIZE, VERIFY, layer_limit_given, limit_layers
from casstore.cli.options import OF_A_CHANGE, TEXT, Args, Command, Option
from casstore.cli.prose import filled, listed
from casstore.cli.registries import PLAIN_HTTP, transport
from casstore.transfer.formats import FOLDER, FORMATS, IMAGES, MANIFESTS, ONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.model.digest import Digest
    from casstore.registry.http import Transport
    from casstore.transfer.place import Place

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
    f"{_WITHOUT} has no place for them. Between registries and layouts each blob goes straight, "
    "and only where it lacks; its digest and size are verified, what is in a layer is not. To a "
    "layout that is there an image is added: what others wrote in it stays, and REF moves from "
    "what had it. Every other directory that is written must be empty, or not be there."
)
HELP = Command(
    name="copy",
    arguments="SOURCE DESTINATION",
    summary="Copy an image between the store, registries, layouts and archives",
    options=(
        Option("all", "Copy an index with all its platforms", short="a"),
        COMPRESSION,
        MAX_LAYER_SIZE,
        VERIFY,
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
        (1, "it could not be copied; what the destination names is as it was"),
        *OF_A_CHANGE,
    ),
    description=f"""\
{_PLACES}

{_BYTES}""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Copy, and print the digest of what was copied."""
    from casstore.transfer.place import REGISTRY, STORE, check_ends, parse_place

    source, target = (parse_place(text) for text in args.positional)
    check_ends(source, target)
    if args.flag("all") and args.text("platform"):
        raise args.wrong("platform", "--all copies every platform")
    if args.text("verify") is not None and target.transport != STORE:
        raise args.wrong("verify", "only a copy into the store takes it")
    if REGISTRY in (source.transport, target.transport):
        with transport(args, app) as via:
            digest = _copied(args, app, source, target, via)
    else:
        digest = _copied(args, app, source, target, None)
    app.out(digest)
    return 0


def _copied(args: Args, app: App, source: Place, target: Place, via: Transport | None) -> Digest:
    from casstore.transfer.place import STORE

    platform, whole = args.text("platform"), args.flag("all")
    compression = args.text("compression") or ""
    if target.transport == STORE:
        limit_layers(args, app.store)
        return app.store.copy_in(
            source,
            target.where,
            platform=platform,
            whole=whole,
            compression=compression,
            via=via,
            verify=args.text("verify"),
        )
    if source.transport == STORE:
        return app.store.copy_out(source.where, target, platform=platform, whole=whole, via=via)

    from casstore.flows.copy import copy_straight
    from casstore.model.platform import of_machine, parse_platform

    # A mistake in an option is one wherever the copy goes.
    if compression != COMPRESSION.default:
        from casstore.transfer.compress import parse_compression

        parse_compression(compression)
    layer_limit_given(args)
    wanted = parse_platform(platform) if platform else of_machine(os.uname().machine)
    straight = copy_straight(source, target, via, None if whole else wanted)
    return straight or _through_a_store(args, source, target, via)


def _through_a_store(args: Args, source: Place, target: Place, via: Transport | None) -> Digest:
    import tempfile

    from casstore.store import Store

    with tempfile.TemporaryDirectory(prefix="casstore-") as folder, Store(folder) as hub:
        limit_layers(args, hub)
        hub.copy_in(
            source,
            _HUB,
            platform=args.text("platform"),
            whole=args.flag("all"),
            compression=args.text("compression") or "",
            via=via,
        )
        return hub.copy_out(_HUB, target, whole=True, via=via)


_HUB = "copied:latest"
