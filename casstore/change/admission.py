"""Admission: images that have arrived get their rows, their names and their parents."""

from __future__ import annotations

from casstore.errors import Refused
from casstore.results.exchange import LoadedImage, Renamed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.digest import Digest
    from casstore.model.record import Arrival
    from casstore.ports.edits import Edits


def admit_arrivals(index: Edits, arrivals: Sequence[Arrival]) -> tuple[LoadedImage, ...]:
    """Add images, then their names in order, then parent links (a child may come first).

    Raises:
        Refused: a parent link that would close a cycle.
    """
    for arrival in arrivals:
        index.admit(arrival.image.arriving(index.now))
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


def _refuse_cycle(index: Edits, child: Digest, parent: Digest) -> None:
    ancestor: Digest | None = parent
    while ancestor is not None:
        if ancestor == child:
            raise Refused(f"image {parent} is not a valid parent for {child}")
        ancestor = index.parent_of(ancestor)
