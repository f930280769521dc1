"""From documents to records: the one place that reads an image tree.

Loading, pulling and the rebuild of a lost database all come through here, so that the index says
the same of an image whichever way it came. `read_tree` walks from a manifest or an index down to
the last blob, checks all that documents can be checked for, and asks a `TreeReader` for the rest.

What is what:
- The image ID is the digest of the image config. An index, or an artifact (whose config is none,
  empty, or of a type that is no image's), has the digest of its top document for an ID.
- A manifest with an image config is an image. Its layers of a known type are layers, each held
  against its diff ID. Encrypted layers, and layers of a type nobody knows (the in-toto statements
  of BuildKit's attestations, cosign's signatures), are kept as they are: their bytes are checked
  against the digest, their diff ID cannot be.
- An image config may have diff IDs for the layers of a known type alone: WebAssembly modules have
  none. The config does not say all that the image is then, so it is not what identifies the image:
  it has the digest of its manifest for an ID, as an artifact has.
- All blobs of an artifact but its manifest are kept as they are. A config that is just `{}` makes
  an artifact, whatever type it is called: tools wrote an image's before there was an empty one.
- A child of an index that is not there is left out, as long as one is there: `ctr images export`
  writes the whole index with one platform's blobs. A child of an unknown type is kept as it is
  (image-index.md: "MUST NOT generate an error").
- A foreign layer (one with `urls`, of a type that must not be pushed) that is not there is left out
  where the caller says so: a registry is not given it (image-spec, layer.md, "Non-Distributable
  Layers"). Whoever wants that image's files is told that the layer is not in the store.
- What is listed among images, and is of a type nobody knows, is kept as it is, under its digest.
- `subject` does not hold what it refers to; it is noted, because rmi takes what refers to an image
  along with the image (rules/removal.py).
"""

from __future__ import annotations

from casstore.errors import Refused
from casstore.model import mediatype
from casstore.model.descriptor import CONFIG, INDEX, LAYER, MANIFEST, OTHER, Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.imageconfig import ImageConfig, check_rootfs, parse_config
from casstore.model.kept import LayerRecord
from casstore.model.labels import Labels
from casstore.model.manifest import Index, Manifest, parse_document, unknown_type
from casstore.model.record import BlobRecord, ImageRecord
from casstore.model.treechecks import (
    MAX_DOCUMENTS,
    MAX_INDEX_DEPTH,
    MAX_LEAVES,
    check_digest,
    check_size,
    is_document,
    missing,
)
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from casstore.model.manifest import Entry

    Lacks = Callable[[Digest, Digest], bool]  # of a manifest, and of a layer of it

    class TreeReader(Protocol):
        """Where `read_tree` gets its bytes from."""

        def document(self, descriptor: Descriptor) -> bytes | None:
            """The bytes of a manifest, index or config; None where it is absent.

            `read_tree` checks size and digest.
            """

        def layer(self, descriptor: Descriptor, diff_id: Digest | None) -> LayerRecord:
            """The record of a layer whose bytes are what the descriptor says.

            `read_tree` compares its diff ID with the one expected.
            """

        def leaf(self, descriptor: Descriptor) -> None:
            """Make sure that a blob of no known form is there and is what the descriptor says."""


_RANK = {OTHER: 0, LAYER: 1, CONFIG: 2, MANIFEST: 3, INDEX: 3}


def read_tree(top: Descriptor, reader: TreeReader, *, lacks: Lacks | None = None) -> ImageRecord:
    """The record of the image, index or artifact under `top`.

    Args:
        top: the document to begin with.
        reader: gives the bytes.
        lacks: whether a manifest is there without a foreign layer of it. By default none may be.

    Raises:
        Refused: a document is wrong, absent, or contradicts another one; too deep, too many.
        Whatever the reader raises.
    """
    walk = _Walk(reader, top.digest, lacks)
    if not is_document(top):
        reader.leaf(top)
        blob = BlobRecord(top.digest, top.size, OTHER, ())
        return ImageRecord(top.digest, top, (blob,), (), None, Labels(), "", "", "", 0, None)
    document = walk.visit(top, 0)
    if document is None:
        raise missing(top)
    about = walk.own or walk.first
    return ImageRecord(
        id=walk.own.id if walk.own is not None else top.digest,
        top=top,
        blobs=walk.blobs(top.digest),
        layers=tuple(walk.layers.values()),
        created=about.created if about else None,
        labels=about.labels if about else Labels(),
        os=about.os if about else "",
        architecture=about.architecture if about else "",
        variant=about.variant if about else "",
        size=walk.file_bytes,
        subject=document.subject.descriptor.digest if document.subject is not None else None,
    )


