"""What the tag index says of an image, a blob or a lease at one moment."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class Attached(Value):
    """A reference on an image, and the manifest that it names."""

    name: Reference
    manifest: Digest


class Naming:
    """The names of one image, so ordered that no question costs more the more names there are.

    An image can have thousands of names, and a removal asks the same of each.
    """

    __slots__ = ("_by_manifest", "_by_repository", "_manifests", "_tags")

    def __init__(self, attached: Iterable[Attached]) -> None:
        """`attached` in attach order."""
        self._manifests: dict[Reference, Digest] = {}
        self._by_manifest: dict[Digest, int] = {}  # how many names it has
        self._by_repository: dict[str, dict[Reference, None]] = {}
        self._tags: dict[str, int] = {}  # by repository
        for name, manifest in attached:
            self._manifests[name] = manifest
            self._by_manifest[manifest] = self._by_manifest.get(manifest, 0) + 1
            repository = name.repository
            self._by_repository.setdefault(repository, {})[name] = None
            self._tags[repository] = self._tags.get(repository, 0) + (name.tag is not None)

    def __len__(self) -> int:
        return len(self._manifests)

    def __iter__(self) -> Iterator[Reference]:
        """References in attach order."""
        return iter(self._manifests)

    def is_single(self) -> bool:
        """Whether the names are so few that an ID may stand for them without force.

        Exactly one; or several with at most one tag, all in one repository.
        """
        if len(self._manifests) == 1:
            return True
        return len(self._by_repository) == 1 and max(self._tags.values()) <= 1

    def going_with(self, name: Reference) -> list[Reference]:
        """Names that go when this one does: a repository's digests go with its last tag."""
        repository = name.repository
        if name.tag is None or self._tags.get(repository, 0) > 1:
            return []
        return [one for one in self._by_repository.get(repository, ()) if one != name]

    def without(self, names: Iterable[Reference]) -> list[Digest]:
        """Manifests that have no name any more when these have gone."""
        going: dict[Digest, int] = {}
        for name in names:
            manifest = self._manifests[name]
            going[manifest] = going.get(manifest, 0) + 1
        return [one for one, count in going.items() if count == self._by_manifest[one]]

    def has_named(self, manifest: Digest) -> bool:
        """Whether a name names this manifest."""
        return manifest in self._by_manifest

    def drop(self, name: Reference) -> None:
        """Take a name away; harmless where it is not there."""
        manifest = self._manifests.pop(name, None)
        if manifest is None:
            return
        repository = name.repository
        self._tags[repository] -= name.tag is not None
        del self._by_repository[repository][name]
        if not self._by_repository[repository]:
            del self._by_repository[repository], self._tags[repository]
        self._by_manifest[manifest] -= 1
        if not self._by_manifest[manifest]:
            del self._by_manifest[manifest]


# What is known of a layer. Its digest and size are always verified; what only decompressing it can
# tell may be put off until the layer is first read.
PROMISED = 0  # the diff ID is what the config says; `file_bytes` are the bytes as stored
SETTLED = 1  # it was read, or came with all of it verified
BROKEN = 2  # it was read, and does not decompress to its end; the rest is as while it was promised


class BlobState(Value):
    """A blob as the index counts it."""

    digest: Digest
    kind: str  # model.record: INDEX, MANIFEST, CONFIG, LAYER, OTHER
    size: int  # bytes as stored
    file_bytes: int  # of a layer: bytes of its regular files; 0 for all else
    refcount: int  # edges to it, and images that hold it
    state: int = SETTLED  # of a layer: PROMISED, SETTLED or BROKEN


class LeaseOn(Value):
    """A lease on an image: hard while a process lives, soft until it expires."""

    name: str
    hard: bool
