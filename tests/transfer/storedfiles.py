"""Stored blobs in a directory, for sinks that want paths, and images made to be saved."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import IO

from casstore.errors import Damaged
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.kept import LayerRecord
from casstore.model.reference import Reference
from casstore.transfer.compress import DEFAULT, Compression, LayerJob, pack_layers
from casstore.transfer.saved import SavedImage
from tests.transfer.building import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, config_of
from tests.transfer.memoryintake import MemoryIntake


class StoredFiles:
    """`StoredBlobs` over a directory, filled from an intake."""

    def __init__(self, root: object) -> None:
        self.root = str(root)
        self.intake = MemoryIntake()
        self.opened: list[Digest] = []

    def add(self, data: bytes) -> Digest:
        digest = self.intake.add(data)
        with open(self.path(digest), "wb") as file:
            file.write(data)
        return digest

    def has(self, digest: Digest) -> bool:
        return os.path.exists(self.path(digest))

    def read(self, digest: Digest) -> bytes:
        with self.open(digest) as file:
            data = file.read()
        if sha256(data) != digest:
            raise Damaged(f"blob {digest} is corrupt: its content has another digest")
        return data

    def open(self, digest: Digest) -> IO[bytes]:
        self.opened.append(digest)
        try:
            return open(self.path(digest), "rb")
        except FileNotFoundError:
            raise Damaged(f"blob {digest} is missing") from None

    def path(self, digest: Digest) -> str:
        return os.path.join(self.root, digest.hex)

    def layer(self, digest: Digest) -> LayerRecord | None:
        return self.intake.layer(digest)

    def change(self, digest: Digest, data: bytes) -> None:
        with open(self.path(digest), "wb") as file:
            file.write(data)

    def add_json(self, value: object, media_type: str) -> Descriptor:
        data = json.dumps(value).encode()
        return Descriptor(media_type, self.add(data), len(data))

    def add_image(
        self,
        *layers: bytes,
        names: tuple[str, ...] = (),
        parent: Digest | None = None,
        compression: Compression = DEFAULT,
        **config: object,
    ) -> SavedImage:
        """An image over these layer tars."""
        import io

        jobs = [LayerJob(partial(io.BytesIO, x), sha256(x), 1) for x in layers]
        records = pack_layers(jobs, self.intake, compression)
        for record in records:
            self.add(self.intake.blobs[record.digest])
        data = config_of(*layers, **config)
        value = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": self.add(data), "size": len(data)},
            "layers": [
                {"mediaType": x.media_type, "digest": x.digest, "size": x.size} for x in records
            ],
        }
        top = self.add_json(value, OCI_MANIFEST)
        return SavedImage(sha256(data), top, tuple(map(Reference, names)), parent)

    def add_index(self, *children: Descriptor, names: tuple[str, ...] = ()) -> SavedImage:
        """A multi-platform index over these."""
        value = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {"mediaType": x.media_type, "digest": x.digest, "size": x.size} for x in children
            ],
        }
        top = self.add_json(value, OCI_INDEX)
        return SavedImage(top.digest, top, tuple(map(Reference, names)), None)
