"""What `save` writes out: the sink's side of an `Arrival`."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class SavedImage(Value):
    """An image to be written, with the names it shall have there."""

    image_id: Digest
    top: Descriptor  # the manifest or index to be written
    names: tuple[Reference, ...]
    parent: Digest | None  # image ID of the recorded parent, if that is written too
    ref: str = ""  # `org.opencontainers.image.ref.name` of a layout, where there are no names
