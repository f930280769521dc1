"""From a registry into an intake: the tree under one manifest or index, whole and verified.

Documents first, then all blobs side by side over one pool. What the store has already is not
fetched; what a former try has left is gone on with. Nothing is committed here.
"""

from __future__ import annotations

from casstore.errors import NotFound, Refused
from casstore.model import mediatype
from casstore.model.digest import sha256
from casstore.model.imagetree import read_tree
from casstore.model.kept import LayerRecord
from casstore.model.manifest import Index, parse_document
from casstore.model.state import SETTLED
from casstore.model.treechecks import check_digest, check_size, manifest_for
from casstore.startup.typed import cast
from casstore.startup.value import Value
from casstore.transfer.stagedtree import StagedTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.platform import Platform
    from casstore.model.record import ImageRecord
    from casstore.ports.ingest import Intake
    from casstore.progress import Progress, Task
    from casstore.registry.remote import Repository
    from casstore.transfer.verification import KeepJob

    Told = Callable[[Descriptor, str], None]  # a blob, and one of the words below

WIDTH = 4  # blobs at a time; docker has 3, podman 6

PULLING = "Pulling"
PRESENT, FETCHING, FETCHED = "Already exists", "Pulling fs layer", "Download complete"  # Docker's


def choose_manifest(
    repository: Repository, top: Descriptor, data: bytes, platform: Platform
) -> tuple[Descriptor, bytes]:
    """The manifest for a platform: `top` itself, unless it is an index.

    Raises:
        NotFound: the index has none for the platform.
        Refused: a document is wrong.
    """
    read = {top: data}

    def document_of(descriptor: Descriptor) -> bytes:
        if descriptor not in read:
            read[descriptor] = _child(repository, descriptor)[1]
        return read[descriptor]

    chosen = manifest_for(top, platform, document_of)
    return chosen, document_of(chosen)


def fetch_tree(
    repository: Repository, intake: Intake, top: Descriptor, data: bytes, told: Told, *,
    progress: Progress | None = None,
) -> ImageRecord:  # fmt: skip
    """Stage everything under `top`, whose bytes are `data`, and describe it.

    Args:
        told: called with each blob: PRESENT, or FETCHING and then FETCHED.
        progress: gets a task `Pulling` for each blob that is fetched.

    Raises:
        Refused: wrong bytes, sizes or types; a document that contradicts another.
        RegistryError, NotFound: the registry does not give a blob.
    """
    intake.add(data)
    for descriptor in _children(top, data):
        _stage_document(repository, intake, descriptor)
    walk = _Walk(repository, intake)
    read_tree(top, walk)
    wanted = list(walk.wanted.values())
    for one in wanted:
        descriptor = one.descriptor
        is_there = intake.has(descriptor.digest) is not None
        told(descriptor, PRESENT if is_there else FETCHING)
        if progress is not None and not is_there:
            task = progress.task(PULLING, descriptor.size, item=descriptor.digest.short)
            walk.tasks[descriptor.digest] = task
    layers: dict[Digest, LayerRecord] = {}
    if not all(_is_known(intake, one) for one in wanted):
        records = _fetched(walk, wanted, told, None if progress is None else progress.tell)
        layers = {
            one.descriptor.digest: record
            for one, record in zip(wanted, records, strict=True)
            if not one.opaque
        }
    return read_tree(top, StagedTree(intake, layers))


def _is_known(intake: Intake, one: _Wanted) -> bool:
    """Whether the store can say of a blob all that a record has of it."""
    digest = one.descriptor.digest
    if one.opaque:
        return intake.has(digest) is not None
    record = intake.layer(digest)
    return record is not None and record.state == SETTLED


