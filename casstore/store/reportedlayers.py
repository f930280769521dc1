"""What layers bring to each image, for the report.

What is known from earlier looks into layers is shown; layers are read only where that is asked for,
since it can take minutes.
"""

from __future__ import annotations

from casstore.errors import CasstoreError, Locked, NotAStore, Unsupported
from casstore.flows.imagestack import image_stack
from casstore.flows.layeruse import KnownFiles
from casstore.model.descriptor import LAYER
from casstore.model.platform import this_machine
from casstore.results.space import InventoryLayer
from casstore.store.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.results.space import Inventory, InventoryImage
    from casstore.store.session import Session

    # A layer, the bytes of its files, and of these those overwritten and those deleted.
    _Counted = list[tuple[Digest, int, int, int]]

MOST_ENTRIES = 1_000_000  # of tables, in a report that reads no layer; some seconds


def with_layers(session: Session, inventory: Inventory, *, read: bool) -> Inventory:
    """The inventory, with what the layers of its images bring, as far as that is known.

    Args:
        read: look into the layers that nobody has looked into. What cannot be told of an image is
            a notice of the session then, unless it is no image that has files.
    """
    known = KnownFiles(session.backend, MOST_ENTRIES)
    places = {blob.digest: place for place, blob in enumerate(inventory.blobs)}
    images = []
    for image in inventory.images:
        if read:
            counted = _read(session, image)
        else:
            layers = [inventory.blobs[place] for place in image.blobs]
            digests = [blob.digest for blob in layers if blob.kind == LAYER]
            counted = _known(session, known, image) if known.has_some(digests) else None
        shown = _in_place(counted, places) if counted is not None else None
        images.append(image._replace(layers=shown))
    return inventory._replace(images=tuple(images))


def _read(session: Session, image: InventoryImage) -> _Counted | None:
    try:
        uses = Files(session).layers(image.id)
    except (Locked, NotAStore):
        raise
    except Unsupported:  # an artifact, or an encrypted image
        return None
    except CasstoreError as error:
        name = image.names[0].familiar if image.names else image.id.short
        session.notices.append(f"cannot look into {name}: {error}")
        return None
    return [(use.digest, use.size, use.overwritten, use.deleted) for use in uses]


def _known(session: Session, known: KnownFiles, image: InventoryImage) -> _Counted | None:
    try:
        stack = image_stack(session.view(), session.backend.blobs, image.id, None, this_machine())
        layers = [layer.digest for layer in stack.layers]
        counts = known.count(layers)
    except CasstoreError:  # whoever looks into the image is told
        return None
    if counts is None:
        return None
    return [
        (layer, count.size, count.overwritten, count.deleted)
        for layer, count in zip(layers, counts, strict=True)
    ]


def _in_place(counted: _Counted, places: dict[Digest, int]) -> tuple[InventoryLayer, ...] | None:
    """By the places of the blobs, each once, for a layer may stand in an image twice."""
    found: dict[int, InventoryLayer] = {}
    for digest, *numbers in counted:
        place = places.get(digest)
        if place is None:  # the image has changed since the inventory was taken
            return None
        before = found.get(place, InventoryLayer(place, 0, 0, 0))
        found[place] = InventoryLayer(
            place, *(old + new for old, new in zip(before[1:], numbers, strict=True))
        )
    return tuple(found.values())
