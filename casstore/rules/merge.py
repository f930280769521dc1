"""What an image looks like: its layers, put on top of each other.

A name of a layer is there unless a layer above hides it: by a whiteout of the name or of a
directory on the way to it, by an opaque marker on such a directory, or by something else than a
directory in the place of one. A marker hides what lower layers have, never what its own layer has
(OCI image spec, layer.md, "Whiteouts"). Where the spec is silent:

- A directory over a directory keeps what is in it, and its attributes are the upper one's.
- A name in a directory that its own layer does not describe leaves that directory as it is. One
  that no layer describes, or that was something else in the layers below, is root's, with mode 0755
  (as overlay2 has it: a symbolic link of a lower layer is not followed, but becomes a directory).
- A marker makes nothing: not even the directory that it stands in.
- A hard link to a file of a lower layer is that file as it was below the link's own layer. It stays
  when the file's other name is hidden.

Everything is asked of tables that are sorted, so that a walk through a million files keeps no more
than the directories on the way to one of them, and a look at one file reads a few blocks.
"""

from __future__ import annotations

from heapq import merge
from itertools import repeat

from casstore.errors import NotFound, Refused, printable
from casstore.model.fileentry import (
    DIRECTORY,
    HARD_LINK,
    MARKERS,
    OPAQUE,
    ROOT,
    SYMLINK,
    WHITEOUT,
    FileEntry,
    parent_of,
    path_of,
    sort_key,
)
from casstore.model.fileentry import below as name_below
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from casstore.ports.contents import Contents

MAX_LINKS = 40  # symbolic links on the way to a file, as Linux has it
NO_LAYER = -1  # of a directory that no layer describes

_REMEMBERED = 4096  # names whose state is kept between looks
_PATIENCE = 2048  # entries that a listing passes over before it looks for the next name


class Found(Value):
    """A file of an image."""

    layer: int  # which layer has it, from 0 at the bottom; NO_LAYER if none describes it
    entry: FileEntry


class _State(Value):
    """What layers say of one name."""

    found: Found | None  # None: nothing, or a directory that only other names imply
    since: int  # a name below this one makes it a directory from this layer on
    cut: int  # what is below the name counts from this layer on


def implied_directory(name: bytes) -> Found:
    """A directory that no layer describes."""
    return Found(NO_LAYER, FileEntry(name, DIRECTORY, 0o755, 0, 0, 0, 0))


