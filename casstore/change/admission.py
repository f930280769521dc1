"""Admission: images that have arrived get their rows, their names and their parents."""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model.keys import LOAD, TAG
from casstore.model.state import BROKEN, PROMISED, SETTLED
from casstore.results.exchange import LoadedImage, Renamed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.digest import Digest
    from casstore.model.record import Arrival, ImageRecord
    from casstore.model.reference import Reference
    from casstore.ports.edits import Edits


def admit_arrivals(
    index: Edits, arrivals: Sequence[Arrival], *, action: str = LOAD, clobber: bool = True
) -> tuple[LoadedImage, ...]:
    """Add images, then their names in order, then parent links (a child may come first).

    Each is an event, called `action`: one for each tag, or one for an image that has none.

    Without `clobber` a name that the index has stays at its manifest. Tags of signatures move all
    the same: what comes under them has the signatures that were there, too.

    Raises:
        Refused: a parent link that would close a cycle; or a layer that comes as a promise, and
            another load has brought meanwhile with another diff ID.
    """
    held = set() if clobber else _held(index, arrivals)
    for arrival in arrivals:
        index.admit(_as_known(index, arrival.image).arriving(index.now))
    loaded = []
    for arrival in arrivals:
        renamed, changed = [], []
        top = arrival.image.top.digest
        names = tuple(name for name in arrival.names if (name, top) not in held)
        for name in names:
            if index.image_named(name) != arrival.image.id:
                changed.append(name)
            old = index.attach(name, arrival.image.id, top, tagged=0)
            if old is not None:
                renamed.append(Renamed(name, old))
        kept = tuple(dict.fromkeys(name for name in arrival.names if name not in names))
        _record(index, action, arrival.image.id, names, changed)
        loaded.append(LoadedImage(arrival.image.id, names, tuple(renamed), tuple(changed), kept))
    for arrival, image in zip(arrivals, loaded, strict=True):
        if not image.names:
            index.keep_unnamed(arrival.image.id, arrival.image.top.digest)
        if arrival.parent is not None and index.has_image(arrival.parent):
            _refuse_cycle(index, arrival.image.id, arrival.parent)
            index.link_parent(arrival.image.id, arrival.parent)
    return tuple(loaded)


def _record(
    index: Edits,
    action: str,
    image: Digest,
    names: Sequence[Reference],
    changed: Sequence[Reference],
) -> None:
    """Note what came. A name by digest beside a tag is told where it is new, as a tag."""
    tags = [name for name in names if name.tag is not None]
    for name in tags or names or (None,):
        index.record(action, image, name)
    if tags:
        for name in changed:
            if name.tag is None:
                index.record(TAG, image, name)


def _held(index: Edits, arrivals: Sequence[Arrival]) -> set[tuple[Reference, Digest]]:
    """Names that the index has for something else, each with the manifest that does not get it."""
    from casstore.model.signatures import grows  # a load that moves names has no use for it

    held = set()
    for arrival in arrivals:
        for name in arrival.names:
            stored = index.top_named(name)
            if stored is not None and stored.digest != arrival.image.top.digest and not grows(name):
                held.add((name, arrival.image.top.digest))
    return held


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
