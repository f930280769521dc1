"""From a registry into an intake: the tree under one manifest or index, whole and verified.

Documents first, then all blobs side by side over one pool. What the store has already is not
fetched; what a former try has left is gone on with. Nothing is committed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO, cast

from casstore.errors import NotFound, Refused
from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.imagetree import check_digest, check_size, read_tree
from casstore.model.manifest import Index, Manifest, choose, parse_document
from casstore.model.platform import Platform, shown
from casstore.model.record import ImageRecord
from casstore.model.state import LayerRecord
from casstore.ports.ingest import Intake
from casstore.progress import Progress, Task
from casstore.registry.blobstream import BlobStream
from casstore.registry.remote import Repository
from casstore.transfer.keptlayers import KEPT, KeepJob, keep_layers
from casstore.transfer.stagedtree import StagedTree

WIDTH = 4  # blobs at a time; docker has 3, podman 6
MAX_CHOICES = 8  # indexes within indexes until a platform's manifest is found

PULLING = "Pulling"
PRESENT, FETCHING, FETCHED = "Already exists", "Pulling fs layer", "Download complete"

Told = Callable[[Descriptor, str], None]  # a blob, and one of these words of Docker's


def choose_manifest(
    repository: Repository, top: Descriptor, data: bytes, platform: Platform
) -> tuple[Descriptor, bytes]:
    """The manifest for a platform: `top` itself, unless it is an index.

    Raises:
        NotFound: the index has none for the platform.
        Refused: a document is wrong.
    """
    for _ in range(MAX_CHOICES):
        document = parse_document(data, top)
        if isinstance(document, Manifest):
            return top, data
        entry = choose(document.manifests, platform)
        if entry is None:
            raise NotFound(
                f"no matching manifest for {shown(platform)} in the manifest list entries"
            )
        top, data = _child(repository, entry.descriptor)
    raise Refused(f"indexes are nested more than {MAX_CHOICES} deep")


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
    jobs = list(walk.jobs.values())
    for job in jobs:
        is_there = intake.has(job.descriptor.digest) is not None
        told(job.descriptor, PRESENT if is_there else FETCHING)
        if progress is not None and not is_there:
            descriptor = job.descriptor
            task = progress.task(PULLING, descriptor.size, item=descriptor.digest.short)
            walk.tasks[descriptor.digest] = task
    records = _fetched(walk, jobs, told, None if progress is None else progress.tell)
    layers = {
        job.descriptor.digest: record
        for job, record in zip(jobs, records, strict=True)
        if not job.opaque
    }
    return read_tree(top, StagedTree(intake, layers))


def _fetched(
    walk: _Walk, jobs: list[KeepJob], told: Told, pulse: Callable[[], None] | None
) -> list[LayerRecord]:
    refusals: set[str] = set()
    while True:
        walk.resumed = False
        try:
            return _keep(jobs, walk.intake, told, pulse)
        except Refused as error:
            # A part that a power cut has spoilt looks like a registry that lies, but once only:
            # it goes with its error. There may be several.
            if not walk.resumed or str(error) in refusals:
                raise
            refusals.add(str(error))
        walk.repository.registry.transport.rearm()


def _keep(
    jobs: list[KeepJob], intake: Intake, told: Told, pulse: Callable[[], None] | None
) -> list[LayerRecord]:
    def kept(job: KeepJob, word: str) -> None:
        if word == KEPT:
            told(job.descriptor, FETCHED)

    return keep_layers(jobs, intake, width=WIDTH, small=0, told=kept, pulse=pulse)


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


class _Walk:
    """A `TreeReader` that fetches documents, and notes the blobs that are to be fetched."""

    def __init__(self, repository: Repository, intake: Intake) -> None:
        self.repository = repository
        self.intake = intake
        self.jobs: dict[Digest, KeepJob] = {}
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
        self._job(descriptor, diff_id, opaque=False)
        media_type, digest, size = descriptor
        return LayerRecord(digest, size, media_type, diff_id or digest, 0, 0)

    def leaf(self, descriptor: Descriptor) -> None:
        self._job(descriptor, None, opaque=True)

    def _job(self, descriptor: Descriptor, diff_id: Digest | None, *, opaque: bool) -> None:
        position, self._position = self._position, self._position + 1
        known = self.jobs.get(descriptor.digest)
        if known is not None:
            check_size(descriptor, known.descriptor.size)
            if not known.opaque or opaque:
                return
        self.jobs[descriptor.digest] = KeepJob(
            lambda: self._open(descriptor, 0),
            descriptor,
            diff_id,
            position,
            staged=False,
            resume=lambda offset: self._open(descriptor, offset),
            opaque=opaque,
        )

    def _open(self, descriptor: Descriptor, offset: int) -> IO[bytes]:
        self.resumed = self.resumed or offset > 0
        return cast("IO[bytes]", self._stream(descriptor, offset))

    def _stream(self, descriptor: Descriptor, offset: int) -> BlobStream:
        task = self.tasks.get(descriptor.digest)
        return BlobStream(self.repository, descriptor, offset, task)