class MergedTree:
    """The files of an image. Names are those of FileEntry: without slashes around them."""

    def __init__(self, layers: Sequence[Contents]) -> None:
        """`layers` bottom first."""
        self._layers = layers
        self._states: dict[bytes, _State] = {}
        self._below: dict[int, MergedTree] = {}  # the image as it was below a layer
        self._joined: set[tuple[int, int]] | None = None  # layer and inode of `_is_joined`

    def walk(self, top: bytes = ROOT, *, depth: int | None = None) -> Iterator[Found]:
        """`top`, and all that is below it, in the order of `sort_key`; symbolic links stay links.

        Nothing comes where `top` is not there.

        Args:
            depth: how many levels below `top` are wanted; None: all.

        Raises:
            Refused: a hard link leads to nothing.
            Damaged, StorageError: as the tables.
        """
        found = self.lookup(top)
        if found is None:
            return
        yield found
        if found.entry.kind == DIRECTORY and depth != 0:
            yield from self._sweep(top, self._state(top).cut, depth)

    def lookup(self, name: bytes) -> Found | None:
        """What has exactly this name; no symbolic link on the way is followed.

        Raises: as `walk`.
        """
        state = self._state(name)
        found = state.found
        if found is not None and found.entry.kind == DIRECTORY:
            return found
        if name == ROOT or self._is_implied(name, state.since):
            return implied_directory(name)
        return self._linked(found) if found is not None else None

    def resolve(self, name: bytes, *, follow_last: bool = True) -> Found:
        """What a name leads to, through symbolic links, none of which leads out of the image.

        Args:
            follow_last: whether a link is followed that the name itself is.

        Raises:
            NotFound: there is nothing.
            Refused: too many links, or as `walk`.
        """
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        at = self.lookup(ROOT)
        links = 0
        while True:
            assert at is not None
            if not parts:
                return at
            part = parts.pop(0)
            here = at.entry.name
            if at.entry.kind != DIRECTORY:
                raise NotFound(f"{shown(here)} is not a directory")
            if part == b"..":
                at = self.lookup(parent_of(here))
                continue
            found = self.lookup(name_below(here, part))
            if found is None:
                raise NotFound(f"No such file in the image: {shown(name_below(here, part))}")
            if found.entry.kind == SYMLINK and (parts or follow_last):
                links += 1
                if links > MAX_LINKS:
                    raise Refused(f"too many symbolic links on the way to {shown(name)}")
                target = found.entry.target
                parts[:0] = [one for one in target.split(b"/") if one not in (b"", b".")]
                if target.startswith(b"/"):
                    at = self.lookup(ROOT)
                continue
            at = found

    def _state(self, name: bytes) -> _State:
        known = self._states.get(name)
        if known is not None:
            return known
        cut = self._state(parent_of(name)).cut if name != ROOT else 0
        state = _State(
            *_state_of(
                [
                    (layer, entry)
                    for layer in range(cut, len(self._layers))
                    for entry in self._layers[layer].at(name)
                ],
                cut,
            )
        )
        if len(self._states) >= _REMEMBERED:
            self._states.clear()
        self._states[name] = state
        return state

    def _is_implied(self, name: bytes, since: int) -> bool:
        """Whether a name below this one makes it a directory."""
        prefix = name + b"/"
        for layer in range(since, len(self._layers)):
            for entry in self._layers[layer].entries(prefix):
                if not entry.name.startswith(prefix):
                    break
                if entry.kind not in MARKERS:
                    return True
        return False

    def _linked(self, found: Found) -> Found:
        """`found`, or the file of a lower layer that it is a hard link to."""
        layer, entry = found
        if entry.kind != HARD_LINK:
            if entry.shared or not self._is_joined(layer, entry.inode):
                return found
            return Found(layer, entry._replace(shared=True))
        target = self._target(layer, entry)
        if target is None or target.entry.kind == DIRECTORY:
            reason = "which the image does not have" if target is None else "a directory"
            raise Refused(
                f"layer {layer + 1}: hard link {shown(entry.name)} leads to"
                f" {shown(entry.target)}, {reason}"
            )
        return Found(target.layer, target.entry._replace(name=entry.name, shared=True))

    def _target(self, layer: int, link: FileEntry) -> Found | None:
        """What a hard link to a lower layer leads to: what was there below its own layer."""
        below = self._below.get(layer)
        if below is None:
            below = self._below[layer] = MergedTree(self._layers[:layer])
            below._below = self._below
            below._joined = set()  # whether the target is shared is known: it is
        try:
            return below.resolve(link.target, follow_last=False)
        except NotFound:
            return None

    def _is_joined(self, layer: int, inode: int) -> bool:
        """Whether a hard link of a layer above is this file."""
        if self._joined is None:
            targets = (
                self._target(number, link)
                for number, contents in enumerate(self._layers)
                for link in contents.hard_links
            )
            self._joined = {(one.layer, one.entry.inode) for one in targets if one is not None}
        return (layer, inode) in self._joined

    def _sweep(self, top: bytes, cut: int, depth: int | None) -> Iterator[Found]:
        """All below a directory, but not itself."""
        prefix = top + b"/" if top else b""
        levels = None if depth is None else prefix.count(b"/") + depth
        way = [_Step(prefix, cut, is_there=True)]  # the directories on the way to the current name
        # The name before, unless it is a directory: the arguments of a step, which few become.
        last: tuple[bytes, int, int, Found | None] | None = None
        passed = 0  # names in a row that are too deep to be wanted
        groups = self._groups(prefix, prefix)
        while True:
            name, group = next(groups, (b"", ()))
            if last is not None:
                if name.startswith(last[0]):
                    way.append(_Step(*last))
                elif last[3] is not None:
                    yield self._linked(last[3])
                last = None
            if not name:
                break
            while not name.startswith(way[-1].prefix):
                step = way.pop()
                if step.instead is not None:
                    yield self._linked(step.instead)
            step = way[-1]
            cut = step.cut
            if not step.is_there:
                yield from _made_by(group, way, levels)
            if cut:
                group = [one for one in group if one[0] >= cut]
                if not group:
                    continue
            if b"/" in name[len(step.prefix) :]:
                yield from _between(way, name, levels, made=_has_files(group))
            if levels is not None and name.count(b"/") >= levels:
                passed += 1
                if passed > _PATIENCE:
                    at_level = b"/".join(name.split(b"/", levels)[:levels])
                    groups = self._groups(at_level + b"\1", prefix)
                    passed = 0
                continue
            passed = 0
            found, since, cut = _state_of(group, cut)
            if found is not None and found.entry.kind == DIRECTORY:
                yield found
                way.append(_Step(name + b"/", cut, is_there=True))
            else:
                last = name + b"/", cut, since, found
        while way:
            step = way.pop()
            if step.instead is not None:
                yield self._linked(step.instead)

    def _groups(
        self, start: bytes, prefix: bytes
    ) -> Iterator[tuple[bytes, Sequence[tuple[int, FileEntry]]]]:
        """Each name from `start` on that begins with `prefix`, with what layers say of it."""
        rows = merge(
            *(zip(repeat(i), layer.entries(start)) for i, layer in enumerate(self._layers)),
            key=_row_key,
        )
        current: bytes | None = None
        group: list[tuple[int, FileEntry]] = []
        for row in rows:
            name = row[1][0]
            if name != current:
                if current:
                    yield current, group
                if not name.startswith(prefix):
                    return
                current, group = name, [row]
            else:
                group.append(row)
        if current:
            yield current, group


