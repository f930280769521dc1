"""What whoever walks an image tree checks: how large it may be, each size and each digest.

And which manifest of an index a platform means. `imagetree.py` makes records of what it walks over;
a copy between registries and layouts needs none, and starts the sooner for it.
"""

from __future__ import annotations

from casstore.errors import NotFound, Refused
from casstore.model import mediatype
from casstore.model.manifest import Index, choose, parse_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.platform import Platform

MAX_INDEX_DEPTH = 8
MAX_DOCUMENTS = 20_000  # manifests, indexes and configs under one name
MAX_LEAVES = 200_000


def is_document(descriptor: Descriptor) -> bool:
    """Whether this leads to a manifest or an index, or to what was one before 2016."""
    kind = descriptor.media_type
    return mediatype.is_manifest(kind) or mediatype.is_index(kind) or kind in mediatype.SCHEMA1


def missing(descriptor: Descriptor) -> Refused:
    """The refusal of a blob that is not there."""
    return Refused(f"blob {descriptor.digest} is missing")


def check_size(descriptor: Descriptor, size: int) -> None:
    """Hold the length of a blob against its descriptor.

    Raises:
        Refused: they differ.
    """
    if size != descriptor.size:
        raise Refused(
            f"blob {descriptor.digest} is {size} bytes long, "
            f"but its descriptor says {descriptor.size}"
        )


def check_digest(descriptor: Descriptor, got: Digest) -> None:
    """Hold the digest of a blob's bytes against its descriptor.

    Raises:
        Refused: they differ.
    """
    if got != descriptor.digest:
        raise Refused(f"blob {descriptor.digest} has other content: its digest is {got}")


def manifest_for(
    top: Descriptor, platform: Platform, read: Callable[[Descriptor], bytes]
) -> Descriptor:
    """The manifest for a platform: `top` itself, unless it is an index.

    Args:
        top: a manifest or an index, which may have indexes in it.
        platform: what it has to run on, as `choose` has it.
        read: the bytes of an index.

    Raises:
        NotFound: the index has none for the platform.
        Refused: an index is wrong, or they are nested too deep.
    """
    for _ in range(MAX_INDEX_DEPTH):
        if not mediatype.is_index(top.media_type):
            return top
        document = parse_document(read(top), top)
        assert isinstance(document, Index)
        entry = choose(document.manifests, platform)
        if entry is None:
            from casstore.model.platform import shown

            raise NotFound(
                f"no matching manifest for {shown(platform)} in the manifest list entries"
            )
        top = entry.descriptor
    raise Refused(f"indexes are nested more than {MAX_INDEX_DEPTH} deep")
