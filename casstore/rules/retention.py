"""prune: which images go, and by which arguments, in which order.

Source: dockerd's ImagesPrune, as recorded. Its order over images is random; ours is newest first.
"""

from __future__ import annotations

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
        if facts.id in parents and not (everything and names):
            continue  # an image that others are built on goes with its last child, if at all
        if facts.id in referrers and not names:
            continue  # a signature, say: it goes with what it refers to
        if not filters.accepts(facts):
            continue
        if filters.patterns and not filters.names(names):
            continue
        if not names:
            yield facts.id.hex
        elif everything or not any(name.tag for name in names):
            yield from _by_text(names)


def _by_text(names: list[Reference]) -> list[Reference]:
    # dockerd removes references in the order of their text here; it decides which of a leased
    # image's names is the last and stays
    return sorted(names)
