"""encrypt and decrypt, as the store sees them: an image gets one manifest more.

The config is the same, so it is the same image: encrypted and in the clear it has one ID, and
shares its config, its layers that are not encrypted, its parent and its children. What was
encrypted is undone to the byte: the manifest of the layers in the clear is the one there was,
unless it had to be turned from Docker's form into OCI's, which alone knows encrypted layers.
"""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING, Any, cast

from casstore.crypt import keywrap
from casstore.crypt.layercipher import DecryptedLayer, encrypt_layer
from casstore.errors import Refused, Unsupported, UsageError, quote
from casstore.flows.selection import is_readable
from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest
from casstore.model.document import read as read_document
from casstore.model.imageconfig import parse_config
from casstore.model.imagetree import read_tree
from casstore.model.manifest import DOCUMENT, Manifest, parse_document
from casstore.model.mediatype import ENCRYPTED, OCI_CONFIG, OCI_MANIFEST, as_oci_layer
from casstore.model.record import Arrival
from casstore.model.reference import parse_target
from casstore.model.signatures import go_json
from casstore.rules.resolve import resolve
from casstore.transfer.counted import CountedReader
from casstore.transfer.keptlayers import keep_layers
from casstore.transfer.stagedtree import StagedTree
from casstore.transfer.verification import KeepJob

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from casstore.model.manifest import Entry
    from casstore.ports.ingest import Ingest
    from casstore.ports.view import View
    from casstore.progress import Progress, Task
    from casstore.trust.keys import PrivateKey

_READ = 1 << 20
# What a descriptor may say of its bytes, and what other bytes make untrue.
_OF_OTHER_BYTES: dict[str, Any] = {"urls": None, "data": None}


class _Image:
    """The manifest that an IMAGE argument means, pinned until the commit."""

    def __init__(self, view: View, ingest: Ingest, argument: str, *, sealed: bool) -> None:
        """`sealed`: which of its manifests an ID means, one with encrypted layers or without."""
        found = resolve(view, argument)
        top = None if found.name is None else view.top_named(found.name.reference)
        if top is None:
            tops = view.tops_of(found.image)
            top = next((one for one in tops if is_readable(view, one) is not sealed), tops[0])
        self.top = top
        self.shown = quote(argument)
        if ingest.has(self.top.digest) is None:
            raise Refused(f"image {self.shown} was removed meanwhile")
        document = ingest.read(self.top.digest)
        manifest = parse_document(document, self.top)
        if not isinstance(manifest, Manifest):
            raise Unsupported(f"{self.shown} is an index of several platforms, not one image")
        if not manifest.is_image:
            raise Unsupported(f"{self.shown} is an artifact, not an image")
        self.manifest = manifest
        self.document: dict[str, Any] = read_document(
            document, f"manifest {self.top.digest}", DOCUMENT
        )

    def changed(self, ingest: Ingest, layers: Mapping[int, Mapping[str, Any]]) -> Descriptor:
        """Stage the manifest with some of its descriptors (by position) changed in these fields.

        The order of all fields stays; None removes one.
        """
        document = dict(self.document)
        if document.get("mediaType", self.top.media_type) != OCI_MANIFEST:
            document["mediaType"] = OCI_MANIFEST
            document["config"] = {**document["config"], "mediaType": OCI_CONFIG}
            document["layers"] = [
                {**layer, "mediaType": as_oci_layer(layer["mediaType"])}
                for layer in document["layers"]
            ]
        document["layers"] = [
            {
                name: value
                for name, value in {**layer, **layers.get(at, {})}.items()
                if value is not None
            }
            for at, layer in enumerate(document["layers"])
        ]
        data = go_json(document)
        return Descriptor(OCI_MANIFEST, ingest.add(data), len(data))


def encrypt_image(
    view: View,
    ingest: Ingest,
    image: str,
    name: str,
    *,
    recipients: Sequence[keywrap.Recipient],
    layers: Sequence[int] | None,
    progress: Progress | None = None,
) -> Arrival:
    """Stage an image with encrypted layers; see `Store.encrypt`.

    With `progress`, what is read of them is counted, as a task `Encrypting`.
    """
    target = parse_target(name)
    source = _Image(view, ingest, image, sealed=False)
    entries = source.manifest.layers
    changed: dict[int, dict[str, Any]] = {}
    done: dict[Digest, dict[str, Any]] = {}
    positions = _positions(layers, len(entries), source.shown)
    task = _task(progress, "Encrypting", [entries[at] for at in positions])
    for at in positions:
        plain = entries[at].descriptor
        if plain.digest not in done:
            done[plain.digest] = _encrypted(ingest, entries[at], at, recipients, task)
        changed[at] = done[plain.digest]
    top = source.changed(ingest, changed)
    return Arrival(read_tree(top, StagedTree(ingest)), (target,), None)


def _positions(layers: Sequence[int] | None, count: int, shown: str) -> list[int]:
    if not count:
        raise Refused(f"{shown} has no layers to encrypt")
    if layers is None:
        return list(range(count))
    for number in layers:
        if not -count <= number < count:
            raise UsageError(f"{shown} has no layer {number}: its {count} layers count from 0")
    return sorted({number % count for number in layers})


