"""OCI layouts in, as directory or archive: every blob kept byte for byte.

Each descriptor in `index.json` becomes an arrival: a manifest, or an index with all that it
holds. The tree is walked twice: first to find every layer and stage every document, then, when
all layers have been verified together, to build the records.

Names. `io.containerd.image.name` is a reference in full. Otherwise
`org.opencontainers.image.ref.name` is one where it has a `/`, a `:` or an `@` in it. A bare tag,
which skopeo and umoci write, is a tag in the repository that the layout is called: `v1` in
`./busybox/` or in `busybox.tar` is `busybox:v1`. What is no legal name, or names another digest
than it stands at, leaves the image without a name.

Docker's hybrids have a `manifest.json` beside `index.json`. Where that lists plain tars only
(docker 25 and later, with its graph drivers) and all that the index has, it is read as a docker
archive, so that layers are compressed; otherwise it adds names and parents.
"""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING

from casstore.errors import InvalidReference, Refused, quote
from casstore.model import document, mediatype
from casstore.model.digest import Digest, is_hex64, sha256
from casstore.model.document import MAX_DOCUMENT, MAX_INDEX_JSON, Fields
from casstore.model.imagetree import check_digest, check_size, missing, read_tree
from casstore.model.manifest import (
    INDEX_JSON,
    OCI_LAYOUT,
    Entry,
    Index,
    Manifest,
    parse_document,
    parse_index_json,
)
from casstore.model.record import Arrival, Descriptor, ImageRecord, LayerRecord
from casstore.model.reference import Reference, is_tag, parse_name, parse_target
from casstore.model.shape import Keys
from casstore.transfer.dockerarchive import (
    MANIFEST_JSON,
    read_docker_archive,
    read_manifest_json,
)
from casstore.transfer.keeping import KeepJob, keep_layers
from casstore.transfer.layerstream import HEAD_SIZE, NONE, compression_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from casstore.ports import Intake
    from casstore.transfer.archive import Archive
    from casstore.transfer.compress import Compression

LAYOUT_VERSION = "1.0.0"
LAYOUT_FILE = Keys({}, "imageLayoutVersion")

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
PARENT = "io.casstore.image.parent"  # ours: the image ID of the recorded parent

_COPY = 1 << 20


def read_layout(
    archive: Archive, intake: Intake, *, compression: Compression, link: bool = False
) -> list[Arrival]:
    """Stage all that `index.json` lists.

    Args:
        archive: the layout.
        intake: where blobs are staged.
        compression: for a hybrid that is read as a docker archive.
        link: take blobs of a directory by hard link or reflink where that is possible.

    Raises:
        Refused: anything wrong with it.
    """
    check_layout_version(archive)
    index = parse_index_json(archive.read(INDEX_JSON, MAX_INDEX_JSON))
    is_hybrid = archive.has(MANIFEST_JSON)
    if is_hybrid and _is_docker_archive(archive, index):
        return read_docker_archive(archive, intake, compression)
    jobs = _FirstWalk(archive, intake, link=link)
    tops = list(dict.fromkeys(entry.descriptor for entry in index.manifests))
    for top in tops:
        read_tree(top, jobs)
    layers = dict(zip(jobs.layers, keep_layers(list(jobs.layers.values()), intake), strict=True))
    second = _SecondWalk(jobs, layers)
    records = {top: read_tree(top, second) for top in tops}
    arrivals = _arrivals(index.manifests, records, archive.stem)
    return _with_docker_names(archive, arrivals) if is_hybrid else arrivals


def check_layout_version(archive: Archive) -> None:
    """Refuse a layout of another version than 1.0.0."""
    data = archive.read(OCI_LAYOUT, MAX_DOCUMENT)
    fields = Fields(document.read(data, OCI_LAYOUT, LAYOUT_FILE), OCI_LAYOUT)
    version = fields.text("imageLayoutVersion")
    if version != LAYOUT_VERSION:
        raise Refused(
            f"{OCI_LAYOUT} has the version {quote(version)}, only {LAYOUT_VERSION} is known"
        )


def blob_name(digest: Digest) -> str:
    """Where a layout has the blob."""
    return f"blobs/sha256/{digest.hex}"


def names_of(
    annotations: Mapping[str, str], digest: Digest, repository: str | None
) -> tuple[Reference, ...]:
    """The names that a descriptor in `index.json` gives to what it points to.

    Args:
        annotations: of the descriptor.
        digest: that it points to; a digest reference must be to this one.
        repository: what bare tags are tags of.
    """
    text = annotations.get(CONTAINERD_NAME)
    if text is None:
        text = annotations.get(REF_NAME)
        if text is None:
            return ()
        if is_tag(text):
            if repository is None:
                return ()
            text = f"{repository}:{text}"
    try:
        name = parse_name(text)
    except InvalidReference:
        return ()
    if name.digest is None:
        return (name.reference,)
    if name.digest != digest:
        return ()
    tags = () if name.tag is None else (Reference(f"{name.repository}:{name.tag}"),)
    return (*tags, name.reference)


