"""What the commands that talk to registries have in common: options, connections, one NAME each."""

from __future__ import annotations

import os

from casstore.cli.options import Option
from casstore.errors import CasstoreError, Locked, NotAStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from casstore.cli.app import App
    from casstore.cli.options import Args
    from casstore.registry.access import Access
    from casstore.registry.http import Transport

PLAIN_HTTP = Option("plain-http", "Speak plain HTTP to every registry, without TLS", own=True)
REFERRERS = Option("referrers", "Also what refers to the image: signatures, SBOMs", own=True)
QUIET = Option("quiet", "Suppress verbose output", short="q")


def access(*, plain_http: bool = False) -> Access:
    """How to reach registries: what the environment says."""
    from casstore import __version__
    from casstore.registry.access import Access

    return Access.from_environment(
        os.environ, plain_http=plain_http, agent=f"casstore/{__version__}"
    )


def transport(args: Args, app: App) -> AbstractContextManager[Transport]:
    """Connections for one command, closed at its end, when their notices are told."""
    from casstore.registry.http import connected

    return connected(access(plain_http=args.flag(PLAIN_HTTP.name)), app.warn)


def each_name(args: Args, app: App, act: Callable[[Args, App, Transport, str], None]) -> int:
    """Pull or push each NAME in turn, over the same connections; one that fails stops none.

    Returns:
        The highest of their exit statuses.
    """
    status = 0
    with transport(args, app) as via:
        for name in args.positional:
            try:
                act(args, app, via, name)
            except (NotAStore, Locked):
                raise
            except CasstoreError as error:
                app.error(str(error))
                status = max(status, error.exit_code)
            app.warn(via.take_notices())
    return status


def means_latest(name: str, *, every_tag: bool) -> bool:
    """Whether Docker's client would say of NAME that it takes the default tag."""
    last = name.rpartition("/")[2]
    return not (every_tag or ":" in last or "@" in name)
