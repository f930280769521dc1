"""images: which images and names a listing shows, newest first (Docker's rules, as recorded)."""

from __future__ import annotations

from casstore.model.descriptor import INDEX, LAYER, MANIFEST
from casstore.results.images import Image, ImageSummary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.model.digest import Digest
    from casstore.model.reference import Reference
    from casstore.ports.view import View
    from casstore.rules.filters import Filters


def list_images(view: View, filters: Filters | None, *, everything: bool) -> Iterator[ImageSummary]:
    """Images to show, each with the names to show.

    Without `everything` (`-a`) untagged images that have children, or that refer to an image that
    is there (a signature, say), are left out; with `dangling=true` only heads without a tag are
    shown, with `dangling=false` no untagged image.
    """
    dangling = filters.dangling if filters is not None else None
    by_name = filters if filters is not None and filters.patterns else None
    by_facts = filters if filters is not None and not filters.everything else None
    for facts, all_names, own_size, children, pinned, settled in view.listed_images():
        names = all_names
        if by_name is not None:
            names = by_name.names(all_names)
            if not names:
                continue  # names that do not fit disappear, and so do images without names
        if dangling is True or not (all_names or everything):
            from casstore.rules.dangling import is_dangling  # most lists have no use for it

            visible = dangling is not False and is_dangling(
                facts.id, all_names, has_children=children > 0, refers=view.refers
            )
        else:
            visible = bool(all_names) or dangling is None
        if visible and (by_facts is None or by_facts.accepts(facts)):
            yield ImageSummary(
                facts.id, names, facts.parent, facts.created, facts.size, own_size, children,
                facts.labels, pinned, settled,
            )  # fmt: skip


def get_image(view: View, argument: str) -> Image:
    """One image with its manifests and layers. Raises NotFound, InvalidReference."""
    from casstore.queries.inspection import is_settled, needs_below  # a list has no use for it
    from casstore.rules.resolve import resolve

    image = resolve(view, argument).image
    stored = view.stored_image(image)
    tops = [top.digest for top in view.tops_of(image)]
    names: tuple[Reference, ...] = tuple(one.name for one in view.references_of(image))
    told = {name: value for name, value in stored._asdict().items() if name in Image._fields}
    told["labels"] = tuple(stored.labels)
    told["settled"] = all(is_settled(needs_below(view, top)) for top in tops)
    return Image(names=names, manifests=tuple(tops), layers=layers_of(view, tops[0]), **told)


def layers_of(view: View, document: Digest) -> tuple[Digest, ...]:
    """Layer blobs below a manifest or index, bottom first, each manifest's in turn."""
    layers: list[Digest] = []
    for need in view.needs_of(document):
        if need.kind == LAYER:
            layers.append(need.digest)
        elif need.kind in (INDEX, MANIFEST):
            layers += layers_of(view, need.digest)
    return tuple(layers)