def _task(progress: Progress | None, name: str, entries: Sequence[Entry]) -> Task | None:
    """A task for the bytes of these layers, each once."""
    if progress is None:
        return None
    sizes = {entry.descriptor.digest: entry.descriptor.size for entry in entries}
    return progress.task(name, sum(sizes.values()))


def _counted(blob: IO[bytes], task: Task | None) -> IO[bytes]:
    return blob if task is None else cast("IO[bytes]", CountedReader(blob, task))


def _encrypted(
    ingest: Ingest,
    entry: Entry,
    at: int,
    recipients: Sequence[keywrap.Recipient],
    task: Task | None,
) -> dict[str, Any]:
    """Stage a layer's ciphertext; the descriptor that leads to it, as JSON."""
    plain = entry.descriptor
    media_type = plain.media_type
    if mediatype.is_encrypted(media_type):
        raise Refused(f"layer {at} is encrypted already; decrypt the image first")
    if not mediatype.is_layer(media_type):
        raise Unsupported(f"layer {at} is of the type {quote(media_type)}, which is not a layer's")
    draft = ingest.draft()
    try:
        with _counted(ingest.open(plain.digest), task) as blob:
            result = encrypt_layer(blob, plain, draft)
        draft.seal(result.digest, result.size)
    except BaseException:
        draft.discard()
        raise
    annotations = keywrap.wrap(result.private, result.public, recipients)
    return {
        "mediaType": as_oci_layer(media_type) + ENCRYPTED,
        "digest": result.digest,
        "size": result.size,
        "annotations": {**entry.annotations, **annotations},
        **_OF_OTHER_BYTES,
    }


def decrypt_image(
    view: View,
    ingest: Ingest,
    image: str,
    name: str,
    keys: Sequence[PrivateKey],
    *,
    progress: Progress | None = None,
) -> Arrival:
    """Stage an image with its layers in the clear; see `Store.decrypt`.

    With `progress`, what is read of them is counted, as a task `Decrypting`.
    """
    target = parse_target(name)
    source = _Image(view, ingest, image, sealed=True)
    entries = source.manifest.layers
    at_work = [
        at for at, one in enumerate(entries) if mediatype.is_encrypted(one.descriptor.media_type)
    ]
    if not at_work:
        raise Refused(f"{source.shown} has no encrypted layers")
    config = source.manifest.config
    assert config is not None
    diff_ids = parse_config(
        ingest.read(config.descriptor.digest), config.descriptor.digest
    ).diff_ids
    work = [_Opening(ingest, entries[at], at, diff_ids[at], keys) for at in at_work]
    task = _task(progress, "Decrypting", [entries[at] for at in at_work])
    for one in work:
        one.task = task
        one.prove_if_known()
    pulse = None if task is None else task.pulse
    records = keep_layers([one.job for one in work], ingest, pulse=pulse)
    changed = {
        at: {
            "mediaType": record.media_type,
            "digest": record.digest,
            "size": record.size,
            "annotations": keywrap.without_keys(entries[at].annotations) or None,
            **_OF_OTHER_BYTES,
        }
        for at, record in zip(at_work, records, strict=True)
    }
    top = source.changed(ingest, changed)
    known = {record.digest: record for record in records}
    return Arrival(read_tree(top, StagedTree(ingest, known)), (target,), None)


class _Opening:
    """One encrypted layer, on its way to be kept in the clear."""

    def __init__(
        self,
        ingest: Ingest,
        entry: Entry,
        at: int,
        diff_id: Digest,
        keys: Sequence[PrivateKey],
    ) -> None:
        self._ingest = ingest
        self._entry = entry
        self._name = f"layer {at}"
        self.task: Task | None = None  # counts what is read
        try:
            self._private, self._public = keywrap.unwrap(entry.annotations, keys)
        except Refused as refusal:
            raise Refused(f"{self._name} {refusal}") from None
        sealed = entry.descriptor
        media_type = sealed.media_type.removesuffix(ENCRYPTED)
        plain = Descriptor(media_type, self._private.digest, sealed.size)
        self.job = KeepJob(self._open, plain, diff_id, at, staged=False)

    def _open(self) -> IO[bytes]:
        return cast("IO[bytes]", self._decrypted())

    def _decrypted(self) -> DecryptedLayer:
        sealed = self._entry.descriptor
        blob = _counted(self._ingest.open(sealed.digest), self.task)
        return DecryptedLayer(blob, sealed.size, self._private, self._public, self._name)

    def prove_if_known(self) -> None:
        """Read the ciphertext where the layer in the clear is here already, so nobody else will."""
        if self._ingest.layer(self._private.digest) is None:
            return
        digest = hashlib.sha256()
        with self._decrypted() as stream:
            while data := stream.read(_READ):
                digest.update(data)
        if Digest.of_bytes(digest.digest()) != self._private.digest:
            raise Refused(f"{self._name} decrypts to other content than its key is for")
