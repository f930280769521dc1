"""What a layer says, by replaying its tar on a tree in memory: slow, and easy to believe."""

from __future__ import annotations

from casstore.model.fileentry import (
    DIRECTORY,
    HARD_LINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
    FileEntry,
    parent_of,
    sort_key,
)


class NotPossible(Exception):
    """A hard link to a directory, or something else in the place of the root."""


def ancestors(name: bytes) -> list[bytes]:
    found = []
    while name:
        name = parent_of(name)
        found.append(name)
    return found


class ModelLayer:
    """Entries are put in the order of the tar; `contents` says what is left."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, FileEntry] = {}
        # What became a directory without an entry. A hard link to it is what it was, but nobody
        # goes through a link of that kind.
        self.implied: dict[bytes, FileEntry] = {}
        self.dead: set[bytes] = set()  # names of such links
        self.hidden: set[bytes] = set()  # names that have been no directory
        self.markers: dict[tuple[bytes, str], FileEntry] = {}

    def put(self, entry: FileEntry) -> None:
        """`entry` has its name as the tar's reader gives it."""
        directory, _, last = entry.name.rpartition(b"/")
        if any(part.startswith(b".wh..wh.") for part in directory.split(b"/")):
            return
        if last == b".wh..wh..opq":
            self._mark(self.follow(directory), OPAQUE, entry)
        elif last.startswith(b".wh."):
            if last not in {b".wh.", b".wh..", b".wh..."} and not last.startswith(b".wh..wh."):
                self._mark(join(self.follow(directory), last[4:]), WHITEOUT, entry)
        else:
            self._put(join(self.follow(directory), last), entry)

    def _mark(self, name: bytes, kind: str, entry: FileEntry) -> None:
        order = entry.order
        marker = FileEntry(name, kind, 0, 0, 0, 0, 0, order=order, inode=order)
        self.markers[name, kind] = marker

    def _put(self, name: bytes, entry: FileEntry) -> None:
        if not name and entry.kind != DIRECTORY:
            raise NotPossible
        entry = entry._replace(name=name)
        link = self._with_target(entry) if entry.kind == HARD_LINK else None
        is_dead = link is not None and not self._is_live(link)
        if link is not None:
            entry = self._linked(link)
        for above in ancestors(name):
            node = self.nodes.get(above)
            if node is not None and node.kind != DIRECTORY:
                self.implied[above] = self.nodes.pop(above)
        if entry.kind != DIRECTORY:
            self._clear(name)
            self.hidden.add(name)
        self.implied.pop(name, None)
        self.dead.discard(name)
        if is_dead:
            self.dead.add(name)
        self.nodes[name] = entry

    def _is_live(self, link: FileEntry) -> bool:
        """Whether what a hard link leads to can be gone through."""
        return link.target in self.nodes and link.target not in self.dead

    def _with_target(self, link: FileEntry) -> FileEntry:
        directory, _, last = link.target.rpartition(b"/")
        return link._replace(target=join(self.follow(directory), last))

    def _linked(self, link: FileEntry) -> FileEntry:
        target = link.target
        there = self.nodes.get(target, self.implied.get(target))
        if not target or (there is not None and there.kind == DIRECTORY):
            raise NotPossible
        if there is None:
            return link._replace(target=target)
        if there.kind == HARD_LINK:
            return link._replace(target=there.target)
        if target in self.nodes:
            self.nodes[target] = there._replace(shared=True)
        return there._replace(name=link.name, order=link.order, shared=True)

    def _clear(self, name: bytes) -> None:
        for some in (self.nodes, self.implied):
            for one in [one for one in some if name in ancestors(one)]:
                del some[one]
        self.hidden = {one for one in self.hidden if name not in ancestors(one)}

    def follow(self, directory: bytes) -> bytes:
        """Where a directory is, with links of this layer followed inside the root."""
        found, ahead, hops = b"", directory.split(b"/"), 0
        while ahead:
            part = ahead.pop(0)
            if part == b"..":
                found = parent_of(found)
            elif part not in {b"", b"."}:
                node = self.nodes.get(join(found, part))
                place = join(found, part)
                is_link = node is not None and node.kind == SYMLINK and place not in self.dead
                if node is not None and is_link and hops < 40:
                    hops += 1
                    found = b"" if node.target.startswith(b"/") else found
                    ahead = node.target.split(b"/") + ahead
                else:
                    found = join(found, part)
        return found

    def contents(self) -> list[FileEntry]:
        """Sorted, with at most one marker of a kind and one other of each name."""
        found = {
            key: marker
            for key, marker in self.markers.items()
            if not self.hidden & set(ancestors(marker.name))
        }
        for name in self.hidden:
            node = self.nodes.get(name)
            below = [one.order for one in self.nodes.values() if name in ancestors(one.name)]
            if (name, OPAQUE) in found:
                continue
            if node is not None and node.kind == DIRECTORY:
                order = node.order
            elif node is None and below:
                order = 0  # of any of them
            else:
                continue
            found[name, OPAQUE] = FileEntry(name, OPAQUE, 0, 0, 0, 0, 0, order=order, inode=order)
        for name, node in self.nodes.items():
            found[name, ""] = node
        rank = {WHITEOUT: 0, OPAQUE: 1, "": 2}
        return [
            found[key] for key in sorted(found, key=lambda key: (sort_key(key[0]), rank[key[1]]))
        ]


def join(directory: bytes, last: bytes) -> bytes:
    return directory + b"/" + last if directory and last else directory or last
