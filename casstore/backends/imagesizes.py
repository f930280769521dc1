"""The sizes of images that follow from what is known of their layers: the same on every backend."""

from __future__ import annotations

from casstore.model.descriptor import CONFIG, INDEX, LAYER, MANIFEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.model.digest import Digest
    from casstore.ports.view import View


def sizes_over(
    view: View, layers: Iterable[Digest]
) -> tuple[list[tuple[int, Digest]], list[tuple[int, Digest]]]:
    """Size and ID of each image that has any of some layers: in the store, and in the trash."""
    tops: dict[Digest, Digest] = {}
    kept: dict[Digest, Digest] = {}
    for document in _above(view, layers):
        for image in view.holders_of(document):
            tops[image] = view.tops_of(image)[0].digest
        for image, _, _ in view.trash_of(document):
            kept[image] = document
    return (
        [(_size(view, top), image) for image, top in tops.items()],
        [(_size(view, top), image) for image, top in kept.items()],
    )


def _above(view: View, blobs: Iterable[Digest]) -> list[Digest]:
    """The manifests and indexes that need any of the blobs."""
    found = dict.fromkeys(blobs)
    ahead = list(found)
    while ahead:
        for document in view.needed_by(ahead.pop()):
            if document not in found:
                found[document] = None
                ahead.append(document)
    return list(found)


def _size(view: View, top: Digest) -> int:
    """File bytes of all layers of an image, each as often as it stands there."""
    documents, size = [top], 0
    for document in documents:
        needs = view.needs_of(document)
        documents += [
            need.digest
            for need in needs
            if need.kind in (INDEX, MANIFEST) and need.digest not in documents
        ]
        if any(need.kind == CONFIG for need in needs):
            size += sum(need.file_bytes for need in needs if need.kind == LAYER)
    return size
