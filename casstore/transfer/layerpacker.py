"""The work of `pack_layers`: each new layer read, hashed, compressed and sealed.

Small layers are done in place, large ones by the threads of piecework.py. Which bytes a blob gets
is decided here, by the codecs, and by nothing else.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import IO

from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.model.kept import LayerRecord
from casstore.model.mediatype import OCI_LAYER
from casstore.transfer.compress import Compression, LayerJob, Packing
from casstore.transfer.fullreads import AT_ONCE, read_into
from casstore.transfer.gzipstream import deflated
from casstore.transfer.layerstream import is_plain, open_uncompressed
from casstore.transfer.outputlimit import Limit, layer_limit
from casstore.transfer.piecework import PIECE, Codec, LayerWork, Packer, Pipeline, pool_width
from casstore.transfer.verification import check_diff_id

SMALL = 64 << 10  # below this a thread costs more than it saves


class _Zstd:
    media_type = OCI_LAYER + "+zstd"
    head = b""
    counts_crc = False
    verbatim = False

    def __init__(self, level: int) -> None:
        import zstandard  # 7 ms, which the load of an image that is there need not wait for

        self._level = level
        self._compressor = zstandard.ZstdCompressor
        parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=PIECE)
        self.memory = parameters.estimated_compression_context_size()

    def packer(self) -> Packer:
        return self._compressor(level=self._level, write_checksum=False).compress

    def tail(self, size: int, crc: int) -> bytes:
        # No bytes at all would be no zstd stream.
        return b"" if size else self.packer()(memoryview(b""))  # type: ignore[return-value]


class _Gzip:
    """One gzip member as pigz makes it: blocks deflated apart, each flushed to a whole byte."""

    media_type = OCI_LAYER + "+gzip"
    counts_crc = True
    verbatim = False
    memory = 300 << 10

    def __init__(self, level: int) -> None:
        self._level = level
        speed = 2 if level == 9 else 4 if level == 1 else 0
        self.head = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, speed, 255))  # no time, no system

    def packer(self) -> Packer:
        return partial(deflated, level=self._level)

    def tail(self, size: int, crc: int) -> bytes:
        # An empty last block, then RFC 1952's trailer.
        return b"\x03\0" + struct.pack("<II", crc, size & 0xFFFFFFFF)


class _Verbatim:
    media_type = OCI_LAYER
    head = b""
    counts_crc = False
    verbatim = True
    memory = 0

    def packer(self) -> Packer:
        return memoryview

    def tail(self, size: int, crc: int) -> bytes:
        return b""


def _codec(compression: Compression) -> Codec:
    if compression.kind == "zstd":
        return _Zstd(compression.level)
    if compression.kind == "gzip":
        return _Gzip(compression.level)
    return _Verbatim()


# Only what the reading of a layer says is about that layer: others come out meanwhile.
def _open(job: LayerJob, limit: Limit) -> IO[bytes]:
    try:
        return open_uncompressed(job.open(), limit=limit, padded=True)
    except Refused as error:
        raise Refused(f"layer {job.position}: {error}") from None


def _fill(buffer: memoryview, stream: IO[bytes], job: LayerJob) -> int:
    try:
        return read_into(stream, buffer)
    except Refused as error:
        raise Refused(f"layer {job.position}: {error}") from None


def _fill_hashed(layer: LayerWork, buffer: memoryview, stream: IO[bytes], job: LayerJob) -> int:
    """The same, hashed in steps that are then still in the core's own cache: a third less."""
    filled = 0
    while filled < len(buffer):
        room = buffer[filled : filled + AT_ONCE]
        count = _fill(room, stream, job)
        layer.add_plain(room[:count])
        filled += count
        if count < len(room):
            break
    return filled


