"""A look at a store in memory."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from casstore.errors import NotFound
from casstore.model.descriptor import LAYER, Descriptor
from casstore.model.kept import ImageFacts, LayerRecord, Listed, wanted_labels
from casstore.model.snapshot import Snapshot
from casstore.model.state import SETTLED, Attached, BlobState, LeaseOn, Naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from casstore.backends.memory.tables import Tables
    from casstore.model.digest import Digest
    from casstore.model.kept import LabelRoom, StoredImage
    from casstore.model.reference import Reference
    from casstore.model.trashed import KeptEntry

_SECOND = 1_000_000_000


class MemoryView:
    """Look-ups in the tables as they were last committed, or, within `snapshot`, at its start."""

    def __init__(
        self, tables: Callable[[], Tables], *, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> None:
        """`now` (ns) decides which soft leases live; `hard` names the live hard ones by image."""
        self._latest = tables
        self._held: list[Tables] = []
        self.now = now
        self._hard = hard

    @property
    def tables(self) -> Tables:
        return self._held[-1] if self._held else self._latest()

    def snapshot(self) -> AbstractContextManager[None]:
        return _Still(self._held, self.tables)

    def with_hard_leases(self, hard: Mapping[Digest, Sequence[str]]) -> MemoryView:
        still = self.tables
        return MemoryView(lambda: still, now=self.now, hard=hard)

    @property
    def trash(self) -> MemoryTrash:
        return MemoryTrash(self)

    # Names and images

    def image_named(self, name: Reference) -> Digest | None:
        row = self.tables.names.get(name)
        return row.image if row is not None else None

    def has_image(self, image: Digest) -> bool:
        return image in self.tables.images

    def images_with_prefix(self, prefix: str) -> Sequence[Digest]:
        return sorted(one for one in self.tables.images if one.hex.startswith(prefix))[:2]

    def references_of(self, image: Digest) -> Sequence[Attached]:
        return [
            Attached(name, row.manifest)
            for name, row in self.tables.names.items()
            if row.image == image
        ]

    def naming_of(self, image: Digest) -> Naming:
        return Naming(self.references_of(image))

    def parent_of(self, image: Digest) -> Digest | None:
        row = self.tables.images.get(image)
        return row.stored.parent if row is not None else None

    def children_of(self, image: Digest) -> Iterator[Digest]:
        images = self.tables.images
        return iter([one for one, row in images.items() if row.stored.parent == image])

    def referrers_of(self, manifest: Digest) -> Sequence[Digest]:
        referring = {of for of, told in self.tables.subjects.items() if manifest in told}
        return [
            image
            for image, row in self.tables.images.items()
            if any(top.digest in referring for top in row.tops)
        ]

    def subjects_of(self, image: Digest) -> Sequence[Digest]:
        tables = self.tables
        told = [
            subject
            for top in self.tops_of(image)
            for subject in tables.subjects.get(top.digest, ())
        ]
        return [blob for blob in tables.blobs if blob in told] if told else []

    def leases_on(self, image: Digest) -> Sequence[LeaseOn]:
        hard = [LeaseOn(name, hard=True) for name in self._hard.get(image, ())]
        soft = [
            LeaseOn(name, hard=False)
            for name, (held, expires) in sorted(self.tables.leases.items())
            if held == image and (expires is None or expires > self.now)
        ]
        return hard + soft

    def is_pinned(self, image: Digest) -> bool:
        return image in self.tables.pins

    def facts_of(self, image: Digest) -> ImageFacts:
        return _facts(self.stored_image(image))

    def stored_image(self, image: Digest) -> StoredImage:
        row = self.tables.images.get(image)
        if row is None:
            raise NotFound(f"image {image.short} is not in the store")
        return row.stored

    def top_named(self, name: Reference) -> Descriptor | None:
        row = self.tables.names.get(name)
        if row is None:
            return None
        tops = self.tables.images[row.image].tops
        return next((top for top in tops if top.digest == row.manifest), None)

    def tops_of(self, image: Digest) -> list[Descriptor]:
        row = self.tables.images.get(image)
        return list(row.tops) if row is not None else []

    def last_tagged(self, image: Digest) -> int | None:
        return max((r.tagged for r in self.tables.names.values() if r.image == image), default=None)

    def names_between(self, low: str, high: str, most: int) -> list[Reference]:
        return sorted(name for name in self.tables.names if low <= name < high)[:most]

    def all_names(self) -> list[Reference]:
        return list(self.tables.names)

    def all_references(self) -> dict[Digest, list[Reference]]:
        found: dict[Digest, list[Reference]] = {}
        for name, row in self.tables.names.items():
            found.setdefault(row.image, []).append(name)
        return found

    def all_images(self, room: LabelRoom | None = None) -> Sequence[ImageFacts]:
        rows = self.tables.images.values()
        return sorted((_facts(row.stored, room) for row in rows), key=_newest_first)

    def all_parents(self) -> set[Digest]:
        parents = {row.stored.parent for row in self.tables.images.values()}
        return {parent for parent in parents if parent is not None}

    def all_referrers(self) -> set[Digest]:
        return {image for image in self.tables.images if self.subjects_of(image)}

    def all_pins(self) -> set[Digest]:
        return set(self.tables.pins)

    def all_leases(self) -> list[tuple[str, Digest, int | None]]:
        return [(name, *held) for name, held in sorted(self.tables.leases.items())]

    def all_tops(self) -> Iterator[tuple[Digest, Descriptor]]:
        return iter([(i, top) for i, row in self.tables.images.items() for top in row.tops])

    def listed_images(self) -> Iterator[Listed]:
        names, facts = self.all_references(), self.all_images()
        sizes = {one.id: one.size for one in facts}
        children = [one.parent for one in facts]
        pins = self.tables.pins
        unsettled = {
            image
            for layer in self.unsettled_layers()
            for image in self.images_needing(layer.digest)
        }
        for one in facts:
            below = sizes[one.parent] if one.parent is not None else None
            own = max(one.size - below, 0) if below is not None else one.size
            attached = tuple(names.get(one.id, ()))
            yield Listed(
                one, attached, own, children.count(one.id), one.id in pins, one.id not in unsettled
            )

    def refers(self, image: Digest) -> bool:
        return bool(self.subjects_of(image))

    # Blobs

    def _state(self, blob: Digest) -> BlobState:
        row = self.tables.blobs[blob]
        files, state = 0, SETTLED
        if row.layer is not None:
            files, state = row.layer.file_bytes, row.layer.state
        return BlobState(blob, row.kind, row.size, files, self.tables.holders[blob], state)

    def manifests_of(self, image: Digest) -> Sequence[BlobState]:
        return [self._state(top.digest) for top in self.tops_of(image)]

    def needs_of(self, blob: Digest) -> Sequence[BlobState]:
        row = self.tables.blobs.get(blob)
        return [self._state(child) for child in row.children] if row is not None else []

    def needs_and_layers_of(self, blob: Digest) -> list[tuple[Digest, LayerRecord | None]]:
        blobs = self.tables.blobs
        row = blobs.get(blob)
        return [(child, blobs[child].layer) for child in row.children] if row is not None else []

    def blob_state(self, blob: Digest) -> BlobState | None:
        return self._state(blob) if blob in self.tables.blobs else None

    def blob_size(self, blob: Digest) -> int | None:
        row = self.tables.blobs.get(blob)
        return row.size if row is not None else None

    def blobs_with_prefix(self, prefix: str) -> Sequence[Digest]:
        return sorted(one for one in self.tables.blobs if one.hex.startswith(prefix))[:2]

    def layer(self, blob: Digest) -> LayerRecord | None:
        row = self.tables.blobs.get(blob)
        return row.layer if row is not None else None

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None:
        fitting = [o for o in self.all_layers() if o.diff_id == diff_id and o.state == SETTLED]
        return min(fitting, key=lambda one: one.size, default=None)

    def holders_of(self, manifest: Digest) -> list[Digest]:
        return [image for image, top in self.all_tops() if top.digest == manifest]

    def needed_by(self, blob: Digest) -> list[Digest]:
        return [
            document
            for document, row in self.tables.blobs.items()
            for child in row.children
            if child == blob
        ]

    def images_needing(self, blob: Digest) -> list[Digest]:
        found = dict.fromkeys(self.holders_of(blob))
        for document in dict.fromkeys(self.needed_by(blob)):
            found.update(dict.fromkeys(self.images_needing(document)))
        return list(found)

    def trash_of(self, manifest: Digest) -> list[tuple[Digest, int, int]]:
        return [
            (image.id, number, entry.expires)
            for number, entry in sorted(self.tables.trash.items())
            for image in entry.images
            for record in image.records
            if record.top.digest == manifest
        ]

    def known_among(self, blobs: Sequence[Digest]) -> set[Digest]:
        return set(blobs) & self.tables.blobs.keys()

    def stored_bytes(self) -> int:
        return sum(row.size for row in self.tables.blobs.values())

    def all_blobs(self) -> Iterator[BlobState]:
        return iter([self._state(blob) for blob in self.tables.blobs])

    def digests(self) -> list[bytes]:
        return [blob.raw for blob in self.tables.blobs]

    def all_edges(self) -> Iterator[tuple[Digest, Digest]]:
        blobs = self.tables.blobs
        return iter([(parent, child) for parent, row in blobs.items() for child in row.children])

    def all_layers(self) -> Iterator[LayerRecord]:
        rows = self.tables.blobs.values()
        return iter([row.layer for row in rows if row.kind == LAYER and row.layer is not None])

    def unsettled_layers(self) -> Iterator[LayerRecord]:
        return (layer for layer in self.all_layers() if layer.state != SETTLED)

    def doomed(self) -> Iterator[Digest]:
        return iter(sorted(self.tables.doomed))

    # The rest

    def meta(self, key: str) -> Any:
        return self.tables.meta.get(key)

    def whole(
        self,
        hard: Mapping[Digest, Sequence[str]],
        now: int,
        room: LabelRoom | None = None,
    ) -> Snapshot:
        still = self.tables
        view = MemoryView(lambda: still, now=now, hard=hard)
        images = list(still.images)
        return Snapshot(
            facts=[_facts(row.stored, room) for row in still.images.values()],
            names={image: list(view.references_of(image)) for image in images},
            leases={image: list(view.leases_on(image)) for image in images},
            pinned=still.pins,
            holdings={
                image: [top.digest for top in row.tops] for image, row in still.images.items()
            },
            blobs={state.digest: state for state in view.all_blobs()},
            edges={blob: list(row.children) for blob, row in still.blobs.items() if row.children},
            subjects={manifest: list(told) for manifest, told in still.subjects.items()},
        )


class _Still:
    """Holds a view to the tables of one moment."""

    def __init__(self, held: list[Tables], tables: Tables) -> None:
        self._held, self.tables = held, tables

    def __enter__(self) -> None:
        self._held.append(self.tables)

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self._held.pop()


class MemoryTrash:
    """The trash of a store in memory."""

    def __init__(self, view: MemoryView) -> None:
        self._view = view

    @property
    def _entries(self) -> dict[int, KeptEntry]:
        return self._view.tables.trash

    def ids(self) -> list[int]:
        return sorted(self._entries, reverse=True)

    def entry(self, number: int) -> KeptEntry | None:
        return self._entries.get(number)

    def find_name(self, name: Reference) -> int | None:
        fitting = [
            number
            for number, entry in self._entries.items()
            if any(one.name == name for image in entry.images for one in image.names)
        ]
        return max(fitting, default=None)

    def find_image(self, prefix: str) -> int | None:
        fitting = [
            number
            for number, entry in self._entries.items()
            if any(image.id.hex.startswith(prefix) for image in entry.images)
        ]
        return max(fitting, default=None)

    def held_by(self, number: int) -> list[BlobState]:
        return [
            state
            for image in (self._entries[number].images if number in self._entries else ())
            for record in image.records
            if (state := self._view.blob_state(record.top.digest)) is not None
        ]

    def oldest(self) -> int | None:
        return min(self._entries, default=None)


def _facts(image: StoredImage, room: LabelRoom | None = None) -> ImageFacts:
    wanted = image._replace(labels=wanted_labels(image.labels, room))
    return ImageFacts._make([getattr(wanted, name) for name in ImageFacts._fields])


def _newest_first(image: ImageFacts) -> tuple[int, Digest]:
    return (-(image.created // _SECOND) if image.created is not None else 1 << 62, image.id)
