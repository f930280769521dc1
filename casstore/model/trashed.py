"""What the trash keeps of a removal: enough to bring it back as it was."""

from __future__ import annotations

from casstore.model.descriptor import MANIFEST
from casstore.model.labels import Labels
from casstore.model.record import BlobRecord, ImageRecord
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import StoredImage
    from casstore.model.reference import Reference


class KeptName(Value):
    """A reference in the trash."""

    name: Reference
    manifest: Digest
    tagged: int  # ns, as `reference.tagged`


class KeptImage(Value):
    """An image in the trash, as it was when it, or names of it, went."""

    id: Digest
    records: tuple[ImageRecord, ...]  # one for each manifest kept: all of its tree is in the index
    parent: Digest | None
    pinned: bool
    names: tuple[KeptName, ...]  # in attach order


def form_of(image: StoredImage, top: Descriptor) -> ImageRecord:
    """One form of an image that is kept: the tree under its manifest is in the index."""
    told = {name: value for name, value in image._asdict().items() if name in ImageRecord._fields}
    told |= {"labels": Labels(image.labels), "kept": image, "top": top, "layers": ()}
    told["blobs"] = (BlobRecord(top.digest, top.size, MANIFEST, ()),)
    return ImageRecord(**told)


class KeptEntry(Value):
    """One removal that can be undone."""

    id: int
    removed: int  # ns
    expires: int  # ns
    images: tuple[KeptImage, ...]  # the one removed, then the parents that went with it


def resized(entry: KeptEntry, sizes: Mapping[Digest, int]) -> KeptEntry:
    """The entry with other sizes (file bytes of all layers) of some of its images."""
    images = list(entry.images)
    for at, image in enumerate(images):
        size = sizes.get(image.id)
        if size is not None:
            records = [
                record._replace(size=size, kept=record.kept and record.kept._replace(size=size))
                for record in image.records
            ]
            images[at] = image._replace(records=tuple(records))
    return entry._replace(images=tuple(images))
