"""logout: forget the credentials for a registry."""

from __future__ import annotations

from casstore.cli.commands.login import server
from casstore.cli.options import WRONG_USAGE, Args, Command
from casstore.cli.registries import access

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App

HELP = Command(
    name="logout",
    arguments="[SERVER]",
    summary="Log out from a registry",
    most=1,
    exits=(
        (0, "no login is kept any more, also where there was none"),
        (1, "it could not be removed"),
        WRONG_USAGE,
    ),
    description="""\
Removes every login for SERVER that pull and push would use, in whatever form it is written: from
$REGISTRY_AUTH_FILE, else from podman's auth.json and Docker's config.json, and from the credential
helpers that they name. A login for a part of the registry (SERVER/team) stays, and is told.""",
)


def run(args: Args, app: App) -> int:
    """Forget, and say so."""
    from casstore.registry.login import log_out

    domain = server(args)
    done = log_out(access(), domain)
    if done.any_login:
        app.out(f"Removing login credentials for {domain}")
    else:
        app.out(f"Not logged in to {domain}")
    app.warn([f"the login for {key} stays" for key in done.left])
    return 0
