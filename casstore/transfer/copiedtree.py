"""All that is to be copied under one manifest or index: documents, which are read, and blobs.

It stands where a store's blobs would: what is sent to a registry from a store can be sent from it.
"""

from __future__ import annotations

import io

from casstore.errors import Refused
from casstore.model import mediatype
from casstore.model.digest import sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.manifest import Index, parse_document, unknown_type
from casstore.model.treechecks import (
    MAX_DOCUMENTS,
    MAX_INDEX_DEPTH,
    MAX_LEAVES,
    check_digest,
    check_size,
    missing,
)
from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.manifest import Manifest

MAX_HELD = 256 << 20  # bytes of manifests and indexes that one copy keeps in memory


class BlobSource(Protocol):
    """Where an image is copied from."""

    def document(self, descriptor: Descriptor) -> bytes | None:
        """The bytes of a manifest or index; None where it is not there."""

    def open(self, descriptor: Descriptor) -> IO[bytes]:
        """A blob, for a reader that verifies it."""


def read_verified(descriptor: Descriptor, source: BlobSource) -> bytes:
    """A manifest or index, which is what its descriptor says. Raises Refused."""
    data = _looked_for(descriptor, source)
    if data is None:
        raise missing(descriptor)
    return data


def _looked_for(descriptor: Descriptor, source: BlobSource) -> bytes | None:
    if descriptor.size > MAX_DOCUMENT:
        raise Refused(f"document {descriptor.digest} exceeds the limit of {MAX_DOCUMENT} bytes")
    data = source.document(descriptor)
    if data is not None:
        check_size(descriptor, len(data))
        check_digest(descriptor, sha256(data))
    return data


class CopiedTree:
    """The documents under `top`, and descriptors of the blobs that they name."""

    def __init__(self, top: Descriptor, source: BlobSource) -> None:
        """Read the documents.

        Raises:
            Refused: one is wrong or missing; too deep, too many.
        """
        self.top = top
        self.documents: dict[Digest, Descriptor] = {}  # children before parents
        self.leaves: dict[Digest, Descriptor] = {}
        self._source = source
        self._held: dict[Digest, bytes] = {}
        self._room = MAX_HELD
        self.document = self._walk(top, read_verified(top, source), 0)  # the top itself

    def _walk(self, descriptor: Descriptor, data: bytes, depth: int) -> Manifest | Index:
        self._held[descriptor.digest] = data
        self._room -= len(data)
        if self._room < 0 or len(self._held) > MAX_DOCUMENTS:
            raise Refused(f"an image tree exceeds the limit of {MAX_DOCUMENTS} documents")
        document = parse_document(data, descriptor)
        if isinstance(document, Index):
            self._walk_index(document, descriptor, depth)
        else:
            for entry in (*document.layers, *((document.config,) if document.config else ())):
                self._add_leaf(entry.descriptor)
        self.documents[descriptor.digest] = descriptor
        return document

    def _walk_index(self, index: Index, descriptor: Descriptor, depth: int) -> None:
        """As `read_tree`: children that are not there are left out, unless none is."""
        if depth >= MAX_INDEX_DEPTH:
            raise Refused(f"indexes are nested more than {MAX_INDEX_DEPTH} deep")
        kept = 0
        for entry in index.manifests:
            child = entry.descriptor
            kind = child.media_type
            if child.digest in self._held:
                check_size(child, len(self._held[child.digest]))
            elif mediatype.is_index(kind) or mediatype.is_manifest(kind):
                data = _looked_for(child, self._source)
                if data is None:
                    continue
                self._walk(child, data, depth + 1)
            elif kind in mediatype.SCHEMA1:
                raise unknown_type(child)
            else:
                self._add_leaf(child)
            kept += 1
        if index.manifests and not kept:
            raise Refused(f"index {descriptor.digest} has none of its manifests with it")

    def _add_leaf(self, descriptor: Descriptor) -> None:
        known = self.leaves.setdefault(descriptor.digest, descriptor)
        check_size(descriptor, known.size)
        if len(self.leaves) > MAX_LEAVES:
            raise Refused(f"an image tree exceeds the limit of {MAX_LEAVES} blobs")

    # As `ports.blobs.StoredBlobs`

    def read(self, digest: Digest) -> bytes:
        """A document of the tree."""
        return self._held[digest]

    def open(self, digest: Digest) -> IO[bytes]:
        """A blob of the tree, not verified."""
        held = self._held.get(digest)
        return self._source.open(self.leaves[digest]) if held is None else io.BytesIO(held)

    def keep(self, data: bytes) -> None:
        """Keep a small blob that has been read already."""
        self._held[sha256(data)] = data

    def has(self, digest: Digest) -> bool:
        """Whether it is in the tree."""
        return digest in self._held or digest in self.leaves

    def path(self, digest: Digest) -> str | None:
        """None: nobody's file is given another name."""

    def layer(self, digest: Digest) -> LayerRecord | None:
        """None: nobody has looked into it."""