class _About(Value):
    """What an image's record has from a config."""

    id: Digest
    created: int | None
    labels: Labels
    os: str
    architecture: str
    variant: str


class _Walk:
    """One pass over a tree, each blob once."""

    def __init__(self, reader: TreeReader, top: Digest, lacks: Lacks | None) -> None:
        self.reader = reader
        self._lacks = lacks
        self.own: _About | None = None  # what the config of `top` itself says
        self.first: _About | None = None  # what the first config of a real platform says
        self._top = top
        self.layers: dict[Digest, LayerRecord] = {}
        self.file_bytes = 0
        self._nodes: dict[Digest, BlobRecord] = {}
        self._documents = 0

    def visit(self, descriptor: Descriptor, depth: int) -> Manifest | Index | None:
        """Read a manifest or an index and all below it; None where it is absent."""
        data = self._read(descriptor)
        if data is None:
            return None
        document = parse_document(data, descriptor)
        if isinstance(document, Index):
            self._add(descriptor, INDEX, self._index(document, descriptor, depth))
        else:
            self._add(descriptor, MANIFEST, self._manifest(document, descriptor))
        return document

    def blobs(self, top: Digest) -> tuple[BlobRecord, ...]:
        """All blobs, a parent before its children, otherwise in document order."""
        order: list[BlobRecord] = []
        done: set[Digest] = set()
        path: list[tuple[Digest, bool]] = [(top, False)]
        while path:
            digest, below = path.pop()
            if below:
                order.append(self._nodes[digest])
            elif digest not in done:
                done.add(digest)
                path.append((digest, True))
                path.extend((child, False) for child in self._nodes[digest].children)
        order.reverse()
        return tuple(order)

    def _index(self, index: Index, descriptor: Descriptor, depth: int) -> tuple[Digest, ...]:
        if depth >= MAX_INDEX_DEPTH:
            raise Refused(f"indexes are nested more than {MAX_INDEX_DEPTH} deep")
        children: list[Digest] = []
        for entry in index.manifests:
            child = entry.descriptor
            if self._is_kept(child, entry, depth):
                children.append(child.digest)
        if index.manifests and not children:
            raise Refused(f"index {descriptor.digest} has none of its manifests with it")
        return tuple(children)

    def _is_kept(self, child: Descriptor, entry: Entry, depth: int) -> bool:
        if self._seen(child):
            return True
        if mediatype.is_index(child.media_type) or mediatype.is_manifest(child.media_type):
            return self.visit(child, depth + 1) is not None
        if child.media_type in mediatype.SCHEMA1:
            raise unknown_type(child)
        self._leaf(entry)
        return True

    def _manifest(self, manifest: Manifest, descriptor: Descriptor) -> tuple[Digest, ...]:
        children: list[Digest] = []
        config: ImageConfig | None = None
        if manifest.config is not None:
            children.append(manifest.config.descriptor.digest)
            if manifest.is_image:
                config = self._config(manifest.config.descriptor)
            else:
                self._leaf(manifest.config)
        diff_ids = _diff_ids(manifest, config)
        if config is not None:
            says_all = len(manifest.layers) == len(config.diff_ids)
            self._note(config, is_own=says_all and descriptor.digest == self._top)
        for position, (entry, diff_id) in enumerate(zip(manifest.layers, diff_ids, strict=True)):
            if is_elsewhere(entry) and self._is_lacking(descriptor, entry.descriptor):
                continue
            children.append(entry.descriptor.digest)
            if diff_id is not None and mediatype.is_layer(entry.descriptor.media_type):
                self._layer(entry, diff_id, position)
            else:
                self._leaf(entry)
        return tuple(children)

    def _is_lacking(self, manifest: Descriptor, layer: Descriptor) -> bool:
        return self._lacks is not None and self._lacks(manifest.digest, layer.digest)

    def _note(self, config: ImageConfig, *, is_own: bool) -> None:
        # Not the config itself: an index may have thousands, of megabytes each.
        if not is_own and (self.first is not None or config.os in ("", "unknown")):
            return
        about = _About(
            config.id, config.created, Labels(config.labels), config.os, config.architecture,
            config.variant,
        )  # fmt: skip
        if is_own:
            self.own = about
        else:
            self.first = about

    def _config(self, descriptor: Descriptor) -> ImageConfig:
        data = self._read(descriptor)
        if data is None:
            raise missing(descriptor)
        self._add(descriptor, CONFIG, ())
        return parse_config(data, descriptor.digest)

    def _layer(self, entry: Entry, diff_id: Digest, position: int) -> None:
        descriptor = entry.descriptor
        try:
            record = self.reader.layer(descriptor, diff_id)
        except Refused as refusal:
            raise _of_foreign(entry, refusal) from None
        check_size(descriptor, record.size)
        if record.diff_id != diff_id:
            raise Refused(
                f'invalid diffID for layer {position}: expected "{diff_id}", got "{record.diff_id}"'
            )
        self._add(descriptor, LAYER, ())
        self.layers.setdefault(descriptor.digest, record)
        self.file_bytes += record.file_bytes

    def _leaf(self, entry: Entry) -> None:
        if self._seen(entry.descriptor):
            return
        try:
            self.reader.leaf(entry.descriptor)
        except Refused as refusal:
            raise _of_foreign(entry, refusal) from None
        self._add(entry.descriptor, OTHER, ())

    def _read(self, descriptor: Descriptor) -> bytes | None:
        self._documents += 1
        if self._documents > MAX_DOCUMENTS:
            raise Refused(f"an image tree exceeds the limit of {MAX_DOCUMENTS} documents")
        if descriptor.size > MAX_DOCUMENT:
            raise Refused(f"document {descriptor.digest} exceeds the limit of {MAX_DOCUMENT} bytes")
        data = self.reader.document(descriptor)
        if data is not None:
            check_size(descriptor, len(data))
            check_digest(descriptor, sha256(data))
        return data

    def _seen(self, descriptor: Descriptor) -> bool:
        """Whether this blob has been read, in as many bytes as are claimed here again."""
        node = self._nodes.get(descriptor.digest)
        if node is None:
            return False
        check_size(descriptor, node.size)
        if mediatype.is_index(descriptor.media_type) or mediatype.is_manifest(
            descriptor.media_type
        ):
            return node.kind in (INDEX, MANIFEST)
        return True

    def _add(self, descriptor: Descriptor, kind: str, children: tuple[Digest, ...]) -> None:
        node = self._nodes.get(descriptor.digest)
        if node is not None and _RANK[node.kind] > _RANK[kind]:
            return  # an image may have for its config what is a manifest to others
        if len(self._nodes) >= MAX_LEAVES:
            raise Refused(f"an image tree exceeds the limit of {MAX_LEAVES} blobs")
        _, digest, size = descriptor
        self._nodes[digest] = BlobRecord._make((digest, size, kind, children))


