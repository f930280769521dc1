"""What clients of a registry bring and remove: blobs, manifests and their names.

The room `server` works with this; each function makes at most one durable change.
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.flows.receive import receive_manifest
from casstore.model.descriptor import INDEX, MANIFEST, Descriptor
from casstore.model.digest import sha256
from casstore.model.manifest import parse_document
from casstore.model.record import Arrival
from casstore.model.reference import Reference
from casstore.startup.value import Value
from casstore.store.intake import FROM_REGISTRY, ask_policy, make_room, take_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casstore.change.commit import Change
    from casstore.model.digest import Digest
    from casstore.model.record import ImageRecord
    from casstore.ports.ingest import Ingest
    from casstore.ports.uploads import Uploads
    from casstore.ports.view import View
    from casstore.progress import Progress
    from casstore.store.session import Session

    Has = Callable[[View, Digest], bool]  # whether a manifest can be had from the repository


class NotTrusted(Refused):
    """A push that the store's trust policy does not let in."""


class Target(Value):
    """Where a manifest is pushed to."""

    repository: str  # in full, as names in the store have it
    tags: tuple[str, ...]  # none for a push by digest
    has: Has  # as the registry answers it


class Received(Value):
    """A manifest that the store has now."""

    top: Descriptor
    subject: Digest | None  # what it refers to


def uploads_of(session: Session) -> Uploads:
    """The uploads of a store, which is made if it is not there yet."""
    backend = session.backend
    if not backend.exists():
        with session.change(create=True) as change:
            change.commit()
    backend.prepare_ingest()
    return backend.uploads(lambda: make_room(session))


def receive(session: Session, data: bytes, media_type: str, target: Target) -> Received:
    """Take a manifest in whose blobs are there, and give it its names; durable on return.

    It gets its tags, and is named by its digest besides, as what a pull brings. A platform that
    was pushed by its digest loses that name when an index of the repository has it; a signature
    that comes by its digest gets none, if what it refers to is in the repository: neither outlives
    what it belongs to.

    Args:
        session: of the store.
        data: the bytes of a manifest or an index.
        media_type: which it is.
        target: where it belongs.

    Raises:
        BlobUnknown: something that it names is not there.
        NotTrusted: the trust policy refuses it.
        Refused: it is wrong.
        Locked, StorageError: it cannot be written now.
    """
    top = Descriptor(media_type, sha256(data), len(data))
    entry = parse_document(data, top).subject
    subject = entry.descriptor.digest if entry is not None else None
    found: list[ImageRecord] = []

    def read(ingest: Ingest, _progress: Progress | None) -> Sequence[Arrival]:
        found.append(receive_manifest(data, top, ingest))
        names = [Reference(f"{target.repository}:{tag}") for tag in target.tags]
        if names or subject is None or not target.has(session.view(), subject):
            names.append(Reference(f"{target.repository}@{top.digest}"))
        arrivals = [Arrival(found[0], tuple(names), None)]
        try:
            ask_policy(session, None, FROM_REGISTRY, arrivals, ingest)
        except Refused as error:
            raise NotTrusted(str(error)) from None
        return arrivals

    uploads_of(session)  # makes the store if it has to
    take_in(
        session, read, origin=None, digests_only=_always,
        given=lambda change: _forget_platforms(change, target.repository, found[0]),
    )  # fmt: skip
    return Received(top, subject)


def _forget_platforms(change: Change, repository: str, image: ImageRecord) -> None:
    """Let what an index has go without a digest name of its own in the same repository."""
    from casstore.errors import Conflict
    from casstore.rules.removal import plan_removal

    index = change.index
    for blob in image.blobs:
        name = Reference(f"{repository}@{blob.digest}")
        if blob.kind not in (INDEX, MANIFEST) or blob.digest == image.top.digest:
            continue
        owner = index.image_named(name)
        if owner is None or any(
            one.manifest == blob.digest and one.name.tag and one.name.repository == repository
            for one in index.references_of(owner)
        ):
            continue
        try:
            plan = plan_removal(index, name, prune=False)
        except Conflict:
            continue  # it is leased or pinned: somebody wants it as it is
        index.apply(plan)


def remove(session: Session, repository: str, manifest: Digest, has: Has) -> None:
    """Remove a manifest from a repository, with all its names there; all of that, or nothing.

    Raises:
        NotFound: it is not there.
        Conflict: a lease, a pin, an image built on it or an index keeps it.
    """
    from casstore.change.removal import remove_manifest

    def act(change: Change) -> None:
        remove_manifest(change, repository, manifest, lambda: has(change.index, manifest))

    session.change_that_frees(act)


def untag(session: Session, name: Reference) -> None:
    """Remove a tag by the rules of rmi: with the last one its image goes.

    Raises:
        NotFound: there is no such tag.
        Conflict: a lease, a pin or an image built on it keeps it.
    """
    from casstore.change.removal import remove_images

    result = session.change_that_frees(
        lambda change: remove_images(
            change, [name], force=False, prune=True, glob=False, verbose=False, keep=None
        )
    )
    for outcome in result.outcomes:
        if outcome.error is not None:
            raise outcome.error


def _always() -> bool:
    return True
