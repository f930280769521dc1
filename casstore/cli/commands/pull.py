"""pull: images from a registry."""

from __future__ import annotations

from casstore.cli.incominglayers import MAX_LAYER_SIZE, VERIFY, limit_layers
from casstore.cli.keyinput import POLICY
from casstore.cli.options import OF_A_CHANGE, TEXT, Args, Command, Option
from casstore.cli.progress import AUTO, PROGRESS, Show
from casstore.cli.registries import PLAIN_HTTP, QUIET, REFERRERS, each_name, means_latest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.registry.http import Transport

HELP = Command(
    name="pull",
    arguments="NAME[:TAG|@DIGEST] [NAME...]",
    summary="Download an image from a registry",
    options=(
        Option("all-tags", "Download all tagged images in the repository", short="a"),
        Option(
            "platform",
            "Take the image of this platform from an index\n(default: this machine's)",
            kind=TEXT,
            value="os/arch[/variant]",
        ),
        QUIET,
        Option("all-platforms", "Take an index with all its platforms", own=True),
        PLAIN_HTTP,
        POLICY,
        PROGRESS,
        REFERRERS,
        MAX_LAYER_SIZE,
        VERIFY,
    ),
    least=1,
    exits=(
        (0, "every NAME is in the store"),
        (1, "a NAME was not pulled; the others were"),
        *OF_A_CHANGE,
    ),
    description="""\
A pull by tag records the tag and the digest that it stood for, a pull by digest the digest alone.
Blobs are kept byte for byte; every digest, size and diff ID is verified first, and an image is in
the store whole or not at all. Run again after it was interrupted, it goes on where it stopped.

With --verify digest, diff IDs are left to who reads the layers first: save, fsck or gc. That takes
a fraction of the processor's time.

--referrers takes along what refers to the manifest that is kept, by the referrers API, by the tag
that stands for it, or by a tag of cosign's. What refers to an index comes with --all-platforms.

Registries are spoken to over TLS; those on this machine (localhost, 127.0.0.0/8) also in plain
HTTP. Logins are those of docker, podman and casstore login. HTTPS_PROXY, HTTP_PROXY, NO_PROXY,
SSL_CERT_FILE and /etc/docker/certs.d are honoured.

Mirrors, other locations and blocked registries are those of registries.conf
(CONTAINERS_REGISTRIES_CONF, else the user's, else the system's), or of containerd's hosts.toml.""",
)


def run(args: Args, app: App) -> int:
    """Pull each NAME; one that fails does not stop the next."""
    if args.flag("all-platforms") and args.text("platform"):
        raise args.wrong("platform", "--all-platforms takes every platform")
    limit_layers(args, app.store)
    return each_name(args, app, _pull)


def _pull(args: Args, app: App, via: Transport, name: str) -> None:
    from casstore.model.reference import familiar_name, parse_name

    every_tag, quiet = args.flag("all-tags"), args.flag("quiet")
    parsed = parse_name(name)
    if not quiet and means_latest(name, every_tag=every_tag):
        app.out(f"Using default tag: {parsed.tag}")
    with Show(app, args.text("progress") or AUTO, quiet=quiet) as show:
        result = app.store.pull(
            name,
            platform=args.text("platform"),
            all_platforms=args.flag("all-platforms"),
            all_tags=every_tag,
            referrers=args.flag("referrers"),
            via=via,
            tell=None if quiet else lambda what, to: show.out(f"{what} {to}"),
            policy=args.text("policy"),
            verify=args.text("verify"),
        )
    shown = parsed.repository if every_tag else parsed.full
    if not quiet:
        familiar = familiar_name(parsed.repository) if every_tag else parsed.familiar
        news = "Downloaded newer image for" if result.is_news else "Image is up to date for"
        app.out(f"Status: {news} {familiar}")
    app.out(shown)
    app.warn(result.warnings)
