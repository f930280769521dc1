"""How the Docker Engine API behaves, as whoever starts the server wants it."""

from __future__ import annotations

from dataclasses import dataclass, field

from casstore.registry.access import Access


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the Engine API behaves.

    Attributes:
        access: how registries are reached. Logins are those that the client sends along, and none
            of this process.
        mirrors: addresses of registries that are asked before docker.io.
        read_only: nothing in the store is changed.
        release: of casstore, for clients that ask.
    """

    access: Access = field(default_factory=Access)
    mirrors: tuple[str, ...] = ()
    read_only: bool = False
    release: str = ""
