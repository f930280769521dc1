"""What the commands that talk to registries have in common: their option, and the connections."""

from __future__ import annotations

import os

from casstore.cli.options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from casstore.cli.options import Args
    from casstore.registry.access import Access
    from casstore.registry.http import Transport

PLAIN_HTTP = Option("plain-http", "Speak plain HTTP to every registry, without TLS", own=True)


def access(*, plain_http: bool = False) -> Access:
    """How to reach registries: what the environment says."""
    from casstore import __version__
    from casstore.registry.access import from_environment

    return from_environment(os.environ, plain_http=plain_http, agent=f"casstore/{__version__}")


def transport(args: Args) -> AbstractContextManager[Transport]:
    """Connections for one command, closed at its end."""
    from casstore.registry.http import connected

    return connected(access(plain_http=args.flag(PLAIN_HTTP.name)))
