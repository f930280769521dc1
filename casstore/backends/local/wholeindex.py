"""The whole tag index in memory: each table read once, joined by its integer keys.

For a rule that looks at every image (`rules/snapshot.py`). A reader: no lock, one SQLite snapshot.
"""

from __future__ import annotations

from casstore.backends.local.imagerows import decode_labels
from casstore.backends.local.statements import STATE, fields, places, stored_digest
from casstore.backends.local.view import blob_state
from casstore.model.kept import ImageFacts, wanted_labels
from casstore.model.reference import Reference
from casstore.model.snapshot import Snapshot
from casstore.model.state import Attached, BlobState, LeaseOn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from casstore.backends.local.view import LocalView
    from casstore.model.digest import Digest
    from casstore.model.kept import LabelRoom

# ruff: noqa: S608 - all parts are constants
_FACTS = fields(ImageFacts, "image", id="digest")  # a parent by its row number
_UNLABELLED = fields(ImageFacts, "image", id="digest", labels="NULL")
_ID, _PARENT, _LABELS = places(ImageFacts, "id", "parent", "labels")

# Whole tables on purpose, in the order of a key.
TABLES = {
    "images": f"SELECT id, {_FACTS} FROM image ORDER BY id",
    "images_without_labels": f"SELECT id, {_UNLABELLED} FROM image ORDER BY id",
    "references": "SELECT image, name, manifest FROM reference ORDER BY id",
    "leases": "SELECT image, name FROM lease WHERE expires IS NULL OR expires > ? ORDER BY name",
    "holdings": "SELECT image, manifest FROM holding ORDER BY image, manifest",
    "blobs": f"SELECT blob.id, {STATE}"
    " FROM blob LEFT JOIN layer ON layer.blob = blob.id ORDER BY blob.id",
    "edges": "SELECT parent, child FROM edge ORDER BY parent, position",
    "subjects": "SELECT manifest, subject.digest FROM subject"
    " LEFT JOIN blob ON blob.digest = subject.digest ORDER BY manifest, blob.id",
    "stored": "SELECT coalesce(sum(size), 0) FROM blob",
}


def read_snapshot(
    view: LocalView,
    hard: Mapping[Digest, Sequence[str]],
    now: int,
    room: LabelRoom | None = None,
) -> Snapshot:
    """Read the store as it is now.

    Args:
        view: a look at it.
        hard: names of live hard leases, by image.
        now: in ns; soft leases that are over by then hold nothing.
        room: what is wanted of the labels.
    """
    connection = view.connection
    with view.snapshot():
        found = connection.execute(TABLES["images" if room != {} else "images_without_labels"])
        images: dict[int, list[Any]] = {}
        digests: dict[int, Digest] = {}
        for own, *row in found:
            images[own] = row
            digests[own] = row[_ID] = stored_digest(row[_ID])
            row[_LABELS] = wanted_labels(decode_labels(row[_LABELS]), room)
        for row in images.values():
            row[_PARENT] = digests.get(row[_PARENT])
        facts = map(ImageFacts._make, images.values())
        blobs: dict[int, BlobState] = {}
        for own, *row in connection.execute(TABLES["blobs"]):
            blobs[own] = blob_state(row)
        names: dict[Digest, list[Attached]] = {}
        for image, name, manifest in connection.execute(TABLES["references"]):
            attached = Attached(Reference(name), blobs[manifest].digest)
            names.setdefault(digests[image], []).append(attached)
        leases = {
            image: [LeaseOn(name, hard=True) for name in holders] for image, holders in hard.items()
        }
        for image, name in connection.execute(TABLES["leases"], (now,)):
            leases.setdefault(digests[image], []).append(LeaseOn(name, hard=False))
        pinned = view.all_pins()
        holdings: dict[Digest, list[Digest]] = {}
        for image, manifest in connection.execute(TABLES["holdings"]):
            holdings.setdefault(digests[image], []).append(blobs[manifest].digest)
        edges: dict[Digest, list[Digest]] = {}
        for parent, child in connection.execute(TABLES["edges"]):
            edges.setdefault(blobs[parent].digest, []).append(blobs[child].digest)
        subjects: dict[Digest, list[Digest]] = {}
        for manifest, raw in connection.execute(TABLES["subjects"]):
            subjects.setdefault(blobs[manifest].digest, []).append(stored_digest(raw))
    return Snapshot(
        facts=facts,
        names=names,
        leases=leases,
        pinned=pinned,
        holdings=holdings,
        blobs={state.digest: state for state in blobs.values()},
        edges=edges,
        subjects=subjects,
    )


def stored_bytes(view: LocalView) -> int:
    """Bytes of all blobs that the index knows."""
    row: tuple[int] = view.connection.execute(TABLES["stored"]).fetchone()
    return row[0]
