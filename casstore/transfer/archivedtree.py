"""Image trees in an archive whose blobs are files of their own, kept byte for byte.

A tree is walked twice: first to find every layer and stage every document, then, when all layers
have been verified together, to build the records.

There may be an index with the manifests of platforms whose blobs are not in the archive:
`docker save` and `ctr images export` write such layouts. Such a platform is left out as long as
there is another one.
"""

from __future__ import annotations

import hashlib

from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.imagetree import read_tree
from casstore.model.kept import LayerRecord
from casstore.model.manifest import Index, Manifest, parse_document
from casstore.model.platform import shown
from casstore.model.record import ImageRecord
from casstore.model.treechecks import check_digest, check_size, is_document, missing
from casstore.transfer.imagebatch import ImageBatch
from casstore.transfer.keptlayers import keep_layers
from casstore.transfer.membername import NoSuchMember
from casstore.transfer.verification import KeepJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import IO

    from casstore.ports.ingest import Intake
    from casstore.transfer.archive import Archive
    from casstore.transfer.formats import Loading

    NameOf = Callable[[Descriptor], str]

_COPY = 1 << 20


def stage_trees(
    tops: Sequence[Descriptor], archive: Archive, loading: Loading, name_of: NameOf
) -> dict[Descriptor, ImageRecord]:
    """Stage all that is under `tops`; the record of each.

    Args:
        tops: manifests, indexes, and other blobs that are there.
        archive: where the blobs are.
        loading: where they go, and how.
        name_of: the name of a blob in the archive.

    Raises:
        Refused: anything wrong with them.
    """
    first = _FirstWalk(archive, loading, {top.digest for top in tops}, name_of)
    for top in tops:
        read_tree(top, first)
    records = keep_layers(list(first.layers.values()), loading.intake, pulse=loading.pulse)
    second = _SecondWalk(loading.intake, dict(zip(first.layers, records, strict=True)))
    batch = ImageBatch()
    return {top: batch.image(read_tree(top, second)) for top in tops}


def is_in(archive: Archive, name: str) -> bool:
    """Whether an archive has a blob. Raises Refused where it has what is no file of its own."""
    if archive.has(name):
        return True
    try:
        archive.size(name)
    except NoSuchMember:
        return False
    return True


