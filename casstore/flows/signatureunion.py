"""Signatures that come in beside others: a tag that grows never loses what the store has under it.

Two people sign the same image in two stores. Each has the artifact `sha256-<hex>.sig` with a
signature of his own; whichever comes to the other's store is united with what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.errors import Conflict, NotFound
from casstore.model.descriptor import Descriptor
from casstore.model.imagetree import read_tree
from casstore.model.mediatype import OCI_MANIFEST, is_manifest
from casstore.model.record import Arrival
from casstore.model.signatures import grows, united
from casstore.rules.removal import plan_removal
from casstore.transfer.stagedtree import StagedTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from casstore.change.commit import Change
    from casstore.model.digest import Digest
    from casstore.model.record import ImageRecord
    from casstore.model.reference import Reference
    from casstore.ports.ingest import Ingest
    from casstore.ports.view import View


def unite_with_stored(
    arrivals: Sequence[Arrival], ingest: Ingest, view: View
) -> tuple[list[Arrival], set[Digest]]:
    """Arrivals whose tags that grow name, besides their own, the signatures that the store has.

    Returns:
        The arrivals, and the IDs of the images of the store that longer ones stand for now.
    """
    result: list[Arrival] = []
    replaced: set[Digest] = set()
    for arrival in arrivals:
        others: list[Reference] = []
        for name in arrival.names:
            longer = _longer(name, arrival.image.top, ingest, view) if grows(name) else None
            if longer is None:
                others.append(name)
                continue
            result.append(Arrival(longer, (name,), None))
            replaced.update(filter(None, [view.image_named(name)]))
        if others or not arrival.names:
            result.append(arrival._replace(names=tuple(others)))
    if replaced:  # what arrived for itself is not stored beside the longer ones
        ingest.keep_only({blob.digest for one in result for blob in one.image.blobs})
    return result, replaced - {arrival.image.id for arrival in result}


def _longer(name: Reference, top: Descriptor, ingest: Ingest, view: View) -> ImageRecord | None:
    """The artifact with what the store has, too; None where that is what arrives, or unlike it."""
    stored = view.top_named(name)
    if stored is None or stored.digest == top.digest:
        return None
    if not (is_manifest(stored.media_type) and is_manifest(top.media_type)):
        return None
    arriving = ingest.read(top.digest)
    both = united(ingest.read(stored.digest), arriving)
    if both is None or both.manifest == arriving:
        return None
    if both.config:
        ingest.add(both.config)
    longer = Descriptor(OCI_MANIFEST, ingest.add(both.manifest), len(both.manifest))
    return read_tree(longer, StagedTree(ingest))


def drop_unnamed(change: Change, images: Iterable[Digest]) -> None:
    """Remove artifacts that longer ones have replaced, unless somebody holds them."""
    for image in images:
        if change.index.references_of(image):
            continue
        try:
            change.index.apply(plan_removal(change.index, image, prune=False))
        except (Conflict, NotFound):
            continue  # a lease: it goes when somebody prunes; or it has gone