class LayerPacker:
    """One call of `pack_layers`. Small layers are packed in place, others by the pipeline."""

    def __init__(
        self, intake: Packing, compression: Compression, width: int | None, *, anew: bool = False
    ) -> None:
        self._intake = intake
        self._anew = anew
        self._limit = layer_limit(intake.max_layer_size)
        self._codec = _codec(compression)
        self._width = width
        self._pack: Packer | None = None
        self._pipeline: Pipeline | None = None
        self._small = memoryview(bytearray(SMALL))
        self._records: dict[int, LayerRecord] = {}
        self._first: dict[Digest, int] = {}  # diff ID -> the job that brings it
        self._same: dict[int, int] = {}  # job -> the job that brings the same layer
        self._open: dict[LayerWork, tuple[int, LayerJob]] = {}

    def start(self, number: int, job: LayerJob) -> None:
        if job.diff_id is not None:
            first = self._first.setdefault(job.diff_id, number)
            if first != number:
                self._same[number] = first
                return
            known = None if self._anew else self._intake.layer_with_diff_id(job.diff_id)
            if known is not None:
                self._records[number] = known
                return
        with _open(job, self._limit) as stream:
            self._read(number, job, stream)
        self._settle(wait=False)

    def finish(self, count: int) -> list[LayerRecord]:
        self._settle(wait=True)
        if self._pipeline is not None:
            self._pipeline.close()
        for number, first in self._same.items():
            self._records[number] = self._records[first]
        return [self._records[number] for number in range(count)]

    def abort(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close(abort=True)
        for layer in self._open:
            layer.draft.discard()

    def _read(self, number: int, job: LayerJob, stream: IO[bytes]) -> None:
        filled = _fill(self._small, stream, job)
        layer = LayerWork(self._intake.draft(), self._codec)
        self._open[layer] = (number, job)
        if filled < SMALL:
            layer.add_plain(self._small[:filled])
            self._pack_here(layer, self._small[:filled])
            self._seal(layer)
            return
        if self._pipeline is None:
            self._pipeline = Pipeline(self._codec, self._width or pool_width(self._codec))
        # Decompressing keeps this thread busy enough.
        hashed = is_plain(stream)
        fill = partial(_fill_hashed, layer) if hashed else _fill
        if hashed:
            layer.add_plain(self._small)
        buffer = self._pipeline.buffer()
        buffer[:filled] = self._small
        filled += fill(buffer[filled:], stream, job)
        while filled:
            self._pipeline.submit(layer, buffer, filled, hashed=hashed)
            if filled < PIECE:
                break
            self._settle(wait=False)
            buffer = self._pipeline.buffer()
            filled = fill(buffer, stream, job)
        else:
            self._pipeline.give_back(buffer)
        self._pipeline.end(layer)

    def _pack_here(self, layer: LayerWork, data: memoryview) -> None:
        if self._pack is None:
            self._pack = self._codec.packer()
        packed = self._pack(data) if len(data) else b""
        layer.write(b"".join((self._codec.head, packed, self._codec.tail(len(data), layer.crc))))

    def _settle(self, *, wait: bool) -> None:
        """Seal the layers that have come out of the pipeline; all of them with `wait`."""
        if self._pipeline is None:
            return
        finished = self._pipeline.finished
        while self._open if wait else not finished.empty():
            layer = finished.get()
            self._pipeline.check()
            if layer is not None:
                self._seal(layer)

    def _seal(self, layer: LayerWork) -> None:
        number, job = self._open[layer]
        diff_id = layer.diff_id
        check_diff_id(job.diff_id, diff_id, job.position)
        record = None
        if job.diff_id is None:
            record = self._intake.layer_with_diff_id(diff_id)
        if record is not None:
            layer.draft.discard()
        else:
            record = LayerRecord(
                layer.digest,
                layer.size,
                self._codec.media_type,
                diff_id,
                layer.diff_size,
                layer.scanner.file_bytes,
            )
            layer.draft.seal(record.digest, record.size)
            self._intake.add_layer(record)
        self._records[number] = record
        del self._open[layer]
