"""history: the steps an image was made of."""

from __future__ import annotations

from casstore.model.imageconfig import is_child_history, parse_config
from casstore.queries.inspection import documents_of, image_config
from casstore.results.images import HistoryRow
from casstore.rules.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.imageconfig import ImageConfig
    from casstore.model.platform import Platform
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View


def image_history(
    view: View, blobs: Blobs, argument: str, platform: Platform | None = None
) -> list[HistoryRow]:
    """The steps of an image, newest first; with `platform` those of the one for it in an index.

    The image, then each recorded ancestor in turn stands at the step it ends with; below the last
    recorded one the steps have no ID (`<missing>`).

    Raises NotFound, InvalidReference, Damaged.
    """
    image = resolve(view, argument).image
    if platform is not None:
        from casstore.queries.platforms import choose_platform

        chosen = choose_platform(view, blobs, image, platform).id
        config: ImageConfig | None = parse_config(blobs.read(chosen), chosen)
    else:
        config = image_config(view, blobs, image)
    if config is None:
        return []
    sizes = _sizes_of_steps(view, image, config)
    owners = _owners(view, blobs, image, config)
    names = {owner: [one.name for one in view.references_of(owner)] for owner in owners.values()}
    rows = []
    for position in reversed(range(len(config.history))):
        step, owner = config.history[position], owners.get(position)
        tags = tuple(n for n in names[owner] if n.tag is not None) if owner is not None else ()
        rows.append(
            HistoryRow(owner, step.created, step.created_by, sizes[position], step.comment, tags)
        )
    return rows


def _sizes_of_steps(view: View, image: Digest, config: ImageConfig) -> list[int]:
    """File bytes of the layer of each step; of one that nobody has read, its size as stored."""
    sizes: list[int] = []
    promised: dict[Digest, int] | None = None
    for diff_id in config.history_layers:
        if diff_id is None:
            sizes.append(0)
            continue
        layer = view.layer_with_diff_id(diff_id)
        if layer is None and promised is None:
            needs = [
                below
                for top in view.tops_of(image)
                for document in documents_of(view, top.digest)
                for _, below in view.needs_and_layers_of(document)
            ]
            promised = {one.diff_id: one.file_bytes for one in needs if one is not None}
        known = layer.file_bytes if layer is not None else (promised or {}).get(diff_id, 0)
        sizes.append(known)
    return sizes


def _owners(view: View, blobs: Blobs, image: Digest, config: ImageConfig) -> dict[int, Digest]:
    """Which image ends with which step of the history."""
    owners: dict[int, Digest] = {}
    steps = config.history
    current: Digest | None = image
    while current is not None and steps:
        owners[len(steps) - 1] = current
        current = view.parent_of(current)
        ancestor = image_config(view, blobs, current) if current is not None else None
        if ancestor is None or not is_child_history(ancestor.history, steps):
            break
        steps = ancestor.history
    return owners
