"""Which layers an image has, for one platform; or which layer a digest means."""

from __future__ import annotations

from casstore.errors import Refused, Unsupported, quote
from casstore.flows.selection import readable_top
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.manifest import Manifest, parse_document
from casstore.model.mediatype import is_index
from casstore.queries.platforms import choose_platform, platforms_of
from casstore.rules.layers import layer_by_diff_id
from casstore.rules.resolve import resolve
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.kept import LayerRecord
    from casstore.model.platform import Platform
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View


class Stack(Value):
    """The layers of an image, or one layer by itself."""

    image: Digest | None  # ID of the image as the store lists it; None for a layer
    layers: tuple[LayerRecord, ...]  # bottom first
    config: Digest | None  # blob of the config that belongs to these layers; None for a layer


def image_stack(
    view: View, blobs: Blobs, argument: str, platform: Platform | None, here: Platform
) -> Stack:
    """The layers of an image.

    Args:
        platform: which image of an index is meant; None: the only one that is there, else that for
            `here`, this machine's platform.

    Raises:
        NotFound: no such image, or it is not there for the platform.
        Unsupported: what is meant is not an image, or the store does not keep all of its layers.
        InvalidReference, Damaged.
    """
    with view.snapshot():  # an image may go between two looks
        found = resolve(view, argument)
        image, name = found.image, found.name
        named = view.top_named(name.reference) if name is not None else None
        top = named or readable_top(view, image)
        if is_index(top.media_type) or platform is not None:
            rows = platforms_of(view, blobs, image)
            if platform is not None or len(rows) != 1:
                row = choose_platform(view, blobs, image, platform or here)
            else:
                row = rows[0]
            top = Descriptor(row.media_type, row.manifest, 0)
        document = parse_document(blobs.read(top.digest), top)
        if not isinstance(document, Manifest) or not document.is_image:
            raise Unsupported(f"{quote(argument)} is not an image")
        layers = []
        for number, entry in enumerate(document.layers, 1):
            record = view.layer(entry.descriptor.digest)
            if record is None:
                raise Unsupported(f"layer {number} of {quote(argument)} is not in the store")
            layers.append(record)
        config = document.config.descriptor.digest if document.config is not None else None
        return Stack(image, tuple(layers), config)


def layer_stack(view: View, argument: str) -> Stack | None:
    """A layer by its blob digest or diff ID; None if that is not one."""
    try:
        digest = Digest.parse(argument)
    except Refused:
        return None
    record = view.layer(digest) or layer_by_diff_id(view, digest)
    return Stack(None, (record,), None) if record is not None else None
