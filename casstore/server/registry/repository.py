"""Repositories: which one of the store a request means, and what is in it.

One port serves all registries whose images the store has. The host is that of `?ns=`, with which
containerd asks a mirror; else the first part of the path, if it looks like a host (as in a
reference: with a dot or a colon in it, or `localhost`); else the one that the server was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from casstore.errors import InvalidReference, UsageError, quote
from casstore.model.digest import Digest
from casstore.model.reference import DEFAULT_DOMAIN, Reference, parse_name
from casstore.server.registry.refusals import NAME_INVALID, ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.ports.view import View

# What clients call Docker's registry when they speak to it.
_ALIASES = {"registry-1.docker.io": DEFAULT_DOMAIN}
_JUST_AFTER = chr(ord(":") + 1)  # what sorts after every tag of a repository


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the store.

    Attributes:
        asked: as the request has it: what answers and Locations name.
        name: as the store has it, with its host.
    """

    asked: str
    name: str

    def tagged(self, tag: str) -> Reference:
        """The reference of a tag in it."""
        return Reference(f"{self.name}:{tag}")

    def with_digest(self, digest: Digest) -> Reference:
        """The reference of a digest in it."""
        return Reference(f"{self.name}@{digest}")

    def tags(self, view: View, last: str, most: int) -> list[str]:
        """Its tags in the order of their bytes, those after `last`, so many at most."""
        low = f"{self.name}:{last}"
        names = view.names_between(low, f"{self.name}{_JUST_AFTER}", most + 1)
        tags = [name.tag or "" for name in names]
        return [tag for tag in tags if tag != last or not last][:most]

    def is_there(self, view: View) -> bool:
        """Whether the store has a name in it."""
        low = f"{self.name}:"
        return bool(
            view.names_between(low, f"{self.name}{_JUST_AFTER}", 1)
            or view.names_between(f"{self.name}@", f"{self.name}@~", 1)
        )

    def has(self, view: View, manifest: Digest) -> bool:
        """Whether a manifest or index can be had from it.

        It can if a name in the repository names it; or if it is needed by, or refers to, one that
        can be had from it: a platform's of an index, a signature.
        """
        ahead, seen = [manifest], {manifest}
        for document in ahead:
            for image in view.holders_of(document):
                names = view.references_of(image)
                if any(
                    one.manifest == document and one.name.repository == self.name for one in names
                ):
                    return True
                _add(view.subjects_of(image), ahead, seen)
            _add(view.needed_by(document), ahead, seen)
        return False


def _add(more: Iterable[Digest], ahead: list[Digest], seen: set[Digest]) -> None:
    for one in more:
        if one not in seen:
            seen.add(one)
            ahead.append(one)


@lru_cache(maxsize=1024)
def repository_of(path: str, ns: str, default_host: str) -> Repository:
    """The repository that a request's path and `ns` mean.

    Raises:
        ApiError: they break the grammar of names.
    """
    first, slash, rest = path.partition("/")
    if ns:
        host, own = ns, path
    elif slash and _is_host(first):
        host, own = first, rest
    else:
        host, own = default_host, path
    host = _ALIASES.get(host, host)
    if not _is_host(host) or ":" in own or "@" in path:
        raise ApiError(400, NAME_INVALID, f"invalid repository name {quote(path)}")
    try:
        return Repository(path, parse_name(f"{host}/{own}").repository)
    except InvalidReference as error:
        raise ApiError(400, NAME_INVALID, f"{quote(path)}: {error}") from None


def check_host(host: str) -> None:
    """Refuse what cannot be the host of a repository. Raises UsageError."""
    try:
        repository_of("a", host, DEFAULT_DOMAIN)
    except ApiError:
        raise UsageError(f"{quote(host)} is not a registry's host") from None
    if not host:
        raise UsageError("a registry's host is needed")


def shown_name(repository: str, default_host: str) -> str:
    """How a repository of the store is asked for: without the host that is meant anyway."""
    short = repository.removeprefix(f"{default_host}/")
    first, slash, _ = short.partition("/")
    return repository if slash and _is_host(first) else short


def _is_host(word: str) -> bool:
    """Whether the first part of a name is a host, as in a reference."""
    return "." in word or ":" in word or word == "localhost"
