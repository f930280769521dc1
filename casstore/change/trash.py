"""The trash as users see it: what was removed and kept, bringing it back, letting go of it.

An entry is one removal: the names that went, their image, and the untagged parents that went with
it. It comes back as a whole and in one change, or not at all.
"""

from __future__ import annotations

from casstore.errors import Conflict, Damaged, InvalidReference, NotFound, quote
from casstore.model.keys import EMPTY, RESTORE
from casstore.model.reference import parse_name
from casstore.results.trash import EmptiedTrash, RestoreResult, TrashEntry
from casstore.rules.removal import release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.change.commit import Change
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.model.trashed import KeptEntry, KeptImage
    from casstore.ports.backend import Backend
    from casstore.ports.edits import Edits
    from casstore.ports.view import TrashView, View

_MOST_DIGITS = 18
_LEAST_HEX = 6  # of an image ID: a number that is no entry must not mean some image


def list_trash(view: View) -> list[TrashEntry]:
    """Every entry, newest first, each with the bytes that it alone holds."""
    with view.snapshot():
        return [_entry(view, number) for number in view.trash.ids()]


def _entry(view: View, number: int) -> TrashEntry:
    entry = _loaded(view.trash, number)
    freed = release(view, view.trash.held_by(number), {}, [])
    return TrashEntry(
        number,
        tuple(kept.name for image in entry.images for kept in image.names),
        tuple(image.id for image in entry.images),
        entry.removed,
        entry.expires,
        sum(state.size for state in freed),
    )


def _loaded(tables: TrashView, number: int) -> KeptEntry:
    entry = tables.entry(number)
    assert entry is not None, "the number is one that the trash has told"
    return entry


def find_entry(tables: TrashView, text: str) -> int:
    """The entry that an argument means.

    Its number; else the newest entry with that name; else the newest with an image whose ID
    starts so.

    Raises:
        NotFound: there is none.
    """
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        entry = tables.entry(int(text))
        if entry is not None:
            return entry.id
    found = None
    try:
        found = tables.find_name(parse_name(text).reference)
    except InvalidReference:
        pass
    prefix = text.removeprefix("sha256:")
    if (
        found is None
        and _LEAST_HEX <= len(prefix) <= 64
        and all(c in "0123456789abcdef" for c in prefix)
    ):
        found = tables.find_image(prefix)
    if found is None:
        raise NotFound(f"{quote(text)} is not in the trash")
    return found


def restore_entries(
    disk: Backend, change: Change, arguments: Sequence[str], *, name: Reference | None
) -> RestoreResult:
    """Bring entries back, all or none, as part of a change; see `Store.restore`."""
    index = change.index
    tables = index.trash
    entries = [
        _loaded(tables, number)
        for number in dict.fromkeys(find_entry(tables, argument) for argument in arguments)
    ]
    images: list[Digest] = []
    names: list[Reference] = []
    links: list[tuple[Digest, Digest]] = []
    for entry in entries:
        for state in tables.held_by(entry.id):
            _require_bytes(disk, index, state.digest, set())
        for kept in reversed(entry.images):  # parents first, as they once came
            main = kept is entry.images[0]
            wanted = [(one.name, one.manifest, one.tagged) for one in kept.names]
            if name is not None:
                first = wanted[0][1] if wanted else kept.records[0].top.digest
                wanted = [(name, first, change.now)] if main else []
            if _bring_back(index, kept, {manifest for _, manifest, _ in wanted}):
                images.append(kept.id)
                if kept.parent is not None:
                    links.append((kept.id, kept.parent))
                if kept.pinned:
                    index.set_pin(kept.id, pinned=True)
                if not wanted:
                    index.record(RESTORE, kept.id)
            for reference, manifest, tagged in wanted:
                if _is_free(index, reference, kept.id):
                    index.attach(reference, kept.id, manifest, tagged=tagged)
                    index.record(RESTORE, kept.id, reference)
                    names.append(reference)
    for child, parent in links:
        if index.has_image(parent) and not _descends(index, parent, child):
            index.link_parent(child, parent)
    for entry in entries:
        tables.drop(entry.id)
    change.commit()
    return RestoreResult(tuple(images), tuple(names), tuple(change.warnings))


def _bring_back(index: Edits, kept: KeptImage, named: set[Digest]) -> bool:
    """Give an image its row and its manifests; False if it was there, and then only `named`."""
    there = index.has_image(kept.id)
    for record in kept.records:
        if not there or record.top.digest in named:
            index.admit(record)
    return not there


def _is_free(index: Edits, name: Reference, image: Digest) -> bool:
    """Whether a name can be given to an image; False if it has it.

    Raises:
        Conflict: another image has it.
    """
    owner = index.image_named(name)
    if owner is not None and owner != image:
        raise Conflict(
            f"{name.familiar} is the name of image {owner.short} now; remove it there, or restore"
            " under another name: --as NAME",
            forceable=False,
        )
    return owner is None


def _descends(index: Edits, image: Digest | None, ancestor: Digest) -> bool:
    while image is not None and image != ancestor:
        image = index.parent_of(image)
    return image is not None


def _require_bytes(disk: Backend, index: Edits, blob: Digest, seen: set[Digest]) -> None:
    """Raises Damaged unless a blob and all below it are there with their sizes."""
    if blob in seen:
        return
    seen.add(blob)
    if disk.blobs.size(blob) != index.blob_size(blob):
        raise Damaged(f"blob {blob} is missing or of another size; run: casstore fsck")
    for need in index.needs_of(blob):
        _require_bytes(disk, index, need.digest, seen)


def empty_entries(change: Change, arguments: Sequence[str]) -> EmptiedTrash:
    """Let go of entries (of all where none is named), as part of a change."""
    tables = change.index.trash
    numbers = [find_entry(tables, argument) for argument in arguments] or tables.ids()
    numbers = list(dict.fromkeys(numbers))
    freed = sum(tables.drop(number) for number in numbers)
    change.index.record(EMPTY, entries=str(len(numbers)), reclaimed=str(freed))
    change.commit()
    return EmptiedTrash(tuple(numbers), freed, tuple(change.warnings))


def empty_oldest(change: Change, byte_count: int) -> bool:
    """Let go of the oldest entries until that frees so many bytes; False if there was none."""
    tables = change.index.trash
    emptied, freed = False, 0
    while freed < byte_count and (number := tables.oldest()) is not None:
        freed += tables.drop(number)
        emptied = True
    change.commit()
    return emptied
