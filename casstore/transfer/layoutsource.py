"""An OCI layout as a source of blobs, each read where it lies; nothing is staged."""

from __future__ import annotations

import os

from casstore.errors import InvalidReference, NotFound, Refused, quote
from casstore.model import mediatype
from casstore.model.document import MAX_DOCUMENT, MAX_INDEX_JSON
from casstore.model.keys import REF_NAME
from casstore.model.manifest import INDEX_JSON, OCI_LAYOUT, parse_index_json
from casstore.transfer.directoryarchive import DirectoryArchive
from casstore.transfer.layoutlist import blob_name, check_layout_version
from casstore.transfer.membername import NoSuchMember

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from casstore.model.descriptor import Descriptor
    from casstore.model.manifest import Entry

MANIFEST_JSON = "manifest.json"  # where a layout has it, what it lists counts too


def is_plain_layout(path: str) -> bool:
    """Whether a directory is a layout, and nothing else besides."""
    return (
        all(os.path.isfile(os.path.join(path, name)) for name in (OCI_LAYOUT, INDEX_JSON))
        and not os.path.lexists(os.path.join(path, MANIFEST_JSON))
    )  # fmt: skip


class LayoutSource:
    """An image of a layout directory; a `BlobSource`."""

    def __init__(self, path: str, reference: str) -> None:
        """Look for what the layout calls so; without a reference, for the one image that it has.

        Raises:
            NotFound: it has none of that name.
            Refused: it has several, and none is named; or it is no layout that is known.
        """
        self._files = DirectoryArchive(path)
        check_layout_version(self._files)
        self._entries = parse_index_json(self._files.read(INDEX_JSON, MAX_INDEX_JSON)).manifests
        self.top = self._found(reference)

    def _found(self, reference: str) -> Descriptor:
        where = quote(self._files.label)
        if reference:
            for is_meant in (_is_called, self._means):
                for entry in self._entries:
                    if is_meant(entry, reference):
                        return entry.descriptor
            raise NotFound(f"{where} has no image {quote(reference)}")
        if not self._entries:
            raise NotFound(f"{where} lists no images")
        if len({entry.descriptor.digest for entry in self._entries}) > 1:
            raise Refused(f"{where} has several images: name one of them after a colon")
        return self._entries[0].descriptor

    def _means(self, entry: Entry, reference: str) -> bool:
        """Whether a name that an entry has, as `load` reads it, is meant by a reference."""
        from casstore.transfer.layoutnames import names_of, repository_of

        digest = entry.descriptor.digest
        try:
            names = names_of(entry.annotations, digest, repository_of(self._files.stem))
        except InvalidReference:
            return False
        return any(
            reference in (name.tag, name.familiar, name, name.rpartition("@")[2]) for name in names
        )

    def document(self, descriptor: Descriptor) -> bytes | None:
        """The bytes of a manifest or an index, not verified; None where it is not there."""
        try:
            return self._files.read(blob_name(descriptor.digest), MAX_DOCUMENT)
        except NoSuchMember:
            return None

    def open(self, descriptor: Descriptor) -> IO[bytes]:
        """A blob, for a reader that verifies it.

        Raises:
            Refused: it is not there.
        """
        try:
            return self._files.open(blob_name(descriptor.digest))
        except NoSuchMember:
            foreign = mediatype.is_foreign(descriptor.media_type)
            why = " (a foreign layer, to be fetched from elsewhere: nothing is fetched)"
            raise Refused(f"blob {descriptor.digest} is missing{why if foreign else ''}") from None


def _is_called(entry: Entry, reference: str) -> bool:
    return entry.annotations.get(REF_NAME) == reference
