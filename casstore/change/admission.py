"""Admission: images that have arrived get their rows, their names and their parents."""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model.state import BROKEN, PROMISED, SETTLED
from casstore.results.exchange import LoadedImage, Renamed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.digest import Digest
    from casstore.model.record import Arrival, ImageRecord
    from casstore.ports.edits import Edits


def admit_arrivals(index: Edits, arrivals: Sequence[Arrival]) -> tuple[LoadedImage, ...]:
    """Add images, then their names in order, then parent links (a child may come first).

    Raises:
        Refused: a parent link that would close a cycle; or a layer that comes as a promise, and
            another load has brought meanwhile with another diff ID.
    """
    for arrival in arrivals:
        index.admit(_as_known(index, arrival.image).arriving(index.now))
    loaded = []
    for arrival in arrivals:
        renamed, changed = [], []
        for name in arrival.names:
            if index.image_named(name) != arrival.image.id:
                changed.append(name)
            old = index.attach(name, arrival.image.id, arrival.image.top.digest, tagged=0)
            if old is not None:
                renamed.append(Renamed(name, old))
        loaded.append(LoadedImage(arrival.image.id, arrival.names, tuple(renamed), tuple(changed)))
    for arrival in arrivals:
        if not arrival.names:
            index.keep_unnamed(arrival.image.id, arrival.image.top.digest)
        if arrival.parent is not None and index.has_image(arrival.parent):
            _refuse_cycle(index, arrival.image.id, arrival.parent)
            index.link_parent(arrival.image.id, arrival.parent)
    return tuple(loaded)


def _as_known(index: Edits, image: ImageRecord) -> ImageRecord:
    """The image with what the index knows by now of the layers that it only promises."""
    layers, more = list(image.layers), 0
    for at, layer in enumerate(layers):
        known = index.layer(layer.digest) if layer.state == PROMISED else None
        if known is None:
            continue
        if known.diff_id != layer.diff_id or known.state == BROKEN:
            raise Refused(
                f"layer {layer.digest} is not known as {layer.diff_id} since it was looked for;"
                " try again"
            )
        if known.state == SETTLED:
            times = sum(blob.children.count(layer.digest) for blob in image.blobs)
            more += times * (known.file_bytes - layer.file_bytes)
            layers[at] = known
    return image._replace(layers=tuple(layers), size=image.size + more)


def _refuse_cycle(index: Edits, child: Digest, parent: Digest) -> None:
    ancestor: Digest | None = parent
    while ancestor is not None:
        if ancestor == child:
            raise Refused(f"image {parent} is not a valid parent for {child}")
        ancestor = index.parent_of(ancestor)
