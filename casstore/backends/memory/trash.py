"""The trash of a store in memory, as a change sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.backends.memory.view import MemoryTrash
from casstore.model.trashed import KeptEntry, KeptImage, KeptName, form_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.backends.memory.edits import MemoryEdits
    from casstore.model.digest import Digest
    from casstore.model.removal import RemovalPlan


class MemoryTrashEdits(MemoryTrash):
    """The trash within a change."""

    def __init__(self, index: MemoryEdits) -> None:
        super().__init__(index)
        self._index = index

    def put(self, entry: KeptEntry) -> None:
        tables = self._index.edited()
        self.count_holders(entry, 1)
        tables.trash[entry.id] = entry
        tables.last_entry = max(tables.last_entry, entry.id)

    def count_holders(self, entry: KeptEntry, by: int) -> None:
        holders = self._index.edited().holders
        for image in entry.images:
            for record in image.records:
                holders[record.top.digest] += by

    def drop(self, number: int) -> int:
        entry = self._index.edited().trash.pop(number, None)
        if entry is None:
            return 0
        self.count_holders(entry, -1)
        tops = [record.top.digest for image in entry.images for record in image.records]
        return self._index.free_unneeded(dict.fromkeys(tops))

    def drop_expired(self, now: int, *, most: int | None = None) -> int:
        over = sorted((e.expires, n) for n, e in self._entries.items() if e.expires <= now)[:most]
        for _, number in over:
            self.drop(number)
        return len(over)


class MemoryBin:
    """The removals of one command on their way into the trash, those of one image together."""

    def __init__(self, index: MemoryEdits, removed: int, expires: int) -> None:
        self._index, self._times = index, (removed, expires)
        self._numbers: dict[Digest, int] = {}  # by the image removed

    def keep(self, plan: RemovalPlan) -> int | None:
        index = self._index
        tables = index.edited()
        named = [(name, image) for name in plan.untag if (image := index.image_named(name))]
        images = [image for _, image in named] + list(plan.delete)
        if not images:
            return None
        number = self._numbers.get(images[0])
        if number is None:
            tables.last_entry += 1
            number = self._numbers[images[0]] = tables.last_entry
            tables.trash[number] = KeptEntry(number, *self._times, ())
        entry = tables.trash[number]
        kept = {one.id: one for one in entry.images}
        for name, image in named:
            row = tables.names[name]
            one = kept.get(image) or self._image(image)
            names = (*one.names, KeptName(name, row.manifest, row.tagged))
            kept[image] = self._with(one._replace(names=names), [row.manifest])
        for image in plan.delete:
            one = kept.get(image) or self._image(image)
            kept[image] = self._with(one, [top.digest for top in index.tops_of(image)])
        index.trash.put(entry._replace(images=tuple(kept.values())))
        index.trash.count_holders(entry, -1)  # `put` counted these a second time
        return number

    def _image(self, image: Digest) -> KeptImage:
        tables = self._index.edited()
        return KeptImage(image, (), tables.images[image].stored.parent, image in tables.pins, ())

    def _with(self, kept: KeptImage, manifests: Iterable[Digest]) -> KeptImage:
        """The image with these manifests too."""
        tables = self._index.edited()
        row = tables.images[kept.id]
        there = {record.top.digest: record for record in kept.records}
        for top in row.tops:
            if top.digest in manifests and top.digest not in there:
                there[top.digest] = form_of(row.stored, top)
        return kept._replace(records=tuple(there[b] for b in tables.blobs if b in there))
