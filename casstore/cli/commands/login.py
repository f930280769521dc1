"""login: credentials for a registry."""

from __future__ import annotations

from casstore.cli.options import TEXT, WRONG_USAGE, Args, Command, Option
from casstore.cli.registries import PLAIN_HTTP, transport
from casstore.errors import CasstoreError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

DEFAULT_SERVER = "docker.io"
MAX_PASSWORD = 1 << 16

HELP = Command(
    name="login",
    arguments="[SERVER]",
    summary="Log in to a registry",
    options=(
        Option("password-stdin", "Take the password from stdin"),
        Option("username", "Username", short="u", kind=TEXT),
        PLAIN_HTTP,
    ),
    most=1,
    exits=(
        (0, "the registry takes the login, and it is kept"),
        (1, "the registry refuses it, or it cannot be kept; nothing is changed"),
        WRONG_USAGE,
    ),
    description="""\
SERVER is the host of a registry as it stands in names, docker.io where there is none. The password
is read from stdin, or asked for on a terminal; it is no option, because options can be seen by all.

The login goes to $REGISTRY_AUTH_FILE, else to Docker's config.json ($DOCKER_CONFIG or ~/.docker),
where docker finds it too; or to the credential helper that this file names.""",
)


def run(args: Args, app: App) -> int:
    """Ask, try and keep."""
    from casstore.registry.credentials import Login
    from casstore.registry.login import log_in

    domain = server(args)
    user = args.text("username")
    if args.flag("password-stdin"):
        if not user:
            raise UsageError("Must provide --username with --password-stdin")
        password = _line(app)
    else:
        user, password = _asked(app, domain, user)
    if not user or not password:
        raise CasstoreError("a username and a password are needed")
    with transport(args, app) as via:
        kept = log_in(via, domain, Login(user, password))
    if kept:
        app.note(f"WARNING! Your credentials are stored unencrypted in '{kept}'.")
    app.out("Login Succeeded")
    return 0


def server(args: Args) -> str:
    """The registry that is meant, as the domain of references."""
    from casstore.model.reference import parse_name

    text = args.positional[0] if args.positional else DEFAULT_SERVER
    text = text.removeprefix("https://").removeprefix("http://").partition("/")[0]
    domain = parse_name(f"{text}/name").repository.partition("/")[0]
    if text not in (domain, "index.docker.io"):
        raise UsageError(f"{text} is not the host of a registry: it needs a dot or a port")
    return domain


def _line(app: App) -> str:
    data = app.input().read(MAX_PASSWORD)
    return data.decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")


def _asked(app: App, domain: str, user: str | None) -> tuple[str, str]:
    from getpass import getpass

    if not app.input().isatty():
        raise CasstoreError(
            "Cannot perform an interactive login from a non TTY device; use --username and"
            " --password-stdin"
        )
    app.note(f"Logging in to {domain}")
    if not user:
        user = app.read_line("Username: ")
    return user, getpass("Password: ")
