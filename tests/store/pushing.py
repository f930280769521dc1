"""A client that pushes to a store: the blobs of a layout first, then its manifests."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from casstore.flows.receive import type_of
from casstore.store.receiving import Target, receive, uploads_of

if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.ports.view import View
    from casstore.store import Store
    from casstore.store.receiving import Received
    from tests.transfer.building import Layout

REPOSITORY = "localhost/app"


def has(view: View, manifest: Digest, repository: str = REPOSITORY) -> bool:
    """As the registry answers whether a manifest can be had from a repository."""
    for image in view.holders_of(manifest):
        if any(
            one.manifest == manifest and one.name.repository == repository
            for one in view.references_of(image)
        ):
            return True
        if any(has(view, subject, repository) for subject in view.subjects_of(image)):
            return True
    return any(has(view, above, repository) for above in view.needed_by(manifest))


def upload(store: Store, data: bytes, digest: Digest) -> None:
    """Bring one blob."""
    uploads = uploads_of(store.session)
    one = uploads.begin()
    uploads.append(one, io.BytesIO(data))
    uploads.finish(one, digest)


def upload_all(store: Store, layout: Layout, *but: dict[str, Any]) -> None:
    """Bring the blobs of a layout; its manifests too, which does no harm."""
    from casstore.model.digest import Digest

    left_out = {one["digest"] for one in but}
    for name, data in layout.files.items():
        digest = Digest.of_hex(name.rpartition("/")[2]) if name.startswith("blobs/") else None
        if digest is not None and digest not in left_out:
            upload(store, data, digest)


def push(
    store: Store, layout: Layout, top: dict[str, Any], *tags: str, repository: str = REPOSITORY
) -> Received:
    """Bring a manifest, by its digest where there are no tags."""
    target = Target(repository, tags, lambda view, digest: has(view, digest, repository))
    data = layout.of(top)
    return receive(store.session, data, type_of(data, ""), target)
