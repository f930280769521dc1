"""Which layers the images of an archive have, by its documents alone.

The layers may be there or not: a thin archive lists those that it leaves out, too.
"""

from __future__ import annotations

from casstore.model.document import MAX_DOCUMENT
from casstore.model.imagetree import read_tree
from casstore.model.kept import LayerRecord
from casstore.transfer.archivedtree import is_in
from casstore.transfer.formats import Listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.transfer.archive import Archive


def layers_of_trees(
    tops: Iterable[Descriptor], archive: Archive, name_of: Callable[[Descriptor], str]
) -> Listed:
    """The layers under manifests and indexes of an archive.

    Args:
        tops: of the archive.
        archive: where the documents are.
        name_of: the name of a blob in the archive.

    Raises:
        Refused: a document is wrong or absent.
    """
    reader = _Listing(archive, name_of)
    for top in tops:
        read_tree(top, reader)
    return reader.found


class _Listing:
    """A `TreeReader` that notes layers, and believes what is said of them."""

    def __init__(self, archive: Archive, name_of: Callable[[Descriptor], str]) -> None:
        self._archive, self._name_of = archive, name_of
        self.found = Listed(set(), set())

    def document(self, descriptor: Descriptor) -> bytes | None:
        name = self._name_of(descriptor)
        return self._archive.read(name, MAX_DOCUMENT) if is_in(self._archive, name) else None

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        media_type, digest, size = descriptor
        self.leaf(descriptor)
        if diff_id is not None:
            self.found.diff_ids.add(diff_id)
        return LayerRecord(digest, size, media_type, diff_id or digest, 0, 0)

    def leaf(self, descriptor: Descriptor) -> None:
        self.found.digests.add(descriptor.digest)
