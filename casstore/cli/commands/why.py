"""why: everything that keeps an image or a blob."""

from __future__ import annotations

from casstore.cli.options import AS_JSON, NO_TRUNC, OF_A_LOOK, Args, Command
from casstore.cli.render import size
from casstore.errors import CasstoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.results.space import Kept

HELP = Command(
    name="why",
    arguments="IMAGE|DIGEST [IMAGE|DIGEST...]",
    summary="Show everything that keeps an image or a blob",
    options=(
        AS_JSON,
        NO_TRUNC,
    ),
    least=1,
    exits=(
        (0, "each is in the store; what keeps it is printed"),
        (1, "one of them is not in the store (for a whole digest nothing is said)"),
        *OF_A_LOOK,
    ),
    description="""\
For an image: its references, the images built on it, what it is about where it is an artifact with
a subject, its leases and its pin. For a blob: the indexes and manifests that need it, the images
that they belong to, and the trash. An image may be given by name, by ID or by a prefix of one, a
blob by its digest, by a layer's diff ID, or by a prefix; an image comes first.

A whole digest of which there is nothing in the store prints nothing, and the status is 1: a script
that waits for a blob to go needs no more. An image that nothing keeps is dangling: prune takes it.

With --format json: Digest, KeptBy (Detail, Digest, Kind, Text), Kind, SizeBytes.""",
    completes="image",
)

_LABEL_WIDTH = 9  # of "reference"


def run(args: Args, app: App) -> int:
    """Each argument in turn."""
    status = 0
    for argument in args.positional:
        try:
            kept = app.store.why(argument)
        except CasstoreError as error:
            if error.exit_code != 1:
                raise
            app.error(str(error))
            kept = None
        if kept is None:
            status = 1
        elif args.text("format") == "json":
            from casstore.cli.jsontext import json_text

            app.write(json_text(_record(kept)) + "\n")
        else:
            _show(kept, app, full=args.flag("no-trunc"))
    return status


def _show(kept: Kept, app: App, *, full: bool) -> None:
    shown = kept.digest.hex if full else kept.digest.short
    app.out(f"{kept.kind} {shown}  {size(kept.size)}")
    for keeper in kept.keepers:
        digest = ""
        if keeper.digest is not None and keeper.kind != "reference":
            digest = keeper.digest.hex if full else keeper.digest.short
        detail = f"({keeper.detail})" if keeper.detail else ""
        words = [word for word in (digest, keeper.text, detail) if word]
        app.out(f"  {keeper.kind.ljust(_LABEL_WIDTH)}  {'  '.join(words)}")
    if not kept.keepers:
        app.out("  nothing: it is dangling, and prune takes it")


def _record(kept: Kept) -> dict[str, object]:
    return {
        "Digest": kept.digest,
        "KeptBy": [
            {"Detail": one.detail, "Digest": one.digest or "", "Kind": one.kind, "Text": one.text}
            for one in kept.keepers
        ],
        "Kind": kept.kind,
        "SizeBytes": kept.size,
    }
