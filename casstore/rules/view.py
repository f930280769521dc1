"""What a rule may see of a store: look-ups at one moment, and nothing that changes anything."""

from __future__ import annotations

from casstore.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Protocol

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class Attached(Value):
    """A reference on an image, and the manifest that it names."""

    name: Reference
    manifest: Digest


class BlobState(Value):
    """A blob as the index counts it."""

    digest: Digest
    kind: str  # model.record: INDEX, MANIFEST, CONFIG, LAYER, OTHER
    size: int  # bytes as stored
    file_bytes: int  # of a layer: bytes of its regular files; 0 for all else
    refcount: int  # edges to it, and images that hold it


class LeaseOn(Value):
    """A lease on an image: hard while a process lives, soft until it expires."""

    name: str
    hard: bool


class ImageFacts(Value):
    """What filters and listings need to know of an image."""

    id: Digest
    parent: Digest | None
    created: int | None  # nanoseconds since 1970
    size: int  # file bytes of all layers
    labels: tuple[tuple[str, str], ...]


if TYPE_CHECKING:

    class StoreView(Protocol):
        """The store at one moment; it stays true for as long as the lock is held."""

        def image_named(self, name: Reference) -> Digest | None:
            """The image that a reference points to."""

        def has_image(self, image: Digest) -> bool:
            """Whether this image ID is in the store."""

        def images_with_prefix(self, prefix: str) -> Sequence[Digest]:
            """Up to two images whose ID's hex digits start with `prefix`."""

        def references_of(self, image: Digest) -> Sequence[Attached]:
            """References of an image in the order in which they were attached."""

        def parent_of(self, image: Digest) -> Digest | None:
            """The recorded parent."""

        def children_of(self, image: Digest) -> Iterable[Digest]:
            """Images whose recorded parent is `image`; looking for one costs no more than that."""

        def referrers_of(self, manifest: Digest) -> Sequence[Digest]:
            """Images that refer to a manifest or index (as their subject), oldest first."""

        def subjects_of(self, image: Digest) -> Sequence[Digest]:
            """Manifests and indexes of the store that an image refers to."""

        def leases_on(self, image: Digest) -> Sequence[LeaseOn]:
            """Live leases, hard ones first."""

        def is_pinned(self, image: Digest) -> bool:
            """Whether somebody pinned the image."""

        def manifests_of(self, image: Digest) -> Sequence[BlobState]:
            """Manifests (or the index) that the image holds."""

        def needs_of(self, blob: Digest) -> Sequence[BlobState]:
            """What a document needs, in document order; a repeated layer stands repeatedly."""

        def facts_of(self, image: Digest) -> ImageFacts:
            """Facts for filters."""

    class ListingView(StoreView, Protocol):
        """A view that can also go through everything."""

        def all_images(self) -> Sequence[ImageFacts]:
            """Every image, newest `created` first, ties by image ID."""

        def all_references(self) -> Mapping[Digest, list[Reference]]:
            """References by image, each image's in attach order."""

        def all_parents(self) -> set[Digest]:
            """Images that have a child."""

        def all_referrers(self) -> set[Digest]:
            """Images that refer to a manifest or index of the store."""
