"""inspect: one image in detail, in the shape of Docker 20.10; and what else is asked of one."""

from __future__ import annotations

from casstore.model.descriptor import CONFIG, INDEX, MANIFEST
from casstore.model.dockertypes import IMAGE, NO_TIME, shaped
from casstore.model.imageconfig import parse_config
from casstore.model.rfc3339 import format_time, go_time
from casstore.model.state import SETTLED
from casstore.rules.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from casstore.model.digest import Digest
    from casstore.model.imageconfig import ImageConfig
    from casstore.model.platform import Platform
    from casstore.model.state import BlobState
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View

# Where inspect tells what Docker has no word for: a key that Docker will not take for itself.
OURS = "Casstore"


def inspect_image(
    view: View, blobs: Blobs, argument: str, platform: Platform | None = None
) -> dict[str, Any]:
    """The image in the shape of `docker inspect`; with `platform` the one for it in an index.

    Raises NotFound, InvalidReference, Damaged.
    """
    image = resolve(view, argument).image
    stored = view.stored_image(image)
    names = [one.name for one in view.references_of(image)]
    config = image_config(view, blobs, image)
    size = stored.size
    shown = image
    tops = view.tops_of(image)
    below = [needs_below(view, top.digest) for top in tops]
    tagged = view.last_tagged(image)
    os_name, architecture, variant = stored.os, stored.architecture, stored.variant
    if platform is not None:
        from casstore.queries.platforms import choose_platform

        chosen = choose_platform(view, blobs, image, platform)
        config = parse_config(blobs.read(chosen.id), chosen.id)
        shown, size = chosen.id, chosen.size
        os_name, architecture, variant = config.os, config.architecture, config.variant
    document = config.document if config is not None else {}
    created = _text(document.get("created"))  # BuildKit writes null where it has no time
    shape = {
        "Id": shown,
        "RepoTags": [name.familiar for name in names if name.tag is not None],
        "RepoDigests": [name.familiar for name in names if name.tag is None],
        "Parent": stored.parent or "",
        "Comment": _text(document.get("comment")) or _last_comment(config),
        "Created": go_time(created) if created else NO_TIME,
        "Container": _text(document.get("container")),
        "ContainerConfig": document.get("container_config"),
        "DockerVersion": _text(document.get("docker_version")),
        "Author": _text(document.get("author")),
        "Config": document.get("config"),
        "Architecture": architecture,
        "Variant": variant,
        "Os": os_name,
        "OsVersion": _text(document.get("os.version")),
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Data": None, "Name": "casstore"},
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids) if config else []},
        "Metadata": {"LastTagTime": format_time(tagged) if tagged else NO_TIME},
        OURS: {
            "Manifests": [
                {"MediaType": top.media_type, "Digest": top.digest, "Size": top.size}
                for top in tops
            ],
            "Referrers": _referrers(view, blobs, [one for documents in below for one in documents]),
            "Pinned": view.is_pinned(image),
            "Settled": all(map(is_settled, below)),
            "Arrived": format_time(stored.arrived) if stored.arrived is not None else NO_TIME,
        },
    }
    return shaped(IMAGE, shape)


def documents_of(view: View, document: Digest) -> list[Digest]:
    """A manifest or index, and all manifests and indexes below it."""
    return list(needs_below(view, document))


def needs_below(view: View, document: Digest) -> dict[Digest, Sequence[BlobState]]:
    """What a manifest or index needs, and each manifest and index below it."""
    found: dict[Digest, Sequence[BlobState]] = {}
    ahead = [document]
    for above in ahead:
        found[above] = needs = view.needs_of(above)
        ahead += (n.digest for n in needs if n.kind in (INDEX, MANIFEST) and n.digest not in ahead)
    return found


def is_settled(below: Mapping[Digest, Sequence[BlobState]]) -> bool:
    """Whether every layer there was read, or came with all of it verified."""
    return all(need.state == SETTLED for needs in below.values() for need in needs)


def _referrers(view: View, blobs: Blobs, documents: Iterable[Digest]) -> list[dict[str, Any]]:
    """What a list of referrers has of the artifacts that refer to these documents."""
    found = [(one, document) for document in documents for one in view.referrers_of(document)]
    if not found:
        return []
    from casstore.queries.referrers import shapes_of  # few images have any

    return [shape for one, document in found for shape in shapes_of(view, blobs, one, document)]


def image_config(view: View, blobs: Blobs, image: Digest) -> ImageConfig | None:
    """The image's config; None for an index or an artifact, whose ID is no config's."""
    for manifest in view.manifests_of(image):
        for need in view.needs_of(manifest.digest):
            if need.kind == CONFIG and need.digest == image:
                return parse_config(blobs.read(image), image)
    return None


def _last_comment(config: ImageConfig | None) -> str:
    # dockerd takes the comment of the last step where the config itself has none
    return config.history[-1].comment if config is not None and config.history else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
