"""A tar whose members are all known before its first byte: streamed forward, or put in place.

A pipe takes the members one after the other. In a file the place of each is known, so several
threads can fill it at once (blobplaces.py). Either way the bytes are the same, and nothing of today
or of this machine is in them.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from casstore.errors import Damaged
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.kept import LayerRecord
from casstore.ports.blobs import Placed, StoredBlobs
from casstore.startup.value import Value
from casstore.transfer.blobplaces import BlobPlace, place_blobs
from casstore.transfer.openlayer import open_framed

BLOCK = 512

_READ = 1 << 20


class Member(Value):
    """A directory, or a file that holds `data`, a blob byte for byte, or a layer uncompressed."""

    name: str
    data: bytes | None = None
    blob: Descriptor | None = None
    layer: LayerRecord | None = None

    @property
    def size(self) -> int:
        """Bytes of the file; 0 for a directory."""
        if self.layer is not None:
            return self.layer.diff_size
        return self.blob.size if self.blob is not None else len(self.data or b"")

    @property
    def header(self) -> bytes:
        """What stands in the tar before the file, without time or owner."""
        directory = self.name.endswith("/")
        member = tarfile.TarInfo(self.name.rstrip("/"))
        member.size, member.mode = self.size, 0o755 if directory else 0o644
        member.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
        # GNU writes sizes of 8 GiB and more in base 256, where pax would need another member.
        return member.tobuf(tarfile.GNU_FORMAT)


def tar_size(members: Sequence[Member]) -> int:
    """Bytes of the tar of these members."""
    return sum(BLOCK + member.size + _padding(member) for member in members) + 2 * BLOCK


def stream_tar(out: IO[bytes], members: Sequence[Member], blobs: StoredBlobs) -> None:
    """Write the tar forward. Layers are held against their diff IDs, blobs against their digests.

    Raises:
        Damaged: a blob is missing or is not its digest; `out` is then good for nothing.
    """
    for member in members:
        out.write(member.header)
        if member.layer is not None:
            _stream_layer(out, member.layer, blobs)
        elif member.blob is not None:
            for piece in verified(member.blob, blobs):
                out.write(piece)
        elif member.data is not None:
            out.write(member.data)
        out.write(bytes(_padding(member)))
    out.write(bytes(2 * BLOCK))


def place_tar(
    target: Placed,
    members: Sequence[Member],
    blobs: StoredBlobs,
    *,
    pulse: Callable[[], None] | None = None,
) -> None:
    """Write the tar into a file of `tar_size(members)` bytes, all zero, by all cores.

    `pulse` is called in this thread some times a second while it waits for others.

    Raises:
        Damaged: as for `stream_tar`.
    """
    at = 0
    places = []
    for member in members:
        target.place(at, memoryview(member.header + (member.data or b"")))
        at += BLOCK
        if member.layer is not None:
            record = member.layer
            places.append(BlobPlace(at, record.digest, record.size, record.diff_size,
                                    record.digest == record.diff_id))  # fmt: skip
        elif member.blob is not None:
            _, digest, size = member.blob
            places.append(BlobPlace(at, digest, size, size, plain=True))
        at += member.size + _padding(member)
    place_blobs(places, target, blobs, pulse=pulse)


def _padding(member: Member) -> int:
    return -member.size % BLOCK


def _stream_layer(out: IO[bytes], record: LayerRecord, blobs: StoredBlobs) -> None:
    left = record.diff_size
    with open_framed(blobs.open(record.digest), record) as layer:
        for piece in layer.pieces():
            left -= len(piece)
            out.write(piece)
    if left:
        raise Damaged(f"blob {record.digest} does not hold {record.diff_size} bytes")


def verified(descriptor: Descriptor, blobs: StoredBlobs) -> Iterator[bytes]:
    """The pieces of a blob; fails at its end unless they were what the descriptor says."""
    content, left = hashlib.sha256(), descriptor.size
    with blobs.open(descriptor.digest) as file:
        while piece := file.read(min(_READ, left + 1)):
            left -= len(piece)
            if left < 0:
                break
            content.update(piece)
            yield piece
    if left or Digest.of_bytes(content.digest()) != descriptor.digest:
        raise Damaged(f"blob {descriptor.digest} is damaged: its content has another digest")