class _FirstWalk:
    """A `TreeReader` that stages documents and other blobs, and notes the layers to be kept."""

    def __init__(self, archive: Archive, intake: Intake, *, link: bool) -> None:
        self.archive = archive
        self.intake = intake
        self.layers: dict[Digest, KeepJob] = {}
        self._link = link
        self._position = 0  # of the next layer in the manifest being read

    def document(self, descriptor: Descriptor) -> bytes | None:
        self._position = 0
        name = blob_name(descriptor.digest)
        if not self.archive.has(name):
            stored = self.intake.has(descriptor.digest) is not None
            return self.intake.read(descriptor.digest) if stored else None
        check_size(descriptor, self.archive.size(name))
        data = self.archive.read(name, MAX_DOCUMENT)
        # Checked by the caller too, but nothing wrong is ever staged.
        check_digest(descriptor, sha256(data))
        self.intake.add(data)
        return data

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
        digest, name = descriptor.digest, blob_name(descriptor.digest)
        intake, archive = self.intake, self.archive
        if not archive.has(name):
            if intake.has(digest) is None:
                raise missing(descriptor)
            return (lambda: intake.open(digest)), True
        check_size(descriptor, archive.size(name))
        path = archive.path(name) if self._link else None
        if path is not None and intake.adopt(path, digest, descriptor.size):
            return (lambda: intake.open(digest)), True
        return (lambda: archive.open(name)), False


class _SecondWalk:
    """A `TreeReader` over what the first walk staged and `keep_layers` verified."""

    def __init__(self, first: _FirstWalk, layers: Mapping[Digest, LayerRecord]) -> None:
        self._intake = first.intake
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


def _arrivals(
    entries: Sequence[Entry], records: Mapping[Descriptor, ImageRecord], stem: str | None
) -> list[Arrival]:
    """An arrival for each descriptor; one for each image where no name is given twice."""
    repository = _repository(stem)
    found: list[Arrival] = []
    for entry in entries:
        names = names_of(entry.annotations, entry.descriptor.digest, repository)
        parent = _parent(entry.annotations)
        found.append(Arrival(records[entry.descriptor], names, parent))
    given = [name for arrival in found for name in arrival.names]
    if len(given) != len(set(given)):
        return found  # the last one gets it, which only the order tells
    merged: dict[Digest, Arrival] = {}
    for arrival in found:
        known = merged.get(arrival.image.top.digest)
        merged[arrival.image.top.digest] = (
            arrival
            if known is None
            else Arrival(known.image, known.names + arrival.names, known.parent or arrival.parent)
        )
    return list(merged.values())


def _repository(stem: str | None) -> str | None:
    """The repository that bare tags are tags of, if the layout has a name that can be one."""
    if not stem:
        return None
    repository = stem.lower()
    try:
        return repository if parse_target(f"{repository}:latest") else None
    except InvalidReference:
        return None


def _parent(annotations: Mapping[str, str]) -> Digest | None:
    text = annotations.get(PARENT, "")
    return Digest(text) if text[:7] == "sha256:" and is_hex64(text[7:]) else None


def _is_docker_archive(archive: Archive, index: Index) -> bool:
    """Whether `manifest.json` says all that the index says, of layers that are plain tars."""
    items = read_manifest_json(archive)
    configs = {_promised(item.config) for item in items}
    names = {name for item in items for name in item.names}
    for entry in index.manifests:
        if not mediatype.is_manifest(entry.descriptor.media_type):
            return False
        if not names.issuperset(names_of(entry.annotations, entry.descriptor.digest, None)):
            return False
        name = blob_name(entry.descriptor.digest)
        if not archive.has(name):
            return False
        manifest = parse_document(archive.read(name, MAX_DOCUMENT), entry.descriptor)
        if not isinstance(manifest, Manifest) or manifest.config is None:
            return False
        if manifest.config.descriptor.digest not in configs:
            return False
    paths = {path for item in items for path in item.layers}
    return bool(paths) and all(_is_plain(archive, path) for path in paths)


def _promised(path: str) -> str:
    """The digest that a path of a hybrid promises: `blobs/sha256/<hex>`."""
    return "sha256:" + path.rpartition("/")[2].removesuffix(".json")


def _is_plain(archive: Archive, path: str) -> bool:
    if not archive.has(path):
        return False
    with archive.open(path) as file:
        return compression_of(file.read(HEAD_SIZE)) == NONE


def _with_docker_names(archive: Archive, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """The arrivals with the names and parents that a hybrid's `manifest.json` adds."""
    result = list(arrivals)
    given = {name for arrival in arrivals for name in arrival.names}
    for item in read_manifest_json(archive):
        image_id = sha256(archive.read(item.config, MAX_DOCUMENT))
        place = _holder(result, image_id)
        if place is None:
            continue
        arrival = result[place]
        new = tuple(name for name in dict.fromkeys(item.names) if name not in given)
        given.update(new)
        parent = item.parent if arrival.image.id == image_id else None
        result[place] = Arrival(arrival.image, arrival.names + new, arrival.parent or parent)
    return result


def _holder(arrivals: Iterable[Arrival], image_id: Digest) -> int | None:
    """Which arrival is the image, or else the first that has it among its platforms."""
    within: int | None = None
    for place, arrival in enumerate(arrivals):
        if arrival.image.id == image_id:
            return place
        if within is None and any(blob.digest == image_id for blob in arrival.image.blobs):
            within = place
    return within