class _Step:
    """A directory on the way to a name; or what may become one, if a name below it comes."""

    __slots__ = ("cut", "instead", "is_there", "prefix", "since")

    def __init__(
        self,
        prefix: bytes,
        cut: int,
        since: int = 0,
        instead: Found | None = None,
        *,
        is_there: bool = False,
    ) -> None:
        self.prefix = prefix  # what the names in it begin with
        self.cut, self.since = cut, since  # as of _State
        self.is_there = is_there
        self.instead = instead  # what the name is if it is no directory after all


def _row_key(row: tuple[int, FileEntry]) -> bytes:
    return sort_key(row[1][0])


def _state_of(group: Sequence[tuple[int, FileEntry]], cut: int) -> tuple[Found | None, int, int]:
    """What the entries of one name say together, bottom first; `cut` is that of its directory.

    Returns the fields of a _State. A walk asks this of every name of an image.
    """
    found: Found | None = None
    since = cut
    for row in group:
        layer, entry = row
        kind = entry.kind
        if kind == DIRECTORY:
            found = Found._make(row)
        elif kind == OPAQUE:
            cut = layer
        elif kind == WHITEOUT:
            found, since, cut = None, layer, layer
        else:
            found, since, cut = Found._make(row), layer, layer
    return found, since, cut


def _has_files(group: Sequence[tuple[int, FileEntry]]) -> bool:
    """Whether there is more than markers."""
    return any(entry.kind not in MARKERS for _, entry in group)


def _made_by(
    group: Sequence[tuple[int, FileEntry]], way: list[_Step], levels: int | None
) -> Iterator[Found]:
    """Directories on the way that some layer made by a name in them, be that hidden since."""
    made = max((layer for layer, entry in group if entry.kind not in MARKERS), default=NO_LAYER)
    for step in way:
        if not step.is_there and made >= step.since:
            step.is_there, step.instead = True, None
            if levels is None or step.prefix.count(b"/") <= levels:
                yield implied_directory(step.prefix[:-1])


def _between(way: list[_Step], name: bytes, levels: int | None, *, made: bool) -> Iterator[Found]:
    """Put the directories on the way to `name` that nothing describes; those that come of it."""
    at, cut = len(way[-1].prefix), way[-1].cut
    while (at := name.find(b"/", at)) >= 0:
        at += 1
        if made and (levels is None or name.count(b"/", 0, at) <= levels):
            yield implied_directory(name[: at - 1])
        way.append(_Step(name[:at], cut, cut, is_there=made))


def shown(name: bytes) -> str:
    """A name as messages show it."""
    return printable(path_of(name))
