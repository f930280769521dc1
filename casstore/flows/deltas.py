"""save --delta-from: layers sent as what differs from layers that the other side has.

Each layer gets one partner among those of the base. Deltas are made before the archive is written,
for the archive says first how long each is; until then they lie in an unnamed file beside it.
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import contextmanager

from casstore.errors import Damaged
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.mediatype import DELTA
from casstore.model.state import SETTLED
from casstore.startup.typed import cast
from casstore.transfer.delta import BaseTar, DeltaMaker, digest_of
from casstore.transfer.formats import IMAGES
from casstore.transfer.fullreads import read_into
from casstore.transfer.openlayer import open_layer
from casstore.transfer.remaking import compression_that_makes
from casstore.transfer.savedtree import layers_under
from casstore.transfer.similarity import GRAIN, mask_for, samples
from casstore.transfer.thin import LeftOut, Thin
from casstore.transfer.zstdprefix import prefix_compressor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from casstore.flows.thinning import Held, Source
    from casstore.model.kept import LayerRecord
    from casstore.ports.blobs import StoredBlobs
    from casstore.progress import Progress, Task
    from casstore.transfer.formats import Format
    from casstore.transfer.saved import SavedImage

LEAST = 64 << 10  # bytes of a layer that is worth a delta, or is one's base
WIDTH = 2  # threads that decompress a layer: what they have ready takes memory, too
COMPARING = "Comparing"


class Wanted:
    """A layer that is to be sent, and its partner."""

    def __init__(self, record: LayerRecord, descriptor: Descriptor, *, plain: bool) -> None:
        self.record, self.descriptor = record, descriptor
        self.cost = record.diff_size if plain else descriptor.size  # bytes, sent whole
        self.compression = ""  # that makes its blob again
        self.source: Source | None = None


@contextmanager
def with_deltas(
    thin: Thin | None,
    saved: Sequence[SavedImage],
    blobs: StoredBlobs,
    form: Format,
    held: Held,
    *,
    folder: str | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Thin | None, StoredBlobs]]:
    """Make a delta of each layer for which that is less than the layer.

    In formats that hold blobs byte for byte only a layer is sent so whose blob `load` can make
    again; of others `held.notices` gets a line.

    Args:
        thin: what is left out already.
        saved: the images.
        blobs: of the store.
        form: the format.
        held: what the other side has, and the layers that deltas may be from.
        folder: where scratch files are; the system's own folder for them by default.
        progress: is told of the layers' bytes.

    Yields:
        What the archive leaves out, and the blobs of the store with the deltas, which go at the
        end.

    Raises:
        Unsupported: there is no library that can compress so.
        Damaged: a blob is missing or is not its digest.
    """
    prefix_compressor()
    sources = [one for one in held.sources if one.record.diff_size >= LEAST]
    plain = form.holds == IMAGES
    wanted = _wanted(thin, saved, blobs, plain=plain) if sources else []
    if not plain:
        wanted = [one for one in wanted if _can_be_made_again(one, blobs, held.notices)]
    _choose_partners(wanted, sources, blobs, {one.told for one in thin.layers} if thin else set())
    with tempfile.TemporaryFile(dir=folder) as file:
        made = MadeBlobs(blobs, cast("IO[bytes]", file))
        task = None
        if progress is not None and wanted:
            task = progress.task(COMPARING, sum(one.record.diff_size for one in wanted))
        deltas = _made(wanted, sources, made, folder, task, plain=plain)
        if task is not None:
            task.finish()
        if deltas:
            layers = thin.layers if thin is not None else ()
            thin = Thin((*layers, *deltas), tuple(held.bases))
        yield thin, made


def _made(
    wanted: Sequence[Wanted], sources: Sequence[Source], made: MadeBlobs, folder: str | None,
    task: Task | None, *, plain: bool,
) -> list[LeftOut]:  # fmt: skip
    """Make the deltas; what is left out for them, in the order of the layers."""
    found: dict[int, LeftOut] = {}
    for source in sources:
        targets = [(at, one) for at, one in enumerate(wanted) if one.source is source]
        if not targets:
            continue
        with (
            cast("IO[bytes]", tempfile.TemporaryFile(dir=folder)) as scratch,
            _tar(source.record, made) as layer,
        ):
            maker = DeltaMaker(BaseTar(source.record, layer, scratch))
            for at, one in targets:
                with _tar(one.record, made) as target:
                    for count in maker.write(one.record, target, made.file):
                        if task is not None:
                            task.advance(count)
                delta = made.add(one.cost)
                if delta is not None:
                    found[at] = _left_out(one, source, delta, plain=plain)
    return [found[at] for at in sorted(found)]


def _wanted(
    thin: Thin | None, saved: Sequence[SavedImage], blobs: StoredBlobs, *, plain: bool
) -> list[Wanted]:
    done = thin.digests if thin is not None else set()
    found: dict[Digest, Wanted] = {}
    for layer in layers_under(saved, blobs):
        record = blobs.layer(layer.digest)
        if record is None or record.state != SETTLED or record.diff_size < LEAST:
            continue
        told = record.diff_id if plain else layer.digest
        if told not in done:
            found.setdefault(told, Wanted(record, layer, plain=plain))
    return list(found.values())


def _left_out(one: Wanted, source: Source, delta: Descriptor, *, plain: bool) -> LeftOut:
    return LeftOut(
        one.cost,
        one.record.diff_id,
        None if plain else one.descriptor.digest,
        "" if plain else one.descriptor.media_type,
        source.base,
        delta,
        source.record.diff_id,
        one.compression,
    )


def _can_be_made_again(one: Wanted, blobs: StoredBlobs, notices: list[str]) -> bool:
    how = compression_that_makes(one.record, lambda: _tar(one.record, blobs))
    if how is None:
        notices.append(
            f"layer {one.descriptor.digest.short} is saved whole: it was not compressed as "
            "casstore does it, so that its blob could not be made again from a delta"
        )
        return False
    one.compression = how
    return True


def _choose_partners(
    wanted: Sequence[Wanted], sources: Sequence[Source], blobs: StoredBlobs, same: set[Digest]
) -> None:
    """Give each layer the base's layer that has most in common with it.

    Layers of the base that the image has as they are come last: what is new in an image mostly
    stands for something that was in the layers which it does not have any more.
    """
    gone = [one for one in sources if not same & {one.record.diff_id, one.record.digest}]
    sources = gone or list(sources)
    if len(sources) == 1 or not wanted:
        for one in wanted:
            one.source = sources[0]
        return
    mask = mask_for(sum(one.record.diff_size for one in sources))
    places: dict[int, int] = {}
    for number, source in enumerate(sources):
        for checksum in _sampled(source.record, blobs, mask):
            places.setdefault(checksum, number)
    for position, one in enumerate(wanted):
        votes = [0] * len(sources)
        for checksum in _sampled(one.record, blobs, mask):
            if checksum in places:
                votes[places[checksum]] += 1
        size = one.record.diff_size
        # Where they have nothing in common: of about that size, or at that place.
        distance = [abs(source.record.diff_size - size) for source in sources]
        best = min(
            range(len(sources)),
            key=lambda number: (-votes[number], distance[number], abs(number - position)),
        )
        one.source = sources[best]


def _sampled(record: LayerRecord, blobs: StoredBlobs, mask: int) -> Iterator[int]:
    buffer = memoryview(bytearray(GRAIN))
    with _tar(record, blobs) as layer:
        while count := read_into(layer, buffer):
            for _, checksum in samples(buffer[:count], mask):
                yield checksum


def _tar(record: LayerRecord, blobs: StoredBlobs) -> IO[bytes]:
    return open_layer(blobs.open(record.digest), record, width=WIDTH)


class MadeBlobs:
    """The `StoredBlobs` of a store, and deltas in a file."""

    def __init__(self, blobs: StoredBlobs, file: IO[bytes]) -> None:
        self._blobs, self.file = blobs, file
        self._places: dict[Digest, tuple[int, int]] = {}
        self._end = 0
        self.layer = blobs.layer

    def add(self, cost: int) -> Descriptor | None:
        """What was written behind the last delta is one; None, and gone, if it costs as much."""
        self.file.flush()
        size = self.file.tell() - self._end
        if size >= cost:
            self.file.seek(self._end)
            self.file.truncate()
            return None
        digest = digest_of(cast("IO[bytes]", io.BufferedReader(_Part(self.file, self._end, size))))
        self._places[digest] = self._end, size
        self._end += size
        return Descriptor(DELTA, digest, size)

    def has(self, digest: Digest) -> bool:
        """Whether it is there."""
        return digest in self._places or self._blobs.has(digest)

    def read(self, digest: Digest) -> bytes:
        """A whole document, verified. Raises Damaged."""
        return self._blobs.read(digest)

    def open(self, digest: Digest) -> IO[bytes]:
        """A blob or delta for reading, by any thread."""
        place = self._places.get(digest)
        if place is None:
            return self._blobs.open(digest)
        return cast("IO[bytes]", io.BufferedReader(_Part(self.file, *place)))

    def path(self, digest: Digest) -> str | None:
        """Path of a blob's file; a delta has none."""
        return None if digest in self._places else self._blobs.path(digest)


class _Part(io.RawIOBase):
    """A part of a file, with a place of its own in it."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file, self._begin, self._size = file, offset, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # as RawIOBase has it
        room = memoryview(buffer)[: max(self._size - self._at, 0)]
        count = os.preadv(self._file.fileno(), [room], self._begin + self._at) if room else 0
        if room and not count:
            raise Damaged("a delta is shorter than it was")
        self._at += count
        return count
