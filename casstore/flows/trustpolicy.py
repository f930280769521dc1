"""The trust policy at the door: every way in asks it of what has arrived, before it is admitted.

Each name of an image must satisfy the policy, for a name is a claim. An image's signatures are
those that arrive with it (its `sha256-<hex>.sig`, its referrers) and those that the store has. What
holds signatures and the like for an image that is let in, and is no image itself, comes in with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.errors import NotFound, StorageError, quote
from casstore.flows.sign import Target, signatures_of
from casstore.model.manifest import Manifest, parse_document
from casstore.model.mediatype import ENCRYPTED, is_layer, is_manifest
from casstore.model.reference import Reference, parse_name, subject_of
from casstore.model.signatures import payloads_of
from casstore.startup.value import Value
from casstore.transfer.formats import ONE, format_of
from casstore.trust.identity import identity_of
from casstore.trust.payload import MAX_PAYLOAD
from casstore.trust.policy import (
    MAX_POLICY,
    Candidate,
    Signature,
    check,
    docker_scopes,
    parse_policy,
    path_scopes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.record import Arrival
    from casstore.ports.ingest import Ingest
    from casstore.ports.view import View

DOCKER = "docker"


class Origin(Value):
    """Where images come from, in the words of containers-policy.json(5)."""

    transport: str  # docker, or that of a format
    # Absolute path of a file or directory; of a registry the reference, where an image gets another
    # name here; empty for a pipe, and where the name says it.
    path: str = ""


REGISTRY = Origin(DOCKER)


def check_arrivals(
    policy_file: str,
    origin: Origin,
    arrivals: Sequence[Arrival],
    ingest: Ingest,
    view: View,
) -> None:
    """Hold what has arrived against a policy.

    Raises:
        Refused: an image that the policy does not let in, or a policy that cannot be understood.
        NotFound, StorageError: the policy, or a key that it names, cannot be read.
    """
    policy = parse_policy(read_policy_file(policy_file, MAX_POLICY), policy_file)
    door = _Door(arrivals, ingest, view)
    for arrival in arrivals:
        if door.is_attachment(arrival):
            continue
        for name in _claims(arrival.names) or (None,):
            candidate = door.candidate(arrival, name, origin)
            check(policy, candidate, lambda path: read_policy_file(path, MAX_POLICY))


def _claims(names: Sequence[Reference]) -> list[Reference]:
    """The names to ask about: a digest reference says no more than a tag beside it (pull)."""
    tagged = {name.repository for name in names if name.tag is not None}
    return [name for name in names if name.tag is not None or name.repository not in tagged]


def read_policy_file(path: str, limit: int) -> bytes:
    """A policy, or a key that one names; a little more than `limit` of it at most."""
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise NotFound(f"{quote(path)} is not there") from None
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise StorageError(f"cannot read {quote(path)}: {reason}") from None


class _Door:
    """The images of one arrival, with what is attached to each."""

    def __init__(self, arrivals: Sequence[Arrival], ingest: Ingest, view: View) -> None:
        self._ingest = ingest
        self._view = view
        self._manifests: dict[Digest, Manifest] = {}
        self._attached: dict[Digest, list[tuple[Reference | None, Manifest]]] = {}
        self._attachments = self._find_attachments(arrivals)
        for arrival in arrivals:
            manifest = self._manifest(arrival.image.top)
            if manifest is None:
                continue
            for name, owner in _owners(arrival.names, manifest):
                self._attached.setdefault(owner, []).append((name, manifest))

    def is_attachment(self, arrival: Arrival) -> bool:
        """Whether this is no image, and belongs to one that is here or is at the door too."""
        return arrival.image.top.digest in self._attachments

    def _find_attachments(self, arrivals: Sequence[Arrival]) -> set[Digest]:
        """Manifests without a file system all of whose names attach them to something let in."""
        owners: dict[Digest, set[Digest]] = {}
        for arrival in arrivals:
            top = arrival.image.top
            manifest = self._manifest(top)
            if manifest is None or _has_file_system(manifest):
                continue
            pairs = dict(_owners(arrival.names, manifest))
            if pairs and pairs.keys() >= set(_claims(arrival.names)):
                owners.setdefault(top.digest, set()).update(pairs.values())
        known = {arrival.image.top.digest for arrival in arrivals} - owners.keys()
        found: set[Digest] = set()
        while True:  # what is attached to an attachment; never two to each other
            more = {
                digest
                for digest, needed in owners.items()
                if digest not in found
                and all(one in known or self._view.holders_of(one) for one in needed)
            }
            if not more:
                return found
            found |= more
            known |= more

    def candidate(self, arrival: Arrival, name: Reference | None, origin: Origin) -> Candidate:
        """An image under one of its names, as a policy sees it."""
        digest = arrival.image.top.digest
        claimed = name  # signatures lie beside the name here, and are for the name it had there
        if origin.transport == DOCKER and origin.path:
            claimed = parse_name(origin.path).reference
        shown = claimed.familiar if claimed is not None else f"image {arrival.image.id.short}"
        identity = identity_of(claimed) if claimed is not None else None
        if origin.transport == DOCKER:
            scopes = docker_scopes(identity) if identity is not None else ()
        else:
            has_names = format_of(origin.transport).holds != ONE
            tag = name.tag if name is not None and has_names else None
            scopes = path_scopes(origin.path, tag)
        return Candidate(
            f"{shown} ({digest})",
            origin.transport,
            scopes,
            identity,
            digest,
            tuple(self._signatures(name, arrival.image.top)),
        )

    def _signatures(self, name: Reference | None, top: Descriptor) -> Iterator[Signature]:
        for where, manifest in self._attached.get(top.digest, ()):
            if None in (name, where) or _repository(name) == _repository(where):
                for entry in payloads_of(manifest):
                    if entry.descriptor.size <= MAX_PAYLOAD:
                        yield self._ingest.read(entry.descriptor.digest), entry.annotations
        if name is not None:
            yield from signatures_of(self._view, self._ingest.read, Target(name, top))

    def _manifest(self, top: Descriptor) -> Manifest | None:
        if not is_manifest(top.media_type):
            return None
        if top.digest not in self._manifests:
            manifest = parse_document(self._ingest.read(top.digest), top)
            assert isinstance(manifest, Manifest)
            self._manifests[top.digest] = manifest
        return self._manifests[top.digest]


def _owners(
    names: Sequence[Reference], manifest: Manifest
) -> Iterator[tuple[Reference | None, Digest]]:
    """What a manifest is attached to: by each of its names, and by its subject."""
    for name in names:
        owner = subject_of(name)
        if owner is not None:
            yield name, owner
    if manifest.subject is not None:
        yield None, manifest.subject.descriptor.digest


def _has_file_system(manifest: Manifest) -> bool:
    return any(
        is_layer(entry.descriptor.media_type.removesuffix(ENCRYPTED)) for entry in manifest.layers
    )


def _repository(name: Reference | None) -> str | None:
    return name.repository if name is not None else None
