"""push: images to a registry."""

from __future__ import annotations

from casstore.cli.options import OF_A_CHANGE, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.cli.registries import PLAIN_HTTP, QUIET, REFERRERS, each_name, means_latest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.registry.http import Transport

HELP = Command(
    name="push",
    arguments="NAME[:TAG] [NAME...]",
    summary="Upload an image to a registry",
    options=(
        Option("all-tags", "Push all tags of the repository", short="a"),
        QUIET,
        PLAIN_HTTP,
        PROGRESS,
        REFERRERS,
    ),
    least=1,
    exits=(
        (0, "every NAME is in its registry"),
        (1, "a NAME was not pushed; the others were"),
        *OF_A_CHANGE,
    ),
    description="""\
Manifests, indexes and blobs go out byte for byte, so the digest stays. What the registry has is not
sent again, and nothing is asked but the tag where that names the image already; what another of its
repositories has is mounted from there. Every blob is verified while
it is sent. The digest reference that an image has in the registry is recorded.

Tags of signatures and attestations (sha256-<hex>.sig, .att) are not overwritten: what others have
pushed there stays, and what is missing is added.""",
    completes="image",
)


def run(args: Args, app: App) -> int:
    """Push each NAME; one that fails does not stop the next."""
    return each_name(args, app, _push)


def _push(args: Args, app: App, via: Transport, name: str) -> None:
    quiet, every_tag = args.flag("quiet"), args.flag("all-tags")
    if not quiet and means_latest(name, every_tag=every_tag):
        app.out("Using default tag: latest")
    with Show(app, args.text("progress") or AUTO, quiet=quiet) as show:
        pushed = app.store.push(
            name,
            all_tags=every_tag,
            referrers=args.flag("referrers"),
            via=via,
            tell=None if quiet else lambda what, to: show.out(f"{what} {to}"),
        )
    if quiet:
        for tag in pushed:
            app.out(tag.name)
