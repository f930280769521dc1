"""A request to the registry, with what its path means: all that a handler of a route gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.server.message import Request
from casstore.server.registry.options import RegistryOptions
from casstore.server.registry.refusals import DIGEST_INVALID, ApiError
from casstore.server.registry.repository import Repository
from casstore.store import Store

if TYPE_CHECKING:
    from casstore.ports.backend import Backend
    from casstore.ports.view import View

_ALGORITHM = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+._-")
_ENCODED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=_-")


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        repository: which one its path names; of "" where it names none.
        word: what stands last in the path: a tag, a digest, the ID of an upload.
    """

    request: Request
    store: Store
    options: RegistryOptions
    repository: Repository
    word: str

    @property
    def backend(self) -> Backend:
        """Where the store is kept."""
        return self.store.session.backend

    def view(self) -> View:
        """A look at the store as it is now."""
        return self.store.session.view()


def digest_of(word: str) -> Digest | None:
    """A digest in a path or an argument; None for one of an algorithm that the store has not.

    Raises:
        ApiError: not a digest (OCI image-spec, descriptor.md, "Digests").
    """
    try:
        return Digest.parse(word)
    except Refused as error:
        algorithm, colon, encoded = word.partition(":")
        well_formed = (
            colon and algorithm and encoded
            and _ALGORITHM.issuperset(algorithm) and _ENCODED.issuperset(encoded)
        )  # fmt: skip
        if well_formed and algorithm != "sha256":
            return None
        raise ApiError(400, DIGEST_INVALID, str(error)) from None
