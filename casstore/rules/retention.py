"""prune: which images go, and by which arguments, in which order.

Source: dockerd's ImagesPrune, as recorded. Its order over images is random; ours is newest first.
"""

from __future__ import annotations

from casstore.rules.dangling import is_dangling
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.ports.view import ListingView, View
    from casstore.rules.filters import Filters


class Candidate(Value):
    """An image that prune removes, if it is still what it was when it was chosen."""

    image: Digest
    names: tuple[Reference, ...]  # all that it has

    @property
    def arguments(self) -> tuple[str, ...]:
        """What prune removes one after the other: each reference in full, or else the ID.

        dockerd removes references in the order of their text here; it decides which of a leased
        image's names is the last and stays.
        """
        return tuple(sorted(self.names)) or (self.image.hex,)


def prune_candidates(
    view: ListingView, filters: Filters, *, everything: bool
) -> Iterator[Candidate]:
    """The images that prune removes, none by force.

    Args:
        view: the store.
        filters: images that they do not accept are spared.
        everything: `-a`: not only dangling images.

    Conflicts are the caller's to skip: an image that a lease or a child holds stays.
    """
    names_of = view.all_references()
    parents = view.all_parents()
    referrers = view.all_referrers()
    for facts in view.all_images(filters.label_room):
        names = names_of.get(facts.id, [])
        # What is neither goes with its last child, or with what it refers to (a signature, say).
        if not (everything and names) and not is_dangling(
            facts.id, names, has_children=facts.id in parents, refers=referrers.__contains__
        ):
            continue
        if not filters.accepts(facts):
            continue
        if filters.patterns and not filters.names(names):
            continue
        yield Candidate(facts.id, tuple(names))


def is_unchanged(view: View, candidate: Candidate) -> bool:
    """Whether a candidate is what it was: as for gc, a new name is a reason to stay.

    What has become its child or a lease on it is a conflict, and an image without a name can have
    become one that refers to another, which came after it.
    """
    if not view.has_image(candidate.image):
        return False
    names = tuple(one.name for one in view.references_of(candidate.image))
    return names == candidate.names and (bool(names) or not view.refers(candidate.image))
