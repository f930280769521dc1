"""Which images and names `save` writes, and with what that refers to them."""

from __future__ import annotations

from casstore.errors import NotFound, UsageError
from casstore.model import mediatype
from casstore.model.descriptor import INDEX, MANIFEST, OTHER, Descriptor
from casstore.model.digest import Digest
from casstore.model.platform import Platform, parse_platform, shown
from casstore.model.reference import parse_name, subject_of
from casstore.model.state import SETTLED
from casstore.rules.resolve import resolve
from casstore.transfer.formats import DEFAULT, IMAGES, MANIFESTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.reference import Reference
    from casstore.ports.blobs import Blobs
    from casstore.ports.view import View
    from casstore.transfer.formats import Format
    from casstore.transfer.saved import SavedImage

    _Meant = tuple[Digest, Digest, Reference | None]  # image, manifest, name


def chosen_images(view: View, arguments: Sequence[str], form: Format = DEFAULT) -> list[str]:
    """IDs of the images of `selection`, each once."""
    return list(dict.fromkeys(one.image_id for one in selection(view, arguments, form)))


def selection(
    view: View,
    arguments: Sequence[str],
    form: Format,
    *,
    blobs: Blobs | None = None,
    platform: Platform | None = None,
) -> list[SavedImage]:
    """Images to save in a format, parents before children.

    As Docker does it: a repository alone is all its tags, `NAME:TAG` that tag, an ID or a digest
    reference the image without a name. In formats that hold manifests a digest reference keeps its
    name, and there is an entry for each manifest that is named, not one for each image. Where they
    hold more than one, what refers to it comes too: its signatures, SBOMs and attestations.

    Args:
        view: of the store.
        arguments: as a person names images.
        form: the format.
        blobs: of the same store; where a platform is given.
        platform: of an index, its image for this platform, under the names of the index. What is
            chosen in any other way has to be of that platform.

    Raises:
        UsageError: there is no argument.
        NotFound: no such image, or none for the platform.
    """
    if not arguments:
        raise UsageError("no image given")
    with view.snapshot():  # an image may go between two looks
        return _selected(view, arguments, form, blobs, platform)


def _selected(
    view: View,
    arguments: Sequence[str],
    form: Format,
    blobs: Blobs | None,
    platform: Platform | None,
) -> list[SavedImage]:
    from casstore.transfer.saved import SavedImage

    names: dict[tuple[Digest, Digest], list[Reference]] = {}
    tops: dict[Digest, Descriptor] = {}  # of images that stand in an index alone
    for argument in arguments:
        meant = _meant(view, argument, each_manifest=form.holds != IMAGES)
        if platform is not None:
            assert blobs is not None
            found = _of_platform(view, blobs, platform, meant)
            if len(found) < len(meant):
                raise NotFound(f"{argument} is not there for the platform {shown(platform)}")
            tops.update((top.digest, top) for _, top, _ in found)
            meant = [(image, top.digest, name) for image, top, name in found]
        for image, manifest, name in meant:
            entry = names.setdefault((image, manifest), [])
            if name is not None and name not in entry:
                entry.append(name)
    if form.holds == MANIFESTS:
        _add_referrers(view, names)
    images = {image for image, _ in names}
    entries = [
        SavedImage(
            image,
            tops.get(manifest)
            or next(top for top in view.tops_of(image) if top.digest == manifest),
            tuple(entry),
            parent if (parent := view.parent_of(image)) in images else None,
        )
        for (image, manifest), entry in names.items()
    ]
    return _parents_first(view, entries)


