"""Blobs that can be made again from their tar alone: plain ones, and those as casstore makes them.

The same zstd or zlib compresses alike everywhere. Whether a blob is such a one is not written in
it, so it is tried: the tar is compressed, and what comes out is hashed and thrown away.
"""

from __future__ import annotations

from casstore.model import mediatype
from casstore.transfer.compress import USUAL, LayerJob, pack_layers, parse_compression

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord


def compression_that_makes(record: LayerRecord, open_tar: Callable[[], IO[bytes]]) -> str | None:
    """How to compress a layer's tar to get its blob (`zstd:1`); None where casstore cannot."""
    kind = mediatype.compression_of(record.media_type)
    if kind is None:
        return None
    job = LayerJob(open_tar, record.diff_id, 0)
    (made,) = pack_layers([job], Nowhere(), parse_compression(kind), anew=True)
    return USUAL[kind] if made.digest == record.digest else None


class Nowhere:
    """A `Packing` that keeps nothing."""

    max_layer_size: int | None = None

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        return None

    def add_layer(self, record: LayerRecord) -> None:
        pass

    def draft(self, digest: Digest | None = None) -> NoDraft:
        return NoDraft()


class NoDraft:
    """A `Draft` whose content is thrown away."""

    offset = 0

    def reread(self) -> IO[bytes]:
        raise NotImplementedError  # nothing was kept that could be read

    def write(self, data: bytes | memoryview) -> int:
        return len(data)

    def seal(self, digest: Digest, size: int) -> None:
        pass

    def discard(self) -> None:
        pass

    def leave(self) -> None:
        pass
