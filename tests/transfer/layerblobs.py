"""Blobs of one layer in every compression that layers come in, and what is in them."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable

import zstandard

from casstore.model.digest import sha256
from casstore.model.fileentry import FILE, FileEntry
from casstore.model.kept import LayerRecord
from casstore.transfer.compress import Compression, LayerJob, pack_layers
from casstore.transfer.openlayer import open_framed
from casstore.transfer.restartpoints import Points, PointsMaker
from tests.transfer.building import OCI_LAYER
from tests.transfer.memoryintake import MemoryIntake
from tests.transfer.noise import noise

SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip"


def words(size: int, seed: int = 1) -> bytes:
    """What compresses to about half of its size."""
    return noise(size // 2 + 1, seed).hex().encode()[:size]


# Text, what does not compress, much of the same, text again.
PLAIN = words(1_300_000) + noise(700_000) + bytes(900_000) + words(1_100_000, 2)


def packed(plain: bytes, kind: str, level: int) -> bytes:
    """The blob that casstore makes of a layer."""
    intake = MemoryIntake()
    job = LayerJob(lambda: io.BytesIO(plain), None, 1)
    (record,) = pack_layers([job], intake, Compression(kind, level))
    return intake.blobs[record.digest]


def frames(plain: bytes, size: int, *, content_size: bool = True, between: bytes = b"") -> bytes:
    packer = zstandard.ZstdCompressor(level=1, write_content_size=content_size)
    parts = (plain[at : at + size] for at in range(0, len(plain), size))
    return between.join((b"", *(packer.compress(part) for part in parts), b""))


def members(plain: bytes, size: int) -> bytes:
    parts = (plain[at : at + size] for at in range(0, len(plain), size))
    return b"".join(gzip.compress(part, 6) for part in parts)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "our-zstd": lambda plain: packed(plain, "zstd", 1),
    "our-gzip": lambda plain: packed(plain, "gzip", 6),
    "one-frame": lambda plain: zstandard.ZstdCompressor(level=1).compress(plain),
    "small-frames": lambda plain: frames(plain, 300_000),
    "frames-of-no-size": lambda plain: frames(plain, 300_000, content_size=False),
    "skippable-frames": lambda plain: frames(plain, 90_000, between=SKIPPABLE),
    "gzip-1": lambda plain: gzip.compress(plain, 1),
    "gzip-9": lambda plain: gzip.compress(plain, 9),
    "stored-gzip": lambda plain: gzip.compress(plain, 0),
    "gzip-members": lambda plain: members(plain, 700_000),
    "many-gzip-members": lambda plain: members(plain, 30_000),
}


def record_of(blob: bytes, plain: bytes) -> LayerRecord:
    return LayerRecord(sha256(blob), len(blob), OCI_LAYER, sha256(plain), len(plain), 0)


def attachment_of(blob: bytes, plain: bytes, apart: int) -> bytes:
    """What a scan of the blob notes, with a point every `apart` bytes."""
    maker = PointsMaker(len(plain), frames=apart, blocks=apart)
    with open_framed(io.BytesIO(blob), record_of(blob, plain), points=maker) as layer:
        for _ in layer.pieces():
            pass
    return b"".join(maker.attachment())


def points_of(blob: bytes, plain: bytes, apart: int = 256 << 10) -> Points | None:
    attachment = attachment_of(blob, plain, apart)
    return Points.load(lambda offset, size: attachment[offset : offset + size])


def entry_of(plain: bytes, offset: int, size: int) -> FileEntry:
    """A file whose content is there in a layer."""
    content = sha256(plain[offset : offset + size]).raw
    return FileEntry(b"etc/file", FILE, 0o644, 0, 0, 0, size, sha256=content, offset=offset)


class CountingFile(io.BytesIO):
    """A blob that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data
