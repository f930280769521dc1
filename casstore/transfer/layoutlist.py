"""What a layout has beside its blobs: its version, and the list of its images.

The list is changed as skopeo changes it: what others wrote in it stays.
"""

from __future__ import annotations

from casstore.errors import InvalidReference, Refused, quote
from casstore.model import document, mediatype
from casstore.model.document import MAX_DOCUMENT, Fields
from casstore.model.keys import CONTAINERD_NAME, REF_NAME
from casstore.model.manifest import OCI_LAYOUT
from casstore.model.shape import Keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.manifest import Index
    from casstore.transfer.archive import Archive

EMPTY = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": []}
LAYOUT_VERSION = "1.0.0"
LAYOUT_FILE = Keys({}, "imageLayoutVersion")
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
BLOBS = "blobs/sha256"
_BARE = frozenset(("mediaType", "digest", "size"))


def check_layout_version(archive: Archive) -> None:
    """Refuse a layout of another version than 1.0.0."""
    data = archive.read(OCI_LAYOUT, MAX_DOCUMENT)
    fields = Fields(document.read(data, OCI_LAYOUT, LAYOUT_FILE), OCI_LAYOUT)
    version = fields.text("imageLayoutVersion")
    if version != LAYOUT_VERSION:
        raise Refused(
            f"{OCI_LAYOUT} has the version {quote(version)}, only {LAYOUT_VERSION} is known"
        )


def blob_name(digest: Digest) -> str:
    """Where a layout has the blob."""
    return f"{BLOBS}/{digest.hex}"


def with_name(index: dict[str, Any], top: Descriptor, reference: str) -> dict[str, Any]:
    """The list with `top` in it, which it has not, under a name or under none.

    What had the name so far stays, without it: it may be all that keeps an image for somebody.
    """
    entries: list[dict[str, Any]] = index["manifests"]
    if not reference:
        return {**index, "manifests": [*entries, _entry(top, {})]}
    named = [one for one in entries if reference in _names(one)]
    elsewhere = {one.get("digest") for one in entries if one not in named}
    kept = []
    for one in entries:
        left = _without(one, reference) if one in named else one
        is_listed = one.get("digest") == top.digest or (one in named and one["digest"] in elsewhere)
        if not (is_listed and left.keys() <= _BARE):  # else it says nothing that is not said there
            kept.append(left)
    return {**index, "manifests": [*kept, _entry(top, {REF_NAME: reference})]}


def _entry(top: Descriptor, annotations: dict[str, str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"mediaType": top.media_type, "digest": top.digest, "size": top.size}
    return {**entry, "annotations": annotations} if annotations else entry


def is_listed(index: Index, top: Descriptor, reference: str) -> bool:
    """Whether a list has `top` under a name already, and nothing else; or, without one, has it."""
    if not reference:
        return any(entry.descriptor.digest == top.digest for entry in index.manifests)
    named = [
        one for one in index.manifests if reference in _names({"annotations": one.annotations})
    ]
    return [one.descriptor.digest for one in named] == [top.digest]


def _names(entry: dict[str, Any]) -> list[str]:
    """What an entry is called: by its own name, by containerd's, and by that as it is typed."""
    annotations = entry.get("annotations") or {}
    found = [annotations.get(REF_NAME), annotations.get(CONTAINERD_NAME)]
    if found[1]:
        from casstore.model.reference import parse_name

        try:
            found.append(parse_name(found[1]).familiar)
        except InvalidReference:
            pass  # it is a name for others
    return [name for name in found if name]


def _without(entry: dict[str, Any], reference: str) -> dict[str, Any]:
    """An entry without a name, with all else that it says."""
    annotations = dict(entry["annotations"])
    if annotations.get(REF_NAME) == reference:
        del annotations[REF_NAME]
    if reference in _names({"annotations": {**annotations, REF_NAME: ""}}):
        del annotations[CONTAINERD_NAME]
    rest = {key: value for key, value in entry.items() if key != "annotations"}
    return {**rest, "annotations": annotations} if annotations else rest


def encoded(index: dict[str, Any]) -> bytes:
    """The bytes of index.json."""
    import json

    return json.dumps(index, separators=(",", ":")).encode()
