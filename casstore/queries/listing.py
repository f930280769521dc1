"""images: which images and names a listing shows, newest first (Docker's rules, as recorded)."""

from __future__ import annotations

from casstore.disk.imagelisting import named_images
from casstore.model.record import INDEX, LAYER, MANIFEST
from casstore.results.images import Image, ImageSummary
from casstore.rules.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.disk.sqliteview import SqliteView
    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.rules.filters import Filters


def list_images(
    view: SqliteView, filters: Filters | None, *, everything: bool
) -> list[ImageSummary]:
    """Images to show, each with the names to show.

    Without `everything` (`-a`) untagged images that have children, or that refer to an image that
    is there (a signature, say), are left out; with `dangling=true` only heads without a tag are
    shown, with `dangling=false` no untagged image.
    """
    view.connection.execute("BEGIN")  # one snapshot for all that follows
    try:
        images = named_images(view)
        referrers = view.all_referrers()
        pinned = view.all_pins()
    finally:
        view.connection.execute("ROLLBACK")
    children: dict[Digest, int] = {}
    for facts, _ in images:
        if facts.parent is not None:
            children[facts.parent] = children.get(facts.parent, 0) + 1
    sizes = {facts.id: facts.size for facts, _ in images if facts.id in children}
    dangling = filters.dangling if filters is not None else None
    by_name = filters if filters is not None and filters.patterns else None
    by_facts = filters if filters is not None and not filters.everything else None
    shown = []
    for facts, all_names in images:
        image, parent, created, size, labels = facts
        names = tuple(all_names) if by_name is None else by_name.names(all_names)
        count = children.get(image, 0) if children else 0
        if dangling is True:
            needed = count or image in referrers
            visible = not needed and not any(name.tag for name in all_names)
        elif all_names:
            visible = True
        else:
            needed = count or image in referrers
            visible = dangling is None and bool(everything or not needed)
        if by_name is not None and not names:
            continue  # names that do not fit disappear, and so do images without names
        if visible and (by_facts is None or by_facts.accepts(facts)):
            own = max(size - sizes[parent], 0) if parent is not None else size
            shown.append(
                ImageSummary._make(
                    (image, names, parent, created, size, own, count, labels, image in pinned)
                )
            )
    return shown


def get_image(view: SqliteView, argument: str) -> Image:
    """One image with its manifests and layers. Raises NotFound, InvalidReference."""
    image = resolve(view, argument).image
    facts = view.facts_of(image)
    platform = view.platform_of(image)
    tops = [top.digest for top in view.tops_of(image)]
    names: tuple[Reference, ...] = tuple(one.name for one in view.references_of(image))
    return Image(
        image,
        names,
        facts.parent,
        facts.created,
        facts.size,
        facts.labels,
        *platform,
        manifests=tuple(tops),
        layers=layers_of(view, tops[0]),
    )


def layers_of(view: SqliteView, document: Digest) -> tuple[Digest, ...]:
    """Layer blobs below a manifest or index, bottom first, each manifest's in turn."""
    layers: list[Digest] = []
    for need in view.needs_of(document):
        if need.kind == LAYER:
            layers.append(need.digest)
        elif need.kind in (INDEX, MANIFEST):
            layers += layers_of(view, need.digest)
    return tuple(layers)
