"""What the tag index keeps of images and of layers.

What rmi and tag ask of it is in state.py, which they import alone.
"""

from __future__ import annotations

from casstore.model.state import SETTLED
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference

    # By key, how many characters of the value are wanted.
    LabelRoom = Mapping[str, int]


class LayerRecord(Value):
    """A layer blob, with what only decompressing it can tell, or what is promised of that."""

    digest: Digest  # of the blob as stored
    size: int  # bytes as stored
    media_type: str
    diff_id: Digest  # of the uncompressed tar
    diff_size: int  # bytes of the uncompressed tar
    file_bytes: int  # sum of its regular files' sizes, a hard link counted once: Docker's SIZE
    state: int = SETTLED  # PROMISED, SETTLED or BROKEN


class ImageFacts(Value):
    """What filters and listings need to know of an image."""

    id: Digest
    parent: Digest | None
    created: int | None  # nanoseconds since 1970
    size: int  # file bytes of all layers
    labels: tuple[tuple[str, str], ...]


class StoredImage(Value):
    """What the index keeps of an image itself, whatever forms it is stored in.

    Each field is a column of the table of images, and of those that the trash keeps.
    """

    id: Digest
    parent: Digest | None  # image ID
    created: int | None  # nanoseconds since 1970
    size: int  # file bytes of all layers
    os: str
    architecture: str
    variant: str
    labels: Iterable[tuple[str, str]]  # sorted by key
    arrived: int | None  # when the store took it in, nanoseconds since 1970; None: nobody knows


def wanted_labels(
    labels: Iterable[tuple[str, str]], room: LabelRoom | None
) -> tuple[tuple[str, str], ...]:
    """What `room` asks for of an image's labels; all of them where it is None."""
    if room is None:
        return tuple(labels)
    return tuple([(key, value[: room[key]]) for key, value in labels if key in room])


class Listed(Value):
    """An image with what a list wants to know of it."""

    facts: ImageFacts
    names: tuple[Reference, ...]  # in attach order
    own_size: int  # bytes that it adds to its parent
    children: int
    pinned: bool
    settled: bool = True  # whether all of its layers are SETTLED
