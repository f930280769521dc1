"""Where `copy` copies from and to, in the words of skopeo's transports (containers-transports(5)).

casstore:NAME  NAME              an image of the store
docker://NAME                    an image in a registry
oci:DIRECTORY[:REF]              an OCI layout
oci-archive:FILE[:REF]           a tar of one
docker-archive:FILE[:NAME|:@N]   an archive for docker load; @N is the image at position N, from 0
"""

from __future__ import annotations

from casstore.errors import UsageError, quote
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.annotations import StrPath

STORE, REGISTRY = "casstore", "docker"
OCI, OCI_ARCHIVE, DOCKER_ARCHIVE = "oci", "oci-archive", "docker-archive"
_FILES = (OCI, OCI_ARCHIVE, DOCKER_ARCHIVE)
_UNKNOWN = ("containers-storage", "dir", "docker-daemon", "ostree", "sif", "atomic")


class Place(Value):
    """One end of a copy."""

    transport: str  # one of the constants above
    path: StrPath  # a name for STORE and REGISTRY, else a file or directory
    reference: str  # of an image in a file or directory; empty: the only one

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
    elif colon and transport in _FILES:
        path, _, reference = rest.partition(":")
        place = Place(transport, path, reference)
    elif colon and transport in _UNKNOWN:
        raise UsageError(f"{quote(text)}: the transport {transport}: is not known")
    if not place.path:
        raise UsageError(f"{quote(text)} names nothing")
    return place
