"""prune: which images go, and by which arguments, in which order.

Source: dockerd's ImagesPrune, as recorded. Its order over images is random; ours is newest first.
"""

from __future__ import annotations

from casstore.rules.dangling import is_dangling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.model.reference import Reference
    from casstore.ports.view import ListingView
    from casstore.rules.filters import Filters


def prune_arguments(view: ListingView, filters: Filters, *, everything: bool) -> Iterator[str]:
    """The IMAGE arguments that prune removes one after the other, none by force.

    Args:
        view: the store; the lock is held.
        filters: images that they do not accept are spared.
        everything: `-a`: not only dangling images.

    Yields:
        A reference in full, or the hex ID of an image that has none. Conflicts are the caller's to
        skip: an image that a lease or a child holds stays.
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
        if not names:
            yield facts.id.hex
        else:
            yield from _by_text(names)


def _by_text(names: list[Reference]) -> list[Reference]:
    # dockerd removes references in the order of their text here; it decides which of a leased
    # image's names is the last and stays
    return sorted(names)
