"""Hard links to files of the same layer: each is that file, under its own name.

A link joins the file that its target is at that point of the tar. So a request goes to the target,
with the place of the link in the tar, and is answered there in a pass in the order of names. The
target may be a link itself, whose answer has to come first: then the request waits for the next
pass. What is not there at that point is in a lower layer, and stays a hard link.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from casstore.errors import Refused, quote
from casstore.model.fileentry import DIRECTORY, HARD_LINK, OPAQUE, WHITEOUT, FileEntry, sort_key
from casstore.transfer.entryblocks import MARK, REQUEST
from casstore.transfer.entryruns import EntryRuns, merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from casstore.model.digest import Digest

MAX_CHAIN = 40  # hard links to hard links of the same layer


def request(link: FileEntry) -> FileEntry:
    """What asks at the target of a hard link what that is."""
    return link._replace(name=link.target, kind=REQUEST, target=link.name)


def answer_all(
    entries: EntryRuns, requests: EntryRuns, scratch: Callable[[], IO[bytes]], layer: Digest
) -> list[EntryRuns]:
    """What the hard links are, under their names and `order`: to be merged with the entries.

    Besides, a MARK for each file that is linked to. A HARD_LINK to a lower layer is `shared` here.

    Raises:
        Refused: a link to a directory, or too long a chain of links.
    """
    answered: list[EntryRuns] = []
    for _ in range(MAX_CHAIN):
        if not requests:
            return answered
        found, later = EntryRuns(scratch), EntryRuns(scratch)
        # A request comes before what is there from the same place in the tar on.
        _answer(merged(requests, entries, *answered), found, later, layer)
        answered.append(found)
        requests = later
    raise Refused(f"layer {layer} has a chain of more than {MAX_CHAIN} hard links")


def _answer(
    ordered: Iterator[FileEntry], found: EntryRuns, later: EntryRuns, layer: Digest
) -> None:
    # Of names above this one that have been no directory: what is below them begins with this, and
    # at which places of the tar.
    above: list[tuple[bytes, array[int]]] = []
    name, key = None, b""
    there: FileEntry | None = None
    removals = array("q")
    for entry in ordered:
        if entry[0] != name:
            if removals:
                above.append((key + b"\0", removals))
                removals = array("q")
            name, there = entry[0], None
            key = sort_key(name)
            while above and not key.startswith(above[-1][0]):
                above.pop()
        kind = entry[1]
        if kind == REQUEST:
            if there is not None and any(
                _is_removed(there.order, entry.order, places) for _, places in above
            ):
                there = None
            _answer_one(entry, there, found, later, layer)
        elif kind not in (WHITEOUT, OPAQUE, MARK):
            there = entry
            if kind != DIRECTORY:
                removals.append(entry[13])


def _is_removed(made: int, asked: int, removals: Sequence[int]) -> bool:
    """Whether one of the removals, in order, comes between two places."""
    after = bisect_right(removals, made)
    return after < len(removals) and removals[after] < asked


def _answer_one(
    asked: FileEntry,
    there: FileEntry | None,
    found: EntryRuns,
    later: EntryRuns,
    layer: Digest,
) -> None:
    name, target = asked.target, asked.name
    if there is None:
        found.add(asked._replace(name=name, kind=HARD_LINK, target=target, shared=True))
    elif there.kind == DIRECTORY:
        shown = quote(name.decode("utf-8", "backslashreplace"))
        raise Refused(f"layer {layer} has the hard link {shown} to a directory")
    elif there.kind != HARD_LINK:
        found.add(there._replace(name=name, order=asked.order, shared=True))
        found.add(there._replace(kind=MARK))
    elif there.shared:
        found.add(asked._replace(name=name, kind=HARD_LINK, target=there.target, shared=True))
    else:
        later.add(asked)
