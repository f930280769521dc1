"""What one layer says by itself: from the entries of its tar to the sorted ones of its table.

The tar is replayed in its order. A name that comes twice is what it was last. What is no directory
removes what was below it; if there is a directory again later, the lower layers' children stay
hidden. Names lead through the symbolic links that the layer has at that point, and hard links to
the files. Markers ("whiteouts") are for lower layers only, wherever they stand.

All that is decided in one pass in the order of names, where a directory comes before what is below
it, and the entries of a name one after the other as the tar had them. A hard link needs a pass
before that, which asks at its target what is there at that time: `layerlinks.py`.

Sources: OCI image spec, layer.md; what dockerd, umoci and podman make of such layers.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from casstore.errors import Refused, quote
from casstore.model.fileentry import (
    DIRECTORY,
    FILE,
    HARD_LINK,
    MARKERS,
    OPAQUE,
    ROOT,
    SYMLINK,
    WHITEOUT,
    FileEntry,
    below,
    sort_key,
)
from casstore.transfer.contenthashes import ContentHashes
from casstore.transfer.contentstable import write_table
from casstore.transfer.entryblocks import MARK, weight
from casstore.transfer.entryruns import EntryRuns, merged
from casstore.transfer.innerlinks import InnerLinks
from casstore.transfer.layerlinks import answer_all, request
from casstore.transfer.tarentries import TarEntries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO, NoReturn

    from casstore.model.digest import Digest

MAX_ENTRIES = 10_000_000  # of the tar of a layer
MAX_DESCRIBED = 4 << 30  # bytes of names, link targets and extended attributes of a layer
MAX_LOWER_LINKS = 65536  # hard links to files of lower layers; a reader has them in memory

_PREFIX = b".wh."
_META = b".wh..wh."
_OPAQUE = b".wh..wh..opq"
_NOTHING = (_PREFIX, _PREFIX + b".", _PREFIX + b"..")
_NAME = itemgetter(0)


def scan_layer(
    pieces: Iterator[bytes],
    layer: Digest,
    out: IO[bytes],
    scratch: Callable[[], IO[bytes]],
    attachment: Callable[[], Iterable[bytes]] = tuple,
) -> None:
    """Read a layer's tar, and write its table of contents.

    Args:
        pieces: the tar, as `FramedReader.pieces` gives it; read to its end even if it is refused.
        layer: the blob's digest.
        out: an empty file.
        scratch: makes an empty file for what memory does not hold.
        attachment: gives what else is to be kept with the table, when all of the tar was read.

    Raises:
        Refused: what it is not a tar, or past a limit; one line that names the layer.
        Damaged: the layer is not what it should be.
        OSError: a file cannot be written.
    """
    hashes = ContentHashes()
    scan = _Scan(pieces, layer, hashes, scratch)
    try:
        try:
            scan.read()
        except Refused:
            for _ in pieces:
                pass  # a blob that is damaged says so at its end
            raise
        write_table(out, layer, scan.settled(), attachment)
    finally:
        scan.close()
        hashes.close()


class _Scan:
    """The entries of a tar, as they are to be sorted."""

    def __init__(
        self,
        pieces: Iterator[bytes],
        layer: Digest,
        hashes: ContentHashes,
        scratch: Callable[[], IO[bytes]],
    ) -> None:
        self._tar = TarEntries(pieces, layer, hashes)
        self._layer, self._hashes = layer, hashes
        self._new_file = scratch
        self._files: list[IO[bytes]] = []
        self._entries = EntryRuns(self._scratch, self._complete)
        self._requests = EntryRuns(self._scratch)  # of hard links
        self._links = InnerLinks(layer)
        self._owed: list[int] = []  # which of the entries in memory the next digests are for

    def close(self) -> None:
        """Close the scratch files."""
        for file in self._files:
            file.close()

    def _scratch(self) -> IO[bytes]:
        file = self._new_file()
        self._files.append(file)
        return file

    def read(self) -> None:
        """Read all of the tar."""
        entries, links, owed = self._entries, self._links, self._owed
        described = 0
        for read in self._tar:
            entry = read
            if b".wh." in read[0]:
                meant = _understood(read)
                if meant is not read and read[1] == FILE and read[6]:
                    owed.append(-1)
                if meant is None:
                    continue
                entry = meant
            if links:
                entry = self._moved(entry)
            kind = entry[1]
            if kind == FILE:
                if entry[6]:
                    owed.append(len(entries.held))
            elif kind == HARD_LINK:
                entry = self._linked(entry)
            if kind not in MARKERS:
                self._note(entry)
            described += weight(entry)
            if described > MAX_DESCRIBED or entry[13] > MAX_ENTRIES:
                self._refuse_size()
            entries.add(entry)

    def _note(self, entry: FileEntry) -> None:
        """From here on this is what its name means."""
        name, kind = entry[0], entry[1]
        if kind != DIRECTORY and name == ROOT:
            raise Refused(f"layer {self._layer} has a {kind} in the place of the root")
        if kind == SYMLINK:
            self._links.add(name, entry.target)
        elif self._links:
            target = self._links.at(entry.target) if kind == HARD_LINK else None
            if target is not None:  # a second name of a symbolic link
                self._links.add(name, target)
            else:
                self._links.remove(name, directory=kind == DIRECTORY)

    def _moved(self, entry: FileEntry) -> FileEntry:
        """An entry under its real name: the links in its directory are followed."""
        name = entry.name
        moved = self._links.follow(name) if entry.kind == OPAQUE else self._followed(name)
        return entry._replace(name=moved) if moved != name else entry

    def _followed(self, name: bytes) -> bytes:
        directory, _, last = name.rpartition(b"/")
        return below(self._links.follow(directory), last) if directory else name

    def _linked(self, entry: FileEntry) -> FileEntry:
        """A hard link with its real target, which is asked what that is."""
        if entry.target == ROOT:
            shown = quote(entry.name.decode("utf-8", "backslashreplace"))
            raise Refused(f"layer {self._layer} has the hard link {shown} to a directory")
        if self._links:
            entry = entry._replace(target=self._followed(entry.target))
        self._requests.add(request(entry))
        return entry

    def _complete(self, entries: list[FileEntry]) -> None:
        """Give files their digests, as far as they have been read."""
        self._tar.flush()
        for at, digest in zip(self._owed, self._hashes.made(), strict=True):
            if at >= 0:
                entry = entries[at]
                entries[at] = FileEntry._make((*entry[:10], digest, *entry[11:]))
        self._owed.clear()

    def _refuse_size(self) -> NoReturn:
        raise Refused(
            f"layer {self._layer} exceeds the limit of {MAX_ENTRIES} entries, or of"
            f" {MAX_DESCRIBED} bytes of names and the like"
        )

    def settled(self) -> Iterator[FileEntry]:
        """What the layer says, sorted."""
        answers = answer_all(self._entries, self._requests, self._scratch, self._layer)
        links = 0
        for entry in _settled(merged(self._entries, *answers)):
            if entry[1] == HARD_LINK:
                links += 1
                if links > MAX_LOWER_LINKS:
                    raise Refused(
                        f"layer {self._layer} exceeds the limit of {MAX_LOWER_LINKS} hard links to"
                        " files of lower layers"
                    )
                yield entry._replace(shared=False)
            else:
                yield entry


def _understood(entry: FileEntry) -> FileEntry | None:
    """The marker that an entry is by its name, or itself; None where it says nothing."""
    directory, _, last = entry.name.rpartition(b"/")
    kind, name = WHITEOUT, below(directory, last[len(_PREFIX) :])
    if b"/" + _META in b"/" + directory:
        return None
    if last.startswith(_META):
        if last != _OPAQUE:
            return None
        kind, name = OPAQUE, directory
    elif not last.startswith(_PREFIX):
        return entry
    elif last in _NOTHING:
        return None
    return FileEntry(name, kind, 0, 0, 0, 0, 0, order=entry.order, inode=entry.order)


def _settled(ordered: Iterator[FileEntry]) -> Iterator[FileEntry]:
    """What is left of entries in the order of their names, and of the tar where names are equal."""
    # Of names above this one that have been no directory: what is below them begins with this, and
    # is gone if it came before that place in the tar.
    above: list[tuple[bytes, int]] = []
    # The name before this one, if it is no directory: unless something below it follows.
    waiting: FileEntry | None = None
    is_opaque, depth = False, 0
    for name, same in groupby(ordered, _NAME):
        key = sort_key(name)
        while above and not key.startswith(above[-1][0]):
            above.pop()
        whiteout, opaque, last, removed = _summary(same, above[-1][1] if above else 0)
        if waiting is not None:
            if len(above) < depth:
                yield waiting
            elif last is None:
                continue
            elif not is_opaque:
                yield _opaque(waiting.name, last.order)
            waiting = None
        if above:
            whiteout = opaque = None  # what is above hides more
        if whiteout is not None:
            yield whiteout
        if opaque is not None:
            yield opaque
        if last is None:
            continue
        if removed:
            above.append((key + b"\0", removed))
        if last[1] != DIRECTORY:
            waiting, is_opaque, depth = last, opaque is not None, len(above)
            continue
        if removed and opaque is None:
            yield _opaque(name, last.order)
        yield last
    if waiting is not None:
        yield waiting


def _summary(
    same: Iterable[FileEntry], gone: int
) -> tuple[FileEntry | None, FileEntry | None, FileEntry | None, int]:
    """What the entries of one name come to, less those that are gone.

    Returns:
        The whiteout, the opaque marker and what else there is; and where it was no directory last.
    """
    whiteout = opaque = last = None
    removed = 0
    for entry in same:
        kind = entry[1]
        if kind == WHITEOUT:
            whiteout = entry
        elif kind == OPAQUE:
            opaque = entry
        elif kind == MARK:
            if last is not None:  # the file that it is about has come just before
                last = last._replace(shared=True)
        elif entry[13] > gone:
            last = entry
            if kind != DIRECTORY:
                removed = entry[13]
    return whiteout, opaque, last, removed


def _opaque(name: bytes, order: int) -> FileEntry:
    return FileEntry(name, OPAQUE, 0, 0, 0, 0, 0, order=order, inode=order)