class _FirstWalk:
    """A `TreeReader` that stages documents and other blobs, and notes the layers to be kept."""

    def __init__(
        self,
        archive: Archive,
        loading: Loading,
        tops: Collection[Digest],
        name_of: NameOf,
    ) -> None:
        self.archive = archive
        self.intake = loading.intake
        self._name_of = name_of
        self._tops = tops
        self._notices = loading.notices
        self._left_out: set[Digest] = set()  # manifests of platforms whose blobs are not here
        self.layers: dict[Digest, KeepJob] = {}
        self._link = loading.link
        self._position = 0  # of the next layer in the manifest being read

    def document(self, descriptor: Descriptor) -> bytes | None:
        self._position = 0
        if descriptor.digest in self._left_out:
            return None
        data = self._bytes(descriptor)
        if data is not None:
            if mediatype.is_index(descriptor.media_type):
                self._leave_out(descriptor, data)
            self.intake.add(data)
        return data

    def _bytes(self, descriptor: Descriptor) -> bytes | None:
        if not self._has(descriptor):
            stored = self.intake.has(descriptor.digest) is not None
            return self.intake.read(descriptor.digest) if stored else None
        name = self._name_of(descriptor)
        check_size(descriptor, self.archive.size(name))
        data = self.archive.read(name, MAX_DOCUMENT)
        # Checked by the caller too, but nothing wrong is ever staged.
        check_digest(descriptor, sha256(data))
        return data

    def _leave_out(self, descriptor: Descriptor, data: bytes) -> None:
        """Note the platforms of an index that lack blobs, if there is another that lacks none."""
        index = parse_document(data, descriptor)
        assert isinstance(index, Index)
        lacking: dict[Digest, str] = {}
        whole = False
        for entry in index.manifests:
            child, platform = entry.descriptor, entry.platform
            if (
                not is_document(child)
                or child.digest in self._tops
                or (below := self._bytes(child)) is None
            ):
                continue
            gap = self._gap(parse_document(below, child))
            if gap is None:
                whole = whole or platform is None or platform.os != "unknown"  # an attestation
            else:
                called = shown(platform) if platform is not None else child.digest.short
                lacking[child.digest] = (
                    f"index {descriptor.digest.short} comes without {called}: blob {gap.digest} "
                    "is missing"
                )
        if whole:
            self._left_out.update(lacking)
            self._notices += lacking.values()

    def _gap(self, document: Manifest | Index) -> Descriptor | None:
        """A blob that a manifest needs and that is nowhere."""
        if isinstance(document, Index):
            return None
        config = [document.config] if document.config is not None else []
        for entry in (*config, *document.layers):
            blob = entry.descriptor
            if not self._has(blob) and self.intake.has(blob.digest) is None:
                return blob
        return None

    def _has(self, descriptor: Descriptor) -> bool:
        return is_in(self.archive, self._name_of(descriptor))

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        position, self._position = self._position, self._position + 1
        if descriptor.digest not in self.layers:
            open_blob, staged = self._blob(descriptor)
            self.layers[descriptor.digest] = KeepJob(
                open_blob, descriptor, diff_id, position, staged
            )
        # What the second walk replaces: all that is known before the layer has been read.
        return LayerRecord(
            descriptor.digest,
            descriptor.size,
            descriptor.media_type,
            diff_id or descriptor.digest,
            0,
            0,
        )

    def leaf(self, descriptor: Descriptor) -> None:
        self._position += 1
        layer = self.layers.get(descriptor.digest)
        if layer is not None:
            check_size(descriptor, layer.descriptor.size)
            return
        size = self.intake.has(descriptor.digest)
        if size is not None:
            check_size(descriptor, size)
            return
        open_blob, staged = self._blob(descriptor)
        with open_blob() as stream:
            _keep_leaf(stream, descriptor, None if staged else self.intake)

    def _blob(self, descriptor: Descriptor) -> tuple[Callable[[], IO[bytes]], bool]:
        """How to open a blob, and whether it is in the intake already."""
        digest, name = descriptor.digest, self._name_of(descriptor)
        intake, archive = self.intake, self.archive
        if not self._has(descriptor):
            if intake.has(digest) is None:
                raise missing(descriptor)
            return (lambda: intake.open(digest)), True
        check_size(descriptor, archive.size(name))
        # What the store has already is known, and need not be read to verify a link.
        path = archive.path(name) if self._link and intake.has(digest) is None else None
        if path is not None and intake.adopt(path, digest, descriptor.size):
            return (lambda: intake.open(digest)), True
        return (lambda: archive.open(name)), False


class _SecondWalk:
    """A `TreeReader` over what the first walk staged and `keep_layers` verified."""

    def __init__(self, intake: Intake, layers: Mapping[Digest, LayerRecord]) -> None:
        self._intake = intake
        self._layers = layers

    def document(self, descriptor: Descriptor) -> bytes | None:
        if self._intake.has(descriptor.digest) is None:
            return None
        return self._intake.read(descriptor.digest)

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        return self._layers[descriptor.digest]

    def leaf(self, descriptor: Descriptor) -> None:
        pass


def _keep_leaf(stream: IO[bytes], descriptor: Descriptor, intake: Intake | None) -> None:
    """Stage a blob that is never looked into; only verify it where there is no `intake`."""
    draft = intake.draft() if intake is not None else None
    try:
        hashing, size = hashlib.sha256(), 0
        while data := stream.read(_COPY):
            size += len(data)
            if size > descriptor.size:
                break
            hashing.update(data)
            if draft is not None:
                draft.write(data)
        check_size(descriptor, size)
        check_digest(descriptor, Digest.of_hex(hashing.hexdigest()))
        if draft is not None:
            draft.seal(descriptor.digest, size)
    except BaseException:
        if draft is not None:
            draft.discard()
        raise
