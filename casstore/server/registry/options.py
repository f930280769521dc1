"""What a registry is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass

from casstore.model.reference import DEFAULT_DOMAIN


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How the store is served.

    Attributes:
        default_host: the host of a repository whose path does not begin with one.
        read_only: whether everything that changes the store is refused, and uses are not noted.
    """

    default_host: str = DEFAULT_DOMAIN
    read_only: bool = False
