"""Blobs in memory, and what is still arriving."""

from __future__ import annotations

import stat
from io import BytesIO
from typing import IO, TYPE_CHECKING

from casstore.backends.lookups import PinningLookups, asked_once
from casstore.clock import current_time
from casstore.errors import Damaged, Refused
from casstore.model.digest import sha256
from casstore.model.document import MAX_DOCUMENT
from casstore.model.storage import StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from casstore.backends.memory.uploads import MemoryUploads
    from casstore.model.digest import Digest
    from casstore.ports.view import Digests, View


class MemoryBlobs:
    """The blobs of a store."""

    def __init__(
        self,
        content: Mapping[Digest, bytes] | None = None,
        written: Mapping[Digest, int] | None = None,
        contents: Mapping[Digest, bytes] | None = None,
    ) -> None:
        self._bytes = dict(content or {})
        self._written = dict(written or {})
        self.contents = MemoryContents(lambda: self._bytes, contents)

    def copy(self) -> MemoryBlobs:
        """The same blobs, to be added to and discarded apart from these."""
        return MemoryBlobs(self._bytes, self._written, self.contents.tables)

    def put(self, digest: Digest, data: bytes) -> None:
        """Give bytes their digest; they are what it says."""
        self._bytes[digest] = data
        self._written[digest] = current_time()

    def size(self, digest: Digest) -> int | None:
        data = self._bytes.get(digest)
        return len(data) if data is not None else None

    def written(self, digest: Digest) -> int | None:
        return self._written.get(digest)

    def file_of(self, digest: Digest) -> str | None:
        return None

    def open(self, digest: Digest) -> IO[bytes]:
        try:
            return BytesIO(self._bytes[digest])
        except KeyError:
            raise Damaged(f"blob {digest} is missing") from None

    def read(self, digest: Digest, limit: int = MAX_DOCUMENT) -> bytes:
        data = self.open(digest).read()
        if len(data) > limit:
            raise Damaged(f"blob {digest} has more than {limit} bytes")
        return data

    def content(self, digest: Digest, limit: int) -> bytes | None:
        data = self._bytes.get(digest)
        return data[: limit + 1] if data is not None else None

    def discard(self, digests: Iterable[Digest]) -> list[str]:
        for digest in digests:
            self.contents.discard([digest])
            self._bytes.pop(digest, None)
            self._written.pop(digest, None)
        return []

    def discard_some(self, digests: Sequence[Digest], seconds: float = 0) -> tuple[int, list[str]]:
        return len(digests), self.discard(digests)

    def walk(self) -> Iterator[StoredFile]:
        return iter(
            [
                StoredFile(digest.hex, digest, len(data), stat.S_IFREG | 0o444, len(data))
                for digest, data in self._bytes.items()
            ]
        )

    def strangers(self, known: Digests) -> Iterator[StoredFile]:
        names = set(map(bytes.hex, known))
        return iter([file for file in self.walk() if file.name not in names])


class MemoryContents:
    """The tables of contents of layers."""

    def __init__(
        self, blobs: Callable[[], Container[Digest]], tables: Mapping[Digest, bytes] | None = None
    ) -> None:
        self._blobs = blobs
        self.tables = dict(tables or {})

    def open(self, layer: Digest) -> IO[bytes] | None:
        table = self.tables.get(layer)
        return BytesIO(table) if table is not None else None

    def draft(self) -> IO[bytes]:
        return BytesIO()

    def keep(self, draft: IO[bytes], layer: Digest) -> None:
        assert isinstance(draft, BytesIO)
        if layer in self._blobs():
            self.tables[layer] = draft.getvalue()
        draft.close()

    def discard(self, layers: Sequence[Digest]) -> None:
        for layer in layers:
            self.tables.pop(layer, None)

    def walk(self) -> Iterator[StoredFile]:
        return iter(
            [
                StoredFile(layer.hex, layer, len(table), stat.S_IFREG | 0o444, len(table))
                for layer, table in self.tables.items()
            ]
        )


