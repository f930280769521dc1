"""A look at a store at one moment: what can be asked of it, and nothing that changes it.

Rules need the first of these protocols, what lists or prunes the second, everything else the whole
`View`. Each backend gives the same answers in the same order. Whatever a method cannot do it says
with a CasstoreError: StorageError where reading failed, Damaged where what was read is wrong.
"""

from __future__ import annotations

from casstore.startup.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import ImageFacts, LabelRoom, LayerRecord, Listed, StoredImage
    from casstore.model.reference import Reference
    from casstore.model.snapshot import Snapshot
    from casstore.model.state import Attached, BlobState, LeaseOn, Naming
    from casstore.model.trashed import KeptEntry


class Digests(Protocol):
    """Digests, 32 bytes each, in no order; each time that they are gone through they are read."""

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[bytes]:
        """One after the other."""


class StoreView(Protocol):
    """The store at one moment; it stays true for as long as the lock is held."""

    def image_named(self, name: Reference) -> Digest | None:
        """The image that a reference points to."""

    def has_image(self, image: Digest) -> bool:
        """Whether this image ID is in the store."""

    def images_with_prefix(self, prefix: str) -> Sequence[Digest]:
        """Up to two images whose ID's hex digits start with `prefix`; none if that is not hex."""

    def references_of(self, image: Digest) -> Sequence[Attached]:
        """References of an image in the order in which they were attached."""

    def naming_of(self, image: Digest) -> Naming:
        """The same, for one who asks again after each of many removals; not to be changed."""

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
        """Facts for filters. Raises NotFound: the image is not in the store, or not any more."""


class ListingView(StoreView, Protocol):
    """A view that can also go through everything."""

    def all_images(self, room: LabelRoom | None = None) -> Sequence[ImageFacts]:
        """Every image, newest `created` first, ties by image ID.

        With `room` only what is asked for of the labels: those of all images together may be
        larger than memory.
        """

    def all_references(self) -> Mapping[Digest, list[Reference]]:
        """References by image, each image's in attach order."""

    def all_parents(self) -> set[Digest]:
        """Images that have a child."""

    def all_referrers(self) -> set[Digest]:
        """Images that refer to a manifest or index of the store."""


class TrashView(Protocol):
    """What was removed and kept. Entries are numbered upwards, and no number is used again."""

    def ids(self) -> list[int]:
        """Every entry, newest first."""

    def entry(self, number: int) -> KeptEntry | None:
        """An entry with all that is in it."""

    def find_name(self, name: Reference) -> int | None:
        """The newest entry with this reference."""

    def find_image(self, prefix: str) -> int | None:
        """The newest entry with an image whose ID starts with these hex digits."""

    def held_by(self, number: int) -> list[BlobState]:
        """The manifests that an entry holds, each as often as it holds it."""

    def oldest(self) -> int | None:
        """The number of the oldest entry."""


class View(ListingView, Protocol):
    """All that can be asked of a store."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Hold the view still: until the context ends, all answers are of one moment.

        Within another one, or within a change, it adds nothing.
        """

    @property
    def trash(self) -> TrashView:
        """What was removed and kept."""

    # Names and images

    def top_named(self, name: Reference) -> Descriptor | None:
        """Descriptor of the manifest that a reference names."""

    def tops_of(self, image: Digest) -> list[Descriptor]:
        """Descriptors of the manifests (or the index) that the image holds, oldest first."""

    def stored_image(self, image: Digest) -> StoredImage:
        """All that is kept of an image itself. Raises NotFound."""

    def last_tagged(self, image: Digest) -> int | None:
        """When somebody last tagged the image (ns); 0 or None if nobody did."""

    def names_between(self, low: str, high: str, most: int) -> list[Reference]:
        """References from `low` on and before `high`, the first `most`, sorted."""

    def all_names(self) -> list[Reference]:
        """Every reference, in attach order."""

    def all_pins(self) -> set[Digest]:
        """Pinned images."""

    def all_leases(self) -> list[tuple[str, Digest, int | None]]:
        """Soft leases: name, image, expiry (ns); expired ones too."""

    def all_tops(self) -> Iterator[tuple[Digest, Descriptor]]:
        """Image and the manifest or index that it holds, an image's oldest first."""

    def listed_images(self) -> Iterator[Listed]:
        """Every image with what a list shows, newest first.

        All are of the moment when the first is asked for, and one at a time is in memory.
        """

    def refers(self, image: Digest) -> bool:
        """Whether an image refers to a manifest or index of the store."""

    # Blobs

    def blob_state(self, blob: Digest) -> BlobState | None:
        """A blob as the index counts it, or None for one that it does not know."""

    def blob_size(self, blob: Digest) -> int | None:
        """Bytes as stored, or None for a blob that the index does not know."""

    def blobs_with_prefix(self, prefix: str) -> Sequence[Digest]:
        """Up to two blobs whose digest's hex digits start with `prefix`."""

    def layer(self, blob: Digest) -> LayerRecord | None:
        """The layer with this blob digest."""

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        """A settled layer with this diff ID; the smallest where several compressions are stored."""

    def needs_and_layers_of(self, blob: Digest) -> list[tuple[Digest, LayerRecord | None]]:
        """What a document needs, in document order, each with the layer that it is."""

    def holders_of(self, manifest: Digest) -> list[Digest]:
        """Images that hold a manifest or index."""

    def needed_by(self, blob: Digest) -> list[Digest]:
        """Documents that need a blob."""

    def images_needing(self, blob: Digest) -> list[Digest]:
        """Images that need a blob, directly or through documents; each once."""

    def trash_of(self, manifest: Digest) -> list[tuple[Digest, int, int]]:
        """Removed images that keep a manifest in the trash: image, entry, its end (ns)."""

    def known_among(self, blobs: Sequence[Digest]) -> set[Digest]:
        """Those of the blobs that the index knows."""

    def stored_bytes(self) -> int:
        """Bytes of all blobs that the index knows."""

    def all_blobs(self) -> Iterator[BlobState]:
        """Every blob that the index knows."""

    def digests(self) -> Digests:
        """The digest of every blob that the index knows, looked up whenever it is asked."""

    def all_edges(self) -> Iterator[tuple[Digest, Digest]]:
        """Document and what it needs, each document's in document order."""

    def all_layers(self) -> Iterator[LayerRecord]:
        """Every layer that the index knows."""

    def unsettled_layers(self) -> Iterator[LayerRecord]:
        """Layers that are not settled (promised or broken), in the order in which they came."""

    def doomed(self) -> Iterator[Digest]:
        """Blobs that left the index and whose bytes may still be there, by digest."""

    # The rest

    def meta(self, key: str) -> Any:
        """A setting or a figure of the store's own, None where it is not set."""

    def with_hard_leases(self, hard: Mapping[Digest, Sequence[str]]) -> View:
        """The same look, with live hard leases: their names by image."""

    def whole(
        self,
        hard: Mapping[Digest, Sequence[str]],
        now: int,
        room: LabelRoom | None = None,
    ) -> Snapshot:
        """The whole index in memory, for a rule that looks at every image.

        Args:
            hard: names of live hard leases, by image.
            now: in ns; soft leases that are over by then hold nothing.
            room: what is wanted of the labels.
        """