def _diff_ids(manifest: Manifest, config: ImageConfig | None) -> list[Digest | None]:
    """What the config says of each layer of its manifest; None where it says nothing."""
    if config is None:
        return [None] * len(manifest.layers)
    if len(config.diff_ids) == len(manifest.layers):
        if not config.diff_ids:
            check_rootfs(config)
        return list(config.diff_ids)
    known = [
        mediatype.is_layer(kind) or mediatype.is_encrypted(kind)
        for kind in (entry.descriptor.media_type for entry in manifest.layers)
    ]
    if known.count(True) != len(config.diff_ids):
        check_rootfs(config)
        raise Refused(
            "invalid manifest, layers length mismatch: "
            f"expected {len(manifest.layers)}, got {len(config.diff_ids)}"
        )
    diff_ids = iter(config.diff_ids)
    return [next(diff_ids) if is_known else None for is_known in known]


def is_elsewhere(entry: Entry) -> bool:
    """Whether this is a foreign layer: one that says where it is, and that must not be pushed."""
    return bool(entry.urls) and mediatype.is_foreign(entry.descriptor.media_type)


def _of_foreign(entry: Entry, refusal: Refused) -> Refused:
    if is_elsewhere(entry):
        return Refused(
            f"{refusal} (a foreign layer, to be fetched from elsewhere: nothing is fetched)"
        )
    return refusal
