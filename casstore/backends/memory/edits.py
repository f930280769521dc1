"""A change of a store in memory: edits of a copy of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.backends.imagesizes import sizes_over
from casstore.backends.memory.tables import BlobRow, ImageRow, NameRow, Tables
from casstore.backends.memory.trash import MemoryBin, MemoryTrashEdits
from casstore.backends.memory.view import MemoryView
from casstore.errors import Damaged, NotFound
from casstore.model.event import AGE, MOST, Event
from casstore.model.keys import DELETE, GENERATION, UNTAG
from casstore.model.published import Published
from casstore.model.reference import Reference, subject_of
from casstore.model.state import SETTLED
from casstore.model.trashed import resized
from casstore.rules.removal import plan_unnamed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.record import ImageRecord
    from casstore.model.removal import RemovalPlan

EXPIRED_AT_ONCE = 16  # entries of the trash


class MemoryEdits(MemoryView):
    """The view, and the edits of one transaction."""

    def __init__(
        self,
        tables: Callable[[], Tables],
        put: Callable[[Tables], None],
        *,
        now: int,
        hard: Mapping[Digest, Sequence[str]],
    ) -> None:
        """`put` gives the tables of a commit to everyone."""
        super().__init__(self._present, now=now, hard=hard)
        self._committed, self._put = tables, put
        self._own: Tables | None = None
        self._lost_name: dict[tuple[Digest, Digest], None] = {}
        self._events: list[Event] = []

    def _present(self) -> Tables:
        return self._own if self._own is not None else self._committed()

    def edited(self) -> Tables:
        assert self._own is not None, "an edit outside a transaction"
        return self._own

    # The transaction

    def begin(self) -> None:
        if self._own is None:
            self._own = self._committed().copy()
            self._lost_name = {}

    def commit(self) -> None:
        self.settle()
        tables = self.edited()
        if self._events and tables != self._committed():
            self._write_events(tables)
        self._put(tables)
        self._own = None

    def rollback(self) -> None:
        self._own = None
        self._events = []

    # Events

    def record(
        self, action: str, image: Digest | None = None, name: Reference | None = None, **more: str
    ) -> None:
        self._events.append(Event(self.now, action, image, name, more, None))

    def unwritten_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _write_events(self, tables: Tables) -> None:
        generation = int(tables.meta[GENERATION])
        events = [one._replace(generation=generation) for one in self.unwritten_events()]
        last = tables.events[-1][0] if tables.events else 0
        numbered = (*tables.events, *enumerate(events, last + 1))
        kept = [one for one in numbered[:-1] if one[1].happened >= self.now - AGE]
        tables.events = (*kept[1 - MOST :], numbered[-1])

    def forget_unlinked(self, last: Digest) -> None:
        self.begin()
        self.forget_doomed(last)
        self.commit()

    # Images and names

    def admit(self, image: ImageRecord) -> None:
        tables = self.edited()
        layers = {layer.digest: layer for layer in image.layers}
        fuller = False
        settled: set[Digest] = set()  # layers that were a promise before
        for blob in image.blobs:
            row = tables.blobs.get(blob.digest)
            if row is None:
                layer = layers.get(blob.digest)
                tables.blobs[blob.digest] = BlobRow(blob.size, blob.kind, (), layer)
                tables.doomed -= {blob.digest}
                self._set_children(blob.digest, blob.children)
                fuller = True
                continue
            new = [child for child in blob.children if child not in row.children]
            if new:  # an index that came without some of its platforms before
                whole = set(row.children).issubset(blob.children)
                self._set_children(blob.digest, blob.children if whole else (*row.children, *new))
                fuller = True
            layer = layers.get(blob.digest)
            had = row.layer.state if row.layer is not None else None
            if layer is not None and (had is None or had != SETTLED == layer.state):
                tables.blobs[blob.digest] = row._replace(layer=layer)
                settled.add(blob.digest)
        own = tables.images.get(image.id)
        if own is None:
            own = ImageRow(image.stored(), ())
        elif fuller:
            size = max(own.stored.size, image.size)
            own = own._replace(stored=own.stored._replace(size=size))
        tables.images[image.id] = own
        self._hold(image.id, image.top)
        if image.subject is not None:
            self._add_subject(image.top.digest, image.subject)
        self._resize_images(settled)

    def record_layers(self, found: Iterable[LayerRecord]) -> None:
        tables, written = self.edited(), []
        for layer in found:
            row = tables.blobs.get(layer.digest)
            if row is not None and row.layer is not None and row.layer.state != SETTLED:
                tables.blobs[layer.digest] = row._replace(layer=layer)
                written.append(layer.digest)
        self._resize_images(written)

    def _resize_images(self, layers: Collection[Digest]) -> None:
        """Give the images with some layers, and those in the trash, the size that follows."""
        if not layers:
            return
        tables = self.edited()
        sizes, trashed = sizes_over(self, layers)
        for size, image in sizes:
            row = tables.images[image]
            tables.images[image] = row._replace(stored=row.stored._replace(size=size))
        of_trashed = {image: size for size, image in trashed}
        for number, entry in tables.trash.items():
            tables.trash[number] = resized(entry, of_trashed)

    def _set_children(self, blob: Digest, children: Iterable[Digest]) -> None:
        tables = self.edited()
        row = tables.blobs[blob]
        tables.holders.subtract(row.children)
        tables.blobs[blob] = row._replace(children=tuple(children))
        tables.holders.update(children)

    def _hold(self, image: Digest, top: Descriptor) -> None:
        tables = self.edited()
        row = tables.images[image]
        if any(one.digest == top.digest for one in row.tops):
            return
        held = {one.digest: one for one in (*row.tops, top)}
        tops = tuple(held[blob] for blob in tables.blobs if blob in held)  # oldest first
        tables.images[image] = row._replace(tops=tops)
        tables.holders[top.digest] += 1

    def _add_subject(self, manifest: Digest, subject: Digest) -> None:
        tables = self.edited()
        told = tables.subjects.get(manifest, ())
        if subject not in told:
            tables.subjects[manifest] = (*told, subject)

    def attach(
        self, name: Reference, image: Digest, manifest: Digest, *, tagged: int
    ) -> Digest | None:
        tables = self.edited()
        if all(top.digest != manifest for top in self.tops_of(image)):
            raise NotFound(f"image {image.short} has no manifest {manifest.short}")
        subject = subject_of(name)
        if subject is not None:
            self._add_subject(manifest, subject)
        old = tables.names.get(name)
        if old is not None and old.image == image:
            if old.manifest != manifest:
                tables.names[name] = old._replace(manifest=manifest)
                self._lose_name(name, old)
            return None
        if old is not None:
            del tables.names[name]
            self._lose_name(name, old)
        tables.names[name] = NameRow(image, manifest, tagged)
        return old.image if old is not None else None

    def _lose_name(self, name: Reference, old: NameRow) -> None:
        if subject_of(name) != old.manifest:  # as in the local backend
            self._lost_name[old.image, old.manifest] = None

    def keep_unnamed(self, image: Digest, manifest: Digest) -> None:
        self._lost_name.pop((image, manifest), None)

    def settle(self) -> None:
        while self._lost_name:
            lost, self._lost_name = self._lost_name, {}
            for image, manifest in lost:
                self.apply(plan_unnamed(self, image, manifest))

    def link_parent(self, child: Digest, parent: Digest) -> None:
        if self.has_image(child) and self.has_image(parent):
            self._set_parent(child, parent)

    def _set_parent(self, child: Digest, parent: Digest | None) -> None:
        images = self.edited().images
        row = images[child]
        images[child] = row._replace(stored=row.stored._replace(parent=parent))

    def set_pin(self, image: Digest, *, pinned: bool) -> None:
        tables = self.edited()
        tables.pins = tables.pins | {image} if pinned else tables.pins - {image}

    # Removal

    def expect_many(self) -> None:
        """Nothing is quicker for many."""

    def apply(self, plan: RemovalPlan) -> None:
        tables = self.edited()
        for name in plan.untag:
            row = tables.names.pop(name, None)
            if row is not None:
                self.record(UNTAG, row.image, name)
        for image, manifest in plan.detach:
            held = tables.images[image]
            tops = tuple(top for top in held.tops if top.digest != manifest)
            tables.holders[manifest] -= len(held.tops) - len(tops)
            tables.images[image] = held._replace(tops=tops)
        for image in plan.delete:
            gone = tables.images.pop(image, None)
            if gone is not None:
                tables.holders.subtract(top.digest for top in gone.tops)
                self._forget(image)
                self.record(DELETE, image)
        self._free(plan.free)

    def _forget(self, image: Digest) -> None:
        """What belonged to an image that is gone."""
        tables = self.edited()
        tables.pins -= {image}
        tables.leases = {n: held for n, held in tables.leases.items() if held[0] != image}
        for child in list(self.children_of(image)):
            self._set_parent(child, None)

    def _free(self, blobs: Iterable[Digest]) -> None:
        """Let go of blobs; a document comes before what it needs."""
        tables = self.edited()
        for blob in blobs:
            if tables.holders[blob]:
                raise Damaged(f"blob {blob} is still needed; run: casstore fsck")
            tables.holders.subtract(tables.blobs.pop(blob).children)
            tables.subjects.pop(blob, None)
            tables.doomed |= {blob}

    def free_unneeded(self, blobs: Iterable[Digest]) -> int:
        """Let go of those that nothing holds, and of all below that nothing else does; bytes."""
        tables = self.edited()
        todo, freed = list(blobs), 0
        while todo:
            blob = todo.pop()
            row = tables.blobs.get(blob)
            if row is not None and not tables.holders[blob]:
                self._free([blob])
                freed += row.size
                todo += dict.fromkeys(row.children)
        return freed

    @property
    def trash(self) -> MemoryTrashEdits:
        return MemoryTrashEdits(self)

    def bin(self, *, removed: int, expires: int) -> MemoryBin:
        return MemoryBin(self, removed, expires)

    def drop_expired_trash(self, now: int, *, most: int = EXPIRED_AT_ONCE) -> int:
        return self.trash.drop_expired(now, most=most)

    def has_doomed(self) -> bool:
        return bool(self.tables.doomed)

    def forget_doomed(self, last: Digest) -> None:
        tables = self.edited()
        tables.doomed = frozenset(blob for blob in tables.doomed if blob > last)

    def compact(self) -> None:
        """Memory has no past."""

    # Leases and settings

    def set_lease(self, name: str, image: Digest, expires: int | None) -> None:
        tables = self.edited()
        if image in tables.images:
            tables.leases[name] = (image, expires)

    def drop_lease(self, name: str) -> bool:
        return self.edited().leases.pop(name, None) is not None

    def drop_expired(self, now: int) -> int:
        leases = self.edited().leases
        over = [n for n, (_, expires) in leases.items() if expires is not None and expires <= now]
        for name in over:
            del leases[name]
        return len(over)

    def set_meta(self, key: str, value: str | int) -> None:
        self.edited().meta[key] = value

    def drop_meta(self, key: str) -> None:
        self.edited().meta.pop(key, None)

    # What other tools see: nothing, for there is no file

    def changes(self) -> tuple[list[tuple[Published, Published | None]], list[Published]] | None:
        self.settle()
        return [], []

    def all_published(self) -> Iterator[Published]:
        tables = self.tables
        for name, row in tables.names.items():
            top = self.top_named(name)
            assert top is not None
            yield Published(name, top, self.parent_of(row.image), row.image in tables.pins)
        named = {(row.image, row.manifest) for row in tables.names.values()}
        for image, top in self.all_tops():
            if (image, top.digest) not in named:
                yield Published(None, top, self.parent_of(image), image in tables.pins)
