"""What *dangling* means, wherever images are listed, counted, filtered or removed by it.

A dangling image has no tag, no image is built on it, and it does not refer to one that is there, as
a signature does. A reference by digest is not a tag.

Source: `docker images -f dangling=true` and `docker image prune`, as recorded.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.model.snapshot import Snapshot


def is_dangling(
    image: Digest,
    names: Iterable[Reference],
    *,
    has_children: bool,
    refers: Callable[[Digest], bool],
) -> bool:
    """Whether an image is dangling.

    Args:
        image: its ID.
        names: all its references.
        has_children: an image is built on it.
        refers: whether an image refers to one that is there; asked last, for it can cost a look.
    """
    return not (has_children or any(name.tag for name in names) or refers(image))


def is_dangling_in(snapshot: Snapshot, image: Digest) -> bool:
    """Whether an image of a snapshot is dangling."""
    return is_dangling(
        image,
        snapshot.names_of(image),
        has_children=any(True for _ in snapshot.children_of(image)),
        refers=lambda image: bool(snapshot.subjects_of(image)),
    )
