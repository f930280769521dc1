"""tree: images under what they are built on.

An image stands under its recorded parent. Where none is recorded, as for all that a registry
brings, layers tell: an image whose layers are the first of another's is what that one is built
on, and first layers that several images share without being an image are a row of their own.
Layers are compared by diff ID, so that compression hides no kinship.

Nothing here recurses: a chain of parents may be as long as a hostile archive likes.
"""

from __future__ import annotations

from casstore.errors import UsageError, quote
from casstore.queries.spacemap import SpaceMap
from casstore.results.space import TreeRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.ports.backend import Backend
    from casstore.ports.view import View

BY = ("layers", "parent")


class _Knot:
    """A place in the tree: an image, or first layers that several images share."""

    __slots__ = ("below", "chain", "image", "images", "stored")

    def __init__(self, image: Digest | None, chain: tuple[Digest, ...]) -> None:
        self.image = image
        self.chain = chain  # blobs, bottom first
        self.below: list[_Knot] = []
        self.images = 0  # anywhere under it
        self.stored = 0  # bytes of all layers that it and all under it add


class _Stem:
    """A run of layers that some image begins with, and the images that consist of just that."""

    __slots__ = ("branches", "chain", "images")

    def __init__(self, chain: tuple[Digest, ...]) -> None:
        self.chain = chain
        self.branches: dict[Digest, _Stem] = {}
        self.images: list[Digest] = []


def image_tree(disk: Backend, view: View, now: int, *, by: str) -> list[TreeRow]:
    """The rows of the tree, a row before those under it; see `Store.tree`."""
    if by not in BY:
        raise UsageError(f"cannot order a tree by {quote(by)}: use one of {', '.join(BY)}")
    space = SpaceMap(disk, view, now)
    knots = {facts.id: _Knot(facts.id, space.chain(facts.id)) for facts in space.images}
    for facts in space.images:
        if facts.parent is not None:
            knots[facts.parent].below.append(knots[facts.id])
    free = [facts.id for facts in space.images if facts.parent is None]
    roots = [knots[image] for image in free] if by == "parent" else _by_layers(space, knots)
    return _rows(space, roots)


def _by_layers(space: SpaceMap, knots: dict[Digest, _Knot]) -> list[_Knot]:
    """Put every image without a recorded parent where its layers say; returns the roots."""
    root = _Stem(())
    stems = [root]  # a stem before its branches
    for facts in space.images:
        at = root
        chain = knots[facts.id].chain
        for height, layer in enumerate(chain, start=1):
            key = space.layers[layer].diff_id if layer in space.layers else layer
            branch = at.branches.get(key)
            if branch is None:
                branch = at.branches[key] = _Stem(chain[:height])
                stems.append(branch)
            at = branch
        at.images.append(facts.id)
    found: dict[int, list[_Knot]] = {}
    for stem in reversed(stems):
        above = [knot for branch in stem.branches.values() for knot in found.pop(id(branch))]
        here = [knots[image] for image in stem.images]
        heads = [knot for knot in here if _starts(space, knot, stem)]
        free = [knot for knot in heads if knot.image and space.facts[knot.image].parent is None]
        if stem is root:
            found[id(stem)] = free + above  # no layer in common: each is a root
        elif len(free) == 1 or (heads and not free):
            (free or heads)[0].below += above
            found[id(stem)] = free
        elif len(free) + len(above) > 1:
            shared = _Knot(None, stem.chain)
            shared.below = free + above
            found[id(stem)] = [shared]
        else:
            found[id(stem)] = above
    return found[id(root)]


def _starts(space: SpaceMap, knot: _Knot, stem: _Stem) -> bool:
    """Whether an image's parent has other layers than the image, so that it starts its stem."""
    assert knot.image is not None
    return space.facts[knot.image].parent not in stem.images


def _rows(space: SpaceMap, roots: list[_Knot]) -> list[TreeRow]:
    order: list[tuple[_Knot, int]] = []  # with the number of layers of what it stands under
    todo = [(knot, 0) for knot in roots]
    while todo:
        knot, base = todo.pop()
        order.append((knot, base))
        todo += [(one, len(knot.chain)) for one in knot.below]
    for knot, base in reversed(order):
        knot.images = sum(one.images + (one.image is not None) for one in knot.below)
        knot.stored = sum(one.stored for one in knot.below) + space.stored(knot.chain[base:])
    rows = []
    drawn = [(knot, 0, 0, last) for last, knot in _largest_first(roots)]
    while drawn:
        knot, base, depth, last = drawn.pop()
        own, below = knot.chain[base:], len(knot.chain)
        facts = space.facts[knot.image] if knot.image is not None else None
        whole = facts.size if facts is not None else space.file_bytes(knot.chain)
        is_stack = bool(knot.chain) or facts is None
        rows.append(
            TreeRow(
                depth,
                last,
                knot.image,
                tuple(space.names.get(knot.image, ())) if knot.image is not None else (),
                own,
                space.file_bytes(own) if is_stack else whole,
                whole,
                space.stored(own),
                facts.created if facts is not None else None,
                knot.images,
            )
        )
        drawn += [(one, below, depth + 1, last) for last, one in _largest_first(knot.below)]
    return rows


def _largest_first(knots: list[_Knot]) -> list[tuple[bool, _Knot]]:
    """Last first, for a stack: each with whether it is the last to be drawn."""
    order = sorted(knots, key=lambda knot: (knot.stored, knot.image or "", knot.chain))
    return [(place == 0, knot) for place, knot in enumerate(order)]
