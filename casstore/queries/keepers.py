"""why: everything that keeps an image or a blob in the store."""

from __future__ import annotations

from casstore.errors import InvalidReference, NotFound, quote
from casstore.model.digest import PREFIX, Digest, is_hex, is_hex64
from casstore.results.space import Keeper, Kept
from casstore.rules.layers import layer_by_diff_id
from casstore.rules.resolve import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.ports.backend import Backend
    from casstore.ports.view import View

IMAGE, REFERENCE, CHILD, LEASE = "image", "reference", "child", "lease"
PIN, SUBJECT, TRASH = "pin", "subject", "trash"


def what_keeps(disk: Backend, view: View, argument: str, now: int) -> Kept | None:
    """What keeps the image or blob that `argument` means; an image comes before a blob.

    Raises:
        NotFound: a name or prefix that fits nothing, or several blobs.
        InvalidReference: neither a digest nor a name.
    """
    with view.snapshot():
        try:
            image = resolve(view, argument).image
        except (NotFound, InvalidReference):
            blob = _blob(view, argument)
            return _of_blob(view, blob) if blob is not None else None
        return _of_image(disk, view, image, now)


def _blob(view: View, argument: str) -> Digest | None:
    """The blob that a digest, a diff ID or a prefix means; None for a digest that is not there."""
    digits = argument.removeprefix(PREFIX)
    if is_hex64(digits):
        digest = Digest.of_hex(digits)
        if view.blob_state(digest) is not None:
            return digest
        layer = layer_by_diff_id(view, digest)
        return layer.digest if layer is not None else None
    fitting = view.blobs_with_prefix(digits) if is_hex(digits) and len(digits) < 64 else ()
    if len(fitting) > 1:
        raise NotFound(f"Several blobs start with {quote(argument)}")
    if not fitting:
        raise NotFound(f"No such image or blob: {quote(argument)}")
    return fitting[0]


def _of_image(disk: Backend, view: View, image: Digest, now: int) -> Kept:
    keepers = [
        Keeper(REFERENCE, one.manifest, one.name.familiar, "") for one in view.references_of(image)
    ]
    keepers += [Keeper(CHILD, child, _names(view, child), "") for child in view.children_of(image)]
    keepers += [
        Keeper(SUBJECT, subject, ", ".join(_holders(view, subject)), "")
        for subject in view.subjects_of(image)
    ]
    keepers += [
        Keeper(LEASE, None, lease.name, f"hard, {lease.holder}")
        for lease in disk.hard_leases()
        if image in lease.images
    ]
    keepers += [
        Keeper(LEASE, None, name, "soft" if expires is None else f"soft, until {_date(expires)}")
        for name, held, expires in view.all_leases()
        if held == image and (expires is None or expires > now)
    ]
    if view.is_pinned(image):
        keepers.append(Keeper(PIN, None, "", "no policy of gc may choose it"))
    return Kept(IMAGE, image, view.facts_of(image).size, tuple(keepers))


def _of_blob(view: View, blob: Digest) -> Kept:
    state = view.blob_state(blob)
    assert state is not None
    above = list(dict.fromkeys(view.needed_by(blob)))
    for document in above:  # an index needs the manifest that needs the layer
        above += (one for one in view.needed_by(document) if one not in above)
    keepers = [Keeper(_kind(view, document), document, "", "") for document in above]
    keepers += [
        Keeper(IMAGE, image, _names(view, image), "") for image in view.images_needing(blob)
    ]
    keepers += [
        Keeper(TRASH, image, f"entry {entry}", f"until {_date(expires)}")
        for document in (blob, *above)
        for image, entry, expires in view.trash_of(document)
    ]
    return Kept(state.kind, blob, state.size, tuple(keepers))


def _kind(view: View, document: Digest) -> str:
    state = view.blob_state(document)
    assert state is not None
    return state.kind


def _holders(view: View, manifest: Digest) -> list[str]:
    """The images that a manifest belongs to, by their names where they have some."""
    return [_names(view, image) or image.short for image in view.images_needing(manifest)]


def _names(view: View, image: Digest) -> str:
    return ", ".join(one.name.familiar for one in view.references_of(image))


def _date(moment: int) -> str:
    from casstore.model.rfc3339 import format_time

    return format_time(moment - moment % 1_000_000_000)