def _fetched(
    walk: _Walk, wanted: list[_Wanted], told: Told, pulse: Callable[[], None] | None
) -> list[LayerRecord]:
    from casstore.transfer.keptlayers import KEPT, keep_layers

    def kept(job: KeepJob, word: str) -> None:
        if word == KEPT:
            told(job.descriptor, FETCHED)

    jobs = [walk.job(one) for one in wanted]
    refusals: set[str] = set()
    while True:
        walk.resumed = False
        try:
            return keep_layers(jobs, walk.intake, width=WIDTH, small=0, told=kept, pulse=pulse)
        except Refused as error:
            # A part that a power cut has spoilt looks like a registry that lies, but once only:
            # it goes with its error. There may be several.
            if not walk.resumed or str(error) in refusals:
                raise
            refusals.add(str(error))
        walk.repository.registry.transport.rearm()


def _child(repository: Repository, descriptor: Descriptor) -> tuple[Descriptor, bytes]:
    """A manifest that an index names, which must be what the index says."""
    found, data = repository.manifest(descriptor.digest, expect=descriptor.media_type)
    check_size(descriptor, found.size)
    return descriptor, data


def _children(top: Descriptor, data: bytes) -> Iterator[Descriptor]:
    """The manifests and indexes right below an index."""
    document = parse_document(data, top)
    if isinstance(document, Index):
        for entry in document.manifests:
            kind = entry.descriptor.media_type
            if mediatype.is_manifest(kind) or mediatype.is_index(kind):
                yield entry.descriptor


def _stage_document(repository: Repository, intake: Intake, descriptor: Descriptor) -> None:
    if intake.has(descriptor.digest) is None:
        try:
            intake.add(_child(repository, descriptor)[1])
        except NotFound:
            return  # an index may name what a registry does not have; read_tree decides


class _Wanted(Value):
    """A blob that is neither a manifest nor an index."""

    descriptor: Descriptor
    diff_id: Digest | None
    position: int  # in its image
    opaque: bool  # nobody looks into it


class _Walk:
    """A `TreeReader` that fetches documents, and notes the blobs that are to be fetched."""

    def __init__(self, repository: Repository, intake: Intake) -> None:
        self.repository = repository
        self.intake = intake
        self.wanted: dict[Digest, _Wanted] = {}
        self.tasks: dict[Digest, Task] = {}
        self.resumed = False
        self._position = 0

    def document(self, descriptor: Descriptor) -> bytes | None:
        self._position = 0
        if self.intake.has(descriptor.digest) is not None:
            return self.intake.read(descriptor.digest)
        kind = descriptor.media_type
        if mediatype.is_manifest(kind) or mediatype.is_index(kind):
            try:
                data = _child(self.repository, descriptor)[1]
            except NotFound:
                return None
        else:
            data = self.repository.document(descriptor)
        check_size(descriptor, len(data))
        check_digest(descriptor, sha256(data))
        self.intake.add(data)
        return data

    def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
        self._want(descriptor, diff_id, opaque=False)
        media_type, digest, size = descriptor
        return LayerRecord(digest, size, media_type, diff_id or digest, 0, 0)

    def leaf(self, descriptor: Descriptor) -> None:
        self._want(descriptor, None, opaque=True)

    def _want(self, descriptor: Descriptor, diff_id: Digest | None, *, opaque: bool) -> None:
        position, self._position = self._position, self._position + 1
        known = self.wanted.get(descriptor.digest)
        if known is not None:
            check_size(descriptor, known.descriptor.size)
            if not known.opaque or opaque:
                return
        self.wanted[descriptor.digest] = _Wanted(descriptor, diff_id, position, opaque)

    def job(self, wanted: _Wanted) -> KeepJob:
        """How to get a blob."""
        from casstore.transfer.verification import KeepJob

        descriptor, diff_id, position, opaque = wanted
        return KeepJob(
            lambda: self._open(descriptor, 0),
            descriptor,
            diff_id,
            position,
            staged=False,
            resume=lambda offset: self._open(descriptor, offset),
            opaque=opaque,
        )

    def _open(self, descriptor: Descriptor, offset: int) -> IO[bytes]:
        from casstore.registry.blobstream import BlobStream

        self.resumed = self.resumed or offset > 0
        task = self.tasks.get(descriptor.digest)
        return cast("IO[bytes]", BlobStream(self.repository, descriptor, offset, task))
