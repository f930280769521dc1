"""The symbolic links that a layer has so far, and where a directory is that is named through them.

`lib -> usr/lib`, then `lib/x`, in one tar: whoever unpacks it writes `usr/lib/x`. So a name whose
directories are links of the same layer is another name. Links are followed inside the root, never
out of it, and a limited number of times; what a link leads to need not be there.
"""

from __future__ import annotations

from casstore.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest

MAX_HOPS = 40  # links that are followed for one name, as Linux does; after these it is as it is
MAX_LINK_MEMORY = 64 << 20  # bytes, roughly, that the links of a layer may take in memory
# Parts of paths that links put in, of all names of a layer, and more for each name.
FREE_STEPS = 1_000_000
STEPS_EACH = 64

_DIRECTORY, _LINK = 400, 250  # bytes in memory, less the bytes of names

Directory = dict[bytes, "bytes | Directory"]


class InnerLinks:
    """False as long as there are none."""

    def __init__(self, layer: Digest) -> None:
        """`layer` is the blob, for messages."""
        self._layer = layer
        self._root: Directory = {}  # only directories with links in or below them
        self._room = MAX_LINK_MEMORY
        self._steps = FREE_STEPS
        self._last = self._found = b""  # what was followed last

    def __bool__(self) -> bool:
        return bool(self._root)

    def add(self, name: bytes, target: bytes) -> None:
        """A link is there from now on.

        Raises:
            Refused: these are too many.
        """
        self._last = self._found = b""
        *above, last = name.split(b"/")
        node = self._root
        for part in above:
            below = node.get(part)
            if not isinstance(below, dict):
                self._room -= _DIRECTORY + len(part)
                below = node[part] = {}
            node = below
        node[last] = target
        self._room -= _LINK + len(last) + len(target)
        if self._room < 0:
            raise Refused(f"layer {self._layer} has more symbolic links than the limit allows")

    def remove(self, name: bytes, *, directory: bool) -> None:
        """Something else is there from now on; below a directory the links stay."""
        *above, last = name.split(b"/")
        node = self._root
        for part in above:
            below = node.get(part)
            if not isinstance(below, dict):
                if below is not None:  # one that led nowhere is a directory, with something in it
                    del node[part]
                    self._last = self._found = b""
                return
            node = below
        found = node.get(last)
        if found is not None and not (directory and isinstance(found, dict)):
            del node[last]
            self._last = self._found = b""

    def at(self, name: bytes) -> bytes | None:
        """Where the link of that name leads; None if there is none."""
        found: bytes | Directory | None = self._root
        for part in name.split(b"/"):
            if not isinstance(found, dict):
                return None
            found = found.get(part)
        return found if isinstance(found, bytes) else None

    def follow(self, directory: bytes) -> bytes:
        """The directory that is meant, as a name from the root.

        Raises:
            Refused: links of this layer lead on and on.
        """
        self._steps += STEPS_EACH
        if directory == self._last:
            return self._found
        ahead = directory.split(b"/")[::-1]
        parts: list[bytes] = []
        nodes: list[Directory] = [self._root]
        hops = 0
        while ahead:
            part = ahead.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                if parts:
                    parts.pop()
                    nodes.pop()
                continue
            found = nodes[-1].get(part)
            if isinstance(found, bytes) and hops < MAX_HOPS:
                hops += 1
                if found.startswith(b"/"):
                    parts.clear()
                    del nodes[1:]
                more = found.split(b"/")
                self._steps -= len(more)
                ahead += reversed(more)
                continue
            parts.append(part)
            nodes.append(found if isinstance(found, dict) else {})
        if self._steps < 0:
            raise Refused(f"layer {self._layer} has symbolic links that lead on and on")
        self._last, self._found = directory, b"/".join(parts)
        return self._found
