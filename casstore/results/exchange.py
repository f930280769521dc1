"""What comes in and goes out: loads, pulls and pushes."""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference


class Renamed(Value):
    """A name that pointed to another image before."""

    name: Reference
    old: Digest


class LoadedImage(Value):
    """An image that a load brought, or found present."""

    id: Digest
    names: tuple[Reference, ...]
    renamed: tuple[Renamed, ...]
    changed: tuple[Reference, ...] = ()  # those of the names that are new, or moved here
    kept: tuple[Reference, ...] = ()  # names that it came with, and which stay at another image


class PullResult(Value):
    """What one pull did."""

    images: tuple[LoadedImage, ...]
    warnings: tuple[str, ...] = ()

    @property
    def is_news(self) -> bool:
        """Whether any name is new or points to something else now."""
        return any(image.changed for image in self.images)


class PushedTag(Value):
    """A name that a registry has now."""

    name: Reference
    image: Digest
    digest: Digest  # of the manifest or index
    size: int  # of the manifest or index


class LoadResult(Value):
    """What one load did, image by image in the order of the input."""

    images: tuple[LoadedImage, ...]
    warnings: tuple[str, ...] = ()
