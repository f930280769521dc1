"""An intake in memory: what `transfer` needs of one, and no more."""

from __future__ import annotations

import io
from typing import IO

from casstore.errors import Damaged, Refused
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.kept import LayerRecord


class MemoryDraft:
    """A draft that remembers how it ended."""

    def __init__(self, intake: MemoryIntake) -> None:
        self._intake = intake
        self.content = bytearray()
        self.sealed: Digest | None = None
        self.discarded = False
        self.offset = 0

    def reread(self) -> IO[bytes]:
        return io.BytesIO(bytes(self.content[: self.offset]))

    def write(self, data: bytes | memoryview) -> int:
        assert self.sealed is None and not self.discarded
        self.content += data
        return len(data)

    def seal(self, digest: Digest, size: int) -> None:
        assert sha256(bytes(self.content)) == digest
        if len(self.content) != size:
            raise Refused(f"blob {digest} has {len(self.content)} bytes, not {size}")
        self.sealed = digest
        self._intake.blobs[digest] = bytes(self.content)

    def discard(self) -> None:
        self.discarded = self.sealed is None

    def leave(self) -> None:
        self.discard()


class MemoryIntake:
    """An intake that shows what it was given."""

    max_layer_size: int | None = None
    digests_only = False

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.layers: dict[Digest, LayerRecord] = {}
        self.drafts: list[MemoryDraft] = []

    def has(self, digest: Digest) -> int | None:
        return len(self.blobs[digest]) if digest in self.blobs else None

    def layer(self, digest: Digest) -> LayerRecord | None:
        return self.layers.get(digest)

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        return next((x for x in self.layers.values() if x.diff_id == diff_id), None)

    def manifest_of(self, image_id: Digest) -> Descriptor | None:
        return None

    def read(self, digest: Digest) -> bytes:
        if digest not in self.blobs:
            raise Damaged(f"blob {digest} is missing")
        return self.blobs[digest]

    def open(self, digest: Digest) -> IO[bytes]:
        return io.BytesIO(self.read(digest))

    def add(self, data: bytes) -> Digest:
        digest = sha256(data)
        self.blobs[digest] = data
        return digest

    def draft(self, digest: Digest | None = None) -> MemoryDraft:
        draft = MemoryDraft(self)
        self.drafts.append(draft)
        return draft

    def add_layer(self, record: LayerRecord) -> None:
        self.layers[record.digest] = record

    def adopt(self, path: str, digest: Digest, size: int) -> bool:
        return False

    def scratch(self) -> IO[bytes]:
        return io.BytesIO()

    @property
    def untidy(self) -> list[MemoryDraft]:
        """Drafts that were neither sealed nor discarded."""
        return [x for x in self.drafts if x.sealed is None and not x.discarded]
