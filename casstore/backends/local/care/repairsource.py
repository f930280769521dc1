"""Good bytes for missing and damaged blobs, from archives, layouts and other stores.

A source is read without the lock, like a load, and every byte is verified before it is put in
place: a blob of that digest, or nothing. From a layout, or another store, blobs are taken by their
digest. A docker-archive has no blobs: it is loaded into a staging area of its own, as if the store
were empty, and since the same input gives the same blobs, they are those of the first load.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from casstore.backends.local import schema
from casstore.backends.local.care.adoption import forget_kept, retry_kept
from casstore.backends.local.care.content import content_problem
from casstore.backends.local.care.fsck import BAD_BLOB, findings_of
from casstore.backends.local.care.listed import kept_descriptors
from casstore.backends.local.care.repair import quarantine
from casstore.backends.local.ingest import Ingest
from casstore.backends.local.view import LocalView
from casstore.errors import CasstoreError, NotFound, Refused, quote
from casstore.files import durable
from casstore.model import mediatype
from casstore.model.digest import Digest
from casstore.model.document import MAX_SIZE
from casstore.model.manifest import Index, parse_document
from casstore.rules.hurt import hurt_by
from casstore.transfer.archive import open_archive
from casstore.transfer.compress import parse_compression
from casstore.transfer.formats import MANIFESTS
from casstore.transfer.layoutlist import blob_name
from casstore.transfer.source import fitting, read_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from casstore.backends.local.blobs import BlobDirectory
    from casstore.backends.local.directory import LocalStore
    from casstore.model.descriptor import Descriptor
    from casstore.ports.change import Changing
    from casstore.transfer.archive import Archive

MAX_ROUNDS = 10  # nested indexes, a manifest and its layers: each shows what is below it

_READ = 1 << 20
_COMPRESSIONS = ("zstd", "gzip", "none")  # in which a load may have packed a plain layer


def mend_from(
    disk: LocalStore, change: Callable[[], Changing], sources: Sequence[str], *, content: bool
) -> tuple[list[str], list[str]]:
    """Put back what is missing or damaged and a source has.

    Args:
        disk: the store.
        change: begins a change, taking the lock.
        sources: paths of archives, layout directories, stores.
        content: read every blob to find the damaged ones; False finds missing and cut ones.

    Returns:
        A line for each thing mended; a line for each source that could not be read, and for each
        layer that a source has in another form only.

    Raises:
        NotFound: a source is not there.
    """
    for source in sources:
        if not os.path.exists(source):
            raise NotFound(f"open {source}: no such file or directory")
    with change() as first:  # what a crash left, a lost database: in order before we look
        first.commit()
    bad = {Digest(f.object) for f in findings_of(disk, content=content) if f.code in BAD_BLOB}
    mended: list[str] = []
    doubts: list[str] = []
    for _ in range(MAX_ROUNDS):
        wanted = bad | {one.digest for one in _missing_in_kept(disk)}
        with _Mending(disk, wanted) as mending:
            doubts += [line for line in map(mending.take_from, sources) if line]
            mending.flush()
            found = mending.found()
            with change() as putting:
                mended += _put_back(disk, putting, mending)
                lines, spent = retry_kept(disk, putting.index)
                putting.commit()
                forget_kept(disk, spent)
                mended += lines
        bad -= found
        if not found:
            doubts += mending.same_layers(bad)
            break
        sources = mending.readable
    return mended, list(dict.fromkeys(doubts))


def _put_back(disk: LocalStore, change: Changing, mending: _Mending) -> list[str]:
    """Publish what was found, where it is still needed; the lock is held."""
    lines = []
    moves = []
    listed = {one.digest for one in _missing_in_kept(disk)}
    for digest, (path, source) in mending.staged.items():
        known = change.index.blob_size(digest) is not None
        if not known and digest not in listed:
            continue  # an rmi was quicker
        target = disk.blobs.path(digest)
        if os.path.lexists(target) and not stat.S_ISREG(os.lstat(target).st_mode):
            quarantine(disk, digest)
        moves.append((path, digest))
        hurt = hurt_by(change.index, digest) if known else "what was kept aside"
        lines.append(f"{digest} put back from {quote(source)}; needed by {hurt}")
    disk.blobs.publish(moves)
    return lines


class _Mending:
    """One pass over all sources."""

    def __init__(self, disk: LocalStore, wanted: set[Digest]) -> None:
        self.staged: dict[Digest, tuple[str, str]] = {}  # path of the good bytes, source
        self.readable: list[str] = []
        self._disk = disk
        self._wanted = set(wanted)
        self._nothing = schema.memory()
        self._ingests: list[Ingest] = []
        self._diff_ids: dict[Digest, str] = {}  # of layers that a source has in some form

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        for ingest in self._ingests:
            ingest.close()
        self._nothing.close()

    def take_from(self, source: str) -> str:
        """Stage what is wanted and in `source`; a line where it cannot be read."""
        if not self._wanted:
            self.readable.append(source)
            return ""
        try:
            ingest = self._ingest()
            with open_archive(source, ingest) as archive:
                self._by_digest(archive, source, ingest)
                has_more = any(form.holds != MANIFESTS for form in fitting(archive))
            if has_more:
                self._by_loading(source)
        except (CasstoreError, OSError) as error:
            return f"{quote(source)} was not used to its end: {error}"
        self.readable.append(source)
        return ""

    def flush(self) -> None:
        """Make all that was staged durable."""
        durable.sync_files(path for path, _ in self.staged.values())

    def found(self) -> set[Digest]:
        """The digests that were wanted and are staged."""
        return set(self.staged)

    def same_layers(self, bad: set[Digest]) -> list[str]:
        """A line for each layer that a source has, but not as these bytes."""
        view = self._view_of_store()
        lines = []
        try:
            for digest in sorted(bad):
                layer = view.layer(digest)
                if layer is not None and layer.diff_id in self._diff_ids:
                    source = quote(self._diff_ids[layer.diff_id])
                    lines.append(
                        f"{digest} is in {source} as the same tar, compressed otherwise;"
                        f" fsck --repair, then load {source}, gives its image another manifest"
                    )
        finally:
            view.connection.close()
        return lines

    def _view_of_store(self) -> LocalView:
        return LocalView(self._disk.connect(writable=False), now=0, hard={})

    def _ingest(self) -> Ingest:
        """Staging that finds nothing in the store, for what is there is what is in doubt."""
        empty = LocalView(self._nothing, now=0, hard={})
        ingest = Ingest(self._disk.root, self._disk.blobs, lambda: empty, max_layer_size=MAX_SIZE)
        self._ingests.append(ingest)
        return ingest

    def _stage(self, digest: Digest, path: str, source: str) -> None:
        self.staged[digest] = path, source
        self._wanted.discard(digest)

    def _by_digest(self, archive: Archive, source: str, ingest: Ingest) -> None:
        for digest in sorted(self._wanted):
            if not archive.has(blob_name(digest)):
                continue
            state, size, draft = hashlib.sha256(), 0, ingest.draft()
            try:
                with archive.open(blob_name(digest)) as stream:
                    while piece := stream.read(_READ):
                        state.update(piece)
                        size += draft.write(piece)
                if state.hexdigest() == digest.hex:
                    draft.seal(digest, size)
            finally:
                draft.discard()  # harmless after seal
        for path, digest, _ in ingest.staged():
            self._stage(digest, path, source)

    def _by_loading(self, source: str) -> None:
        for compression in _COMPRESSIONS:
            if not self._wanted:
                return
            ingest = self._ingest()
            read_images(source, ingest, compression=parse_compression(compression))
            for path, digest, _ in ingest.staged():
                if digest in self._wanted:
                    self._stage(digest, path, source)
            self._diff_ids.update((layer.diff_id, source) for layer in ingest.layers())


def _missing_in_kept(disk: LocalStore) -> Iterator[Descriptor]:
    """What is missing or damaged of the images that were kept aside, as far as can be seen."""
    for descriptor in kept_descriptors(disk):
        yield from _missing_below(disk.blobs, descriptor, 0)


def _missing_below(blobs: BlobDirectory, top: Descriptor, depth: int) -> Iterator[Descriptor]:
    if blobs.size(top.digest) != top.size or content_problem(blobs, top.digest) is not None:
        yield top
        return
    is_document = mediatype.is_manifest(top.media_type) or mediatype.is_index(top.media_type)
    if not is_document or depth > MAX_ROUNDS:
        return
    try:
        document = parse_document(blobs.read(top.digest), top)
    except Refused:
        return
    if isinstance(document, Index):
        below = [entry.descriptor for entry in document.manifests]
    else:
        below = [entry.descriptor for entry in document.layers]
        if document.config is not None:
            below.append(document.config.descriptor)
    for descriptor in below:
        yield from _missing_below(blobs, descriptor, depth + 1)
