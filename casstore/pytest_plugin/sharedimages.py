"""All images of one store for another: records from its index, blobs by hard link, nothing read.

The origin is trusted: what is in it was verified when it came in, and nobody changes it. So this is
a load whose every answer is known already; it is admitted, committed and published like any other.
"""

from __future__ import annotations

from itertools import groupby
from shutil import copyfileobj
from typing import TYPE_CHECKING

from casstore.model.descriptor import LAYER
from casstore.model.record import Arrival, BlobRecord
from casstore.model.trashed import form_of
from casstore.store.intake import take_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.record import ImageRecord
    from casstore.model.reference import Reference
    from casstore.ports.ingest import Ingest
    from casstore.ports.view import View
    from casstore.progress import Progress
    from casstore.store import Store

COPY = 1 << 20


def copy_images(origin: Store, target: Store) -> None:
    """Bring every image of `origin`, with its names and parent link, into `target`."""
    view = origin.session.view()

    def read(ingest: Ingest, _: Progress | None) -> list[Arrival]:
        for blob in view.all_blobs():
            _share(origin, ingest, blob.digest, blob.size)
            layer = view.layer(blob.digest) if blob.kind == LAYER else None
            if layer is not None:
                ingest.add_layer(layer)
        return [arrival for image in _in_order(view) for arrival in _arrivals(view, image)]

    take_in(target.session, read)


def make_empty(store: Store) -> None:
    """Make a store that is there, with nothing in it."""
    take_in(store.session, lambda _ingest, _progress: ())


def _share(origin: Store, ingest: Ingest, digest: Digest, size: int) -> None:
    path = origin.session.backend.blobs.file_of(digest)
    if path is not None and ingest.adopt(path, digest, size):
        return
    draft = ingest.draft()  # a file system without hard links
    with origin.session.backend.blobs.open(digest) as source:
        copyfileobj(source, draft, COPY)
    draft.seal(digest, size)


def _in_order(view: View) -> list[Digest]:
    """Images with a name in the order of their first one, then the others, oldest first."""
    named = list(view.all_references())
    rest = [facts.id for facts in reversed(view.all_images({}))]
    return list(dict.fromkeys([*named, *rest]))


def _arrivals(view: View, image: Digest) -> Iterator[Arrival]:
    """The image once for each run of names of one manifest, so that names keep their order."""
    tops = {top.digest: top for top in view.tops_of(image)}
    parent = view.parent_of(image)
    names = view.references_of(image)
    runs: list[tuple[Digest, tuple[Reference, ...]]] = [
        (manifest, tuple(one.name for one in run))
        for manifest, run in groupby(names, key=lambda one: one.manifest)
    ]
    unnamed = [(top, ()) for top in tops if top not in {manifest for manifest, _ in runs}]
    for manifest, attached in [*runs, *unnamed]:
        yield Arrival(_record(view, image, tops[manifest]), attached, parent)


def _record(view: View, image: Digest, top: Descriptor) -> ImageRecord:
    kinds = {blob.digest: blob.kind for blob in view.manifests_of(image)}
    blobs: dict[Digest, BlobRecord] = {}
    layers: dict[Digest, LayerRecord] = {}

    def walk(digest: Digest, size: int, kind: str) -> None:
        if digest in blobs:
            return
        needs = view.needs_of(digest)
        blobs[digest] = BlobRecord(digest, size, kind, tuple(need.digest for need in needs))
        layer = view.layer(digest) if kind == LAYER else None
        if layer is not None:
            layers[digest] = layer
        for need in needs:
            walk(need.digest, need.size, need.kind)

    walk(top.digest, top.size, kinds[top.digest])
    record = form_of(view.stored_image(image), top)
    return record._replace(blobs=tuple(blobs.values()), layers=tuple(layers.values()))
