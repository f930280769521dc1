"""The tables of contents of a store: is each of a blob that is there, and can it be used?

They are derived, so a bad one does not count as damage: the next reader makes it again.
"""

from __future__ import annotations

import stat

from casstore.model.digest import Digest
from casstore.model.findings import NOTE, Finding
from casstore.transfer.contentstable import ContentsTable, Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from casstore.backends.local.directory import LocalStore

BAD, ORPHAN, STRANGER = "table-bad", "table-orphan", "table-name-bad"


def table_findings(disk: LocalStore, *, content: bool) -> Iterator[Finding]:
    """What is to be said of the tables; with `content` all of each is read."""
    for file in disk.contents.walk():
        if file.digest is None:
            name = f"contents/{file.name}"
            yield Finding(NOTE, STRANGER, name, "no digest; not part of the store")
        elif not stat.S_ISREG(file.mode):
            yield Finding(NOTE, BAD, file.digest, "not a regular file; fsck --repair")
        elif disk.blobs.size(file.digest) is None:
            yield Finding(NOTE, ORPHAN, file.digest, "the layer is gone; gc removes it")
        elif not _is_usable(disk, file.digest, content=content):
            text = "the table of contents of this layer is damaged; the next reader makes it again"
            yield Finding(NOTE, BAD, file.digest, text)


def _is_usable(disk: LocalStore, layer: Digest, *, content: bool) -> bool:
    file = disk.contents.open(layer)
    if file is None:
        return True  # it went meanwhile, or is another user's
    try:
        with ContentsTable(file, layer) as table:
            if content:
                table.verify()
    except Unusable:
        return False
    return True


def remove_bad_tables(disk: LocalStore, findings: Iterable[Finding]) -> list[str]:
    """Remove the tables that were found bad, or without a layer; a line for each that is gone."""
    bad = {Digest(one.object) for one in findings if one.code in (BAD, ORPHAN)}
    disk.contents.discard(list(bad))
    left = {file.digest for file in disk.contents.walk()}
    return [f"the table of contents of layer {layer} removed" for layer in sorted(bad - left)]
