"""Where `copy` copies from and to, in the words of skopeo's transports (containers-transports(5)).

casstore:NAME  NAME      an image of the store
docker://NAME            an image in a registry
TRANSPORT:PATH[:REF]     an image in a file or directory of a format; where the format has a place
                         for one image alone, all behind the first colon is the path

REF is what a layout calls the image; for an archive of Docker's its name, or @N for the image at
position N, from 0.
"""

from __future__ import annotations

import os

from casstore.errors import UsageError, quote
from casstore.startup.value import Value
from casstore.transfer.formats import ONE, format_of, is_transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.parameters import StrPath

STORE, REGISTRY = "casstore", "docker"


class Place(Value):
    """One end of a copy."""

    transport: str  # one of the constants above, or that of a format
    path: StrPath  # a name for STORE and REGISTRY, else a file or directory
    reference: str  # of an image in a file or directory; empty: the only one

    @property
    def is_layout(self) -> bool:
        """Whether it is a directory to which blobs can be added one by one."""
        others = self.transport in (STORE, REGISTRY)
        return not others and format_of(self.transport).is_open

    @property
    def where(self) -> str:
        """`path` as a string."""
        from casstore.model.arguments import path_of

        return path_of(self.path)


def parse_place(text: str) -> Place:
    """Read one end of a copy; a name without a transport is in the store.

    Raises:
        UsageError: an unknown transport, or nothing behind it.
    """
    transport, colon, rest = text.partition(":")
    place = Place(STORE, text, "")
    if colon and transport == REGISTRY:
        if not rest.startswith("//"):
            raise UsageError(f"{quote(text)}: a registry is docker://NAME")
        place = Place(REGISTRY, rest[2:], "")
    elif colon and transport == STORE:
        place = Place(STORE, rest, "")
    elif colon and is_transport(transport):
        form = format_of(transport, text)
        path, _, reference = (rest, "", "") if form.holds == ONE else rest.partition(":")
        place = Place(transport, path, reference)
    if not place.path:
        raise UsageError(f"{quote(text)} names nothing")
    return place


def check_ends(source: Place, target: Place) -> None:
    """Raises UsageError where a copy has no sense: both ends are the same file."""
    same = source.transport == target.transport and source.transport not in (STORE, REGISTRY)
    if same and os.path.realpath(source.where) == os.path.realpath(target.where):
        raise UsageError(f"cannot copy {quote(source.where)} onto itself")