class MemoryIngest:
    """The staging of one load, import or pull."""

    not_linked = 0  # there are no files

    def __init__(
        self,
        blobs: MemoryBlobs,
        view: Callable[[], View],
        max_layer_size: int | None = None,
        digests_only: Callable[[], bool] | None = None,
        uploads: MemoryUploads | None = None,
    ) -> None:
        """`uploads`: where blobs that were uploaded are looked for; None: nowhere."""
        self._view, self._uploads = view, uploads
        found = PinningLookups(view, self.has, self.open)
        self.read, self.manifest_of = found.read, found.manifest_of
        self.layer, self.layer_with_diff_id = found.layer, found.layer_with_diff_id
        self.add_layer, self.layers = found.add_layer, found.layers
        self._digests_only = asked_once(digests_only)
        self._blobs = blobs
        self.max_layer_size = max_layer_size
        self._staged: dict[Digest, bytes] = {}  # new here
        self._pinned: dict[Digest, bytes] = {}  # found in the store
        self.named: list[Digest] = []

    @property
    def digests_only(self) -> bool:
        """Whether a layer that comes compressed is held to its digest and size, and not read."""
        return self._digests_only()

    # Look-ups that pin

    def has(self, digest: Digest) -> int | None:
        data = self._here(digest)
        if data is None:
            size = self._view().blob_size(digest)
            if size is None or self._blobs.size(digest) != size:
                return self._take_up(digest)
            data = self._pinned[digest] = self._blobs.open(digest).read()
        return len(data)

    def _take_up(self, digest: Digest) -> int | None:
        data = self._uploads.content(digest) if self._uploads is not None else None
        if data is None:
            return None
        self._staged[digest] = data
        return len(data)

    def _here(self, digest: Digest) -> bytes | None:
        return self._staged.get(digest, self._pinned.get(digest))

    # Staging

    def open(self, digest: Digest) -> IO[bytes]:
        if self.has(digest) is None:
            raise Damaged(f"blob {digest} is missing")
        return BytesIO(self._here(digest) or b"")

    def add(self, data: bytes) -> Digest:
        digest = sha256(data)
        if self.has(digest) is None:
            self._staged[digest] = data
        return digest

    def draft(self, digest: Digest | None = None) -> MemoryDraft:
        return MemoryDraft(self._staged)

    def adopt(self, path: str, digest: Digest, size: int) -> bool:
        return self.has(digest) is not None  # there are no files to link

    def scratch(self) -> IO[bytes]:
        return BytesIO()

    def keep_only(self, wanted: set[Digest]) -> None:
        for digest in self._staged.keys() - wanted:
            del self._staged[digest]

    # The commit, and the end

    def flush(self) -> None:
        """Memory is as durable as it gets."""

    def publish(self, known_among: Callable[[Sequence[Digest]], set[Digest]]) -> None:
        known = known_among(list(self._staged))
        self.named = [digest for digest in self._staged if digest not in known]
        for digest, data in (*self._staged.items(), *self._pinned.items()):
            if digest not in known or self._blobs.size(digest) != len(data):
                self._blobs.put(digest, data)

    def close(self, *, keep_parts: bool = False, drop_uploads: bool = False) -> list[str]:
        for digest, data in self._staged.items() if drop_uploads else ():
            if self._uploads is not None:
                self._uploads.drop(digest, data)
        self._staged.clear()
        self._pinned.clear()
        return []


class MemoryDraft:
    """A blob being written."""

    offset = 0  # nothing is left of an earlier attempt

    def __init__(self, staged: dict[Digest, bytes]) -> None:
        self._staged = staged
        self._data = bytearray()

    def reread(self) -> IO[bytes]:
        return BytesIO(bytes(self._data))

    def write(self, data: bytes | memoryview) -> int:
        self._data += data
        return len(data)

    def seal(self, digest: Digest, size: int) -> None:
        if len(self._data) != size:
            raise Refused(f"blob {digest} has {len(self._data)} bytes, not {size}")
        self._staged.setdefault(digest, bytes(self._data))

    def discard(self) -> None:
        self._data = bytearray()

    def leave(self) -> None:
        self.discard()
