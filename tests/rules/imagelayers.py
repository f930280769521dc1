"""Layers made in code, and an image as a plain dictionary: what tests compare with."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from casstore.model.fileentry import (
    DIRECTORY,
    FILE,
    HARD_LINK,
    OPAQUE,
    ROOT,
    SYMLINK,
    WHITEOUT,
    FileEntry,
    sort_key,
)
from casstore.rules.merge import Found, implied_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_IN_ONE_NAME = {WHITEOUT: 0, OPAQUE: 1}


class Listed:
    """The contents of a layer as a list."""

    def __init__(self, entries: Iterable[FileEntry]) -> None:
        self._entries = sorted(
            entries, key=lambda one: (sort_key(one.name), _IN_ONE_NAME.get(one.kind, 2))
        )
        self._keys = [sort_key(entry.name) for entry in self._entries]
        self.seeks = 0

    def entries(self, start: bytes = b"") -> Iterator[FileEntry]:
        self.seeks += 1
        yield from self._entries[bisect_left(self._keys, sort_key(start)) :]

    def at(self, name: bytes) -> Sequence[FileEntry]:
        return [entry for entry in self._entries if entry.name == name]

    def __repr__(self) -> str:
        return f"Listed({[(one.name, one.kind, one.target) for one in self._entries]})"

    @property
    def hard_links(self) -> Sequence[FileEntry]:
        return [entry for entry in self._entries if entry.kind == HARD_LINK]


def entry(name: str, kind: str = FILE, target: str = "", mode: int = 0o644) -> FileEntry:
    inode = int.from_bytes(name.encode(), "big") if kind != HARD_LINK else 1
    return FileEntry(name.encode(), kind, mode, 0, 0, 0, 0, target.encode(), order=1, inode=inode)


def layer(*described: str) -> Listed:
    """Entries in short: `d/` a directory, `-x` a whiteout, `!d` opaque, `x>y` a symbolic link,
    `x=y` a hard link, else a file."""
    entries = []
    for text in described:
        if text.endswith("/"):
            entries.append(entry(text[:-1], DIRECTORY, mode=0o700))
        elif text.startswith("-"):
            entries.append(entry(text[1:], WHITEOUT))
        elif text.startswith("!"):
            entries.append(entry(text[1:], OPAQUE))
        elif ">" in text:
            name, _, target = text.partition(">")
            entries.append(entry(name, SYMLINK, target))
        elif "=" in text:
            name, _, target = text.partition("=")
            entries.append(entry(name, HARD_LINK, target))
        else:
            entries.append(entry(text))
    return Listed(entries)


# Any image, as a dictionary that layer after layer is applied to

_PARTS = ("a", "b", "a-", "c")
any_name = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=3).map("/".join)
_marks = st.sampled_from(["", "/", "-", "!", ">", "="])


@st.composite
def any_layer(draw: st.DrawFn) -> Listed:
    described: dict[tuple[str, str], FileEntry] = {}
    solid: dict[str, str] = {}  # name -> kind, of what is not a directory
    for name, mark in draw(st.lists(st.tuples(any_name, _marks), max_size=8)):
        if mark in ("-", "!"):
            kind = WHITEOUT if mark == "-" else OPAQUE
            described[name, kind] = entry(name, kind)
            continue
        kind = {"": FILE, "/": DIRECTORY, ">": SYMLINK, "=": HARD_LINK}[mark]
        target = draw(any_name) if mark in (">", "=") else ""
        described[name, ""] = entry(name, kind, target)
        solid[name] = kind
    files = {name for name, kind in solid.items() if kind != DIRECTORY}
    # one layer has nothing below what is no directory: the table of a layer sees to that
    return Listed(
        one
        for (name, _), one in described.items()
        if not any(
            name.startswith(f"{file}/") or (name == file and one.kind == OPAQUE) for file in files
        )
    )


class Plain:
    """An image as a dictionary, to which layer after layer is applied."""

    def __init__(self) -> None:
        self.files: dict[bytes, Found] = {ROOT: implied_directory(ROOT)}

    def apply(self, number: int, contents: Listed) -> None:
        before = MergedTreeOf(self.files)
        entries = list(contents.entries())
        for one in entries:
            if one.kind in (WHITEOUT, OPAQUE):
                self._remove(one.name, itself=one.kind == WHITEOUT)
        for one in entries:
            if one.kind in (WHITEOUT, OPAQUE):
                continue
            self._directories(one.name)
            found = Found(number, one)
            if one.kind == HARD_LINK:
                found = before.linked(found)
            if one.kind != DIRECTORY:
                self._remove(one.name, itself=True)
            self.files[one.name] = found

    def share(self, layers: list[Listed]) -> None:
        """Mark the files that a hard link of a layer above is, be that hidden or not."""
        joined = set()
        for number in range(len(layers)):
            lower = Plain()
            for below, contents in enumerate(layers[:number]):
                lower.apply(below, contents)
            tree = MergedTreeOf(lower.files)
            for link in layers[number].hard_links:
                found = tree.linked(Found(number, link))
                joined.add((found.layer, found.entry.inode))
        for name, found in self.files.items():
            if found.entry.kind != DIRECTORY and (found.layer, found.entry.inode) in joined:
                self.files[name] = Found(found.layer, found.entry._replace(shared=True))

    def _directories(self, name: bytes) -> None:
        parts = name.split(b"/")
        for count in range(1, len(parts)):
            above = b"/".join(parts[:count])
            if above not in self.files or self.files[above].entry.kind != DIRECTORY:
                self.files[above] = implied_directory(above)

    def _remove(self, name: bytes, *, itself: bool) -> None:
        for one in list(self.files):
            if one.startswith(name + b"/") or (itself and one == name):
                del self.files[one]


class MergedTreeOf:
    """What hard links are looked up in: a copy of the dictionary."""

    def __init__(self, files: dict[bytes, Found]) -> None:
        self._files = dict(files)

    def linked(self, found: Found) -> Found:
        name = self._resolve(found.entry.target)
        target = self._files.get(name) if name is not None else None
        if target is None or target.entry.kind == DIRECTORY:
            return Found(-2, found.entry)  # nothing that there is
        return Found(target.layer, target.entry._replace(name=found.entry.name, shared=True))

    def _resolve(self, name: bytes) -> bytes | None:
        *way, last = name.split(b"/")
        at, links = b"", 0
        while way:
            here = (at + b"/" if at else b"") + way.pop(0)
            found = self._files.get(here)
            if found is not None and found.entry.kind == SYMLINK:
                links += 1
                if links > 40:
                    return None
                way[:0] = found.entry.target.split(b"/")
            elif found is None or found.entry.kind != DIRECTORY:
                return None
            else:
                at = here
        return (at + b"/" if at else b"") + last


def is_whole(files: Iterable[Found]) -> bool:
    return all(one.layer != -2 for one in files)