def _of_platform(
    view: View, blobs: Blobs, platform: Platform, meant: Sequence[_Meant]
) -> list[tuple[Digest, Descriptor, Reference | None]]:
    """For each that is there for the platform: the image, its manifest, and its name.

    docker save is as strict: a machine may run other architectures, but those were not asked for.
    """
    from casstore.queries.platforms import choose_platform

    found = []
    for image, manifest, name in meant:
        top = next(top for top in view.tops_of(image) if top.digest == manifest)
        try:
            row = choose_platform(view, blobs, image, platform)
        except NotFound:
            continue
        if parse_platform(row.platform).architecture != platform.architecture:
            continue
        if not mediatype.is_index(top.media_type):
            found.append((image, top, name))
            continue
        size = view.blob_size(row.manifest)
        assert size is not None
        own = name if name is None or name.tag is not None else None  # a digest is the index's
        found.append((row.id, Descriptor(row.media_type, row.manifest, size), own))
    return found


def _meant(view: View, argument: str, *, each_manifest: bool) -> list[_Meant]:
    """Image, manifest and name for each image that an argument means."""
    attached: Sequence[Reference] = ()
    last = argument.rpartition("/")[2]
    if "@" not in argument and ":" not in last and not _is_full_id(argument):
        repository = parse_name(argument).repository
        attached = [
            name
            for all_names in view.all_references().values()
            for name in all_names
            if name.repository == repository and (name.tag is not None or each_manifest)
        ]
    if not attached:
        found = resolve(view, argument)
        if found.name is None:
            return [(found.image, readable_top(view, found.image).digest, None)]
        attached = [found.name.reference]
    meant: list[tuple[Digest, Digest, Reference | None]] = []
    for name in attached:
        image, top = view.image_named(name), view.top_named(name)
        if image is None or top is None:
            raise NotFound(f"No such image: {name.familiar}")
        if each_manifest or not is_readable(view, top):  # what cannot be read is refused as such
            manifest = top.digest
        else:
            manifest = readable_top(view, image).digest
        keep = name.tag is not None or each_manifest
        meant.append((image, manifest, name if keep else None))
    return meant


def _add_referrers(view: View, chosen: dict[tuple[Digest, Digest], list[Reference]]) -> None:
    """What refers to a chosen manifest, by its subject or by a tag in the same repository."""
    todo = [
        (manifest, {name.repository for name in names}) for (_, manifest), names in chosen.items()
    ]
    seen: set[Digest] = set()
    for manifest, repositories in todo:
        if manifest in seen:
            continue
        seen.add(manifest)
        needs = view.needs_of(manifest)
        todo += [(need.digest, repositories) for need in needs if need.kind in (INDEX, MANIFEST)]
        for artifact in view.referrers_of(manifest):
            attached = {one.name: one.manifest for one in view.references_of(artifact)}
            tags = [
                name
                for name in attached
                if subject_of(name) == manifest and name.repository in repositories
            ]
            tops = dict.fromkeys(attached[name] for name in tags)
            if not attached:
                tops = dict.fromkeys(top.digest for top in view.tops_of(artifact))
            for top in tops:
                entry = chosen.setdefault((artifact, top), [])
                entry += [n for n in tags if attached[n] == top and n not in entry]
                todo.append((top, repositories))


def readable_top(view: View, image: Digest) -> Descriptor:
    """The oldest manifest of an image whose layers are in the clear; else the oldest there is.

    One whose layers are settled goes before one of which that is promised.
    """
    tops = view.tops_of(image)
    readable = [top for top in tops if is_readable(view, top)]
    settled = (
        top
        for top in readable
        if len(readable) == 1 or all(n.state == SETTLED for n in view.needs_of(top.digest))
    )
    return next(settled, readable[0] if readable else tops[0])


def is_readable(view: View, top: Descriptor) -> bool:
    """Whether a manifest has no encrypted layers, nor others that are only kept."""
    return all(need.kind != OTHER for need in view.needs_of(top.digest))


def _is_full_id(argument: str) -> bool:
    from casstore.model.digest import PREFIX, is_hex64

    return is_hex64(argument.removeprefix(PREFIX))


def _parents_first(view: View, entries: list[SavedImage]) -> list[SavedImage]:
    def depth(entry: SavedImage) -> int:
        steps, image = 0, view.parent_of(entry.image_id)
        while image is not None:
            steps, image = steps + 1, view.parent_of(image)
        return steps

    return sorted(entries, key=depth)
