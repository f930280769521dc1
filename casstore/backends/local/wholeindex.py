"""The whole tag index in memory: each table read once, joined by its integer keys.

For a rule that looks at every image (`rules/snapshot.py`). A reader: no lock, one SQLite snapshot.
"""

from __future__ import annotations

from casstore.backends.local.schema import decode_labels
from casstore.backends.local.view import blob_state
from casstore.model.digest import Digest
from casstore.model.reference import Reference
from casstore.model.snapshot import Snapshot
from casstore.model.state import Attached, BlobState, ImageFacts, LeaseOn, wanted_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from casstore.backends.local.view import SqliteView
    from casstore.model.state import LabelRoom

# Whole tables on purpose, in the order of a key.
TABLES = {
    "images": "SELECT id, digest, parent, created, size, labels FROM image ORDER BY id",
    "images_without_labels": "SELECT id, digest, parent, created, size, NULL FROM image"
    " ORDER BY id",
    "references": "SELECT image, name, manifest FROM reference ORDER BY id",
    "leases": "SELECT image, name FROM lease WHERE expires IS NULL OR expires > ? ORDER BY name",
    "holdings": "SELECT image, manifest FROM holding ORDER BY image, manifest",
    "blobs": "SELECT blob.id, digest, kind, size, layer.file_bytes, refcount"
    " FROM blob LEFT JOIN layer ON layer.blob = blob.id ORDER BY blob.id",
    "edges": "SELECT parent, child FROM edge ORDER BY parent, position",
    "subjects": "SELECT manifest, subject.digest FROM subject"
    " LEFT JOIN blob ON blob.digest = subject.digest ORDER BY manifest, blob.id",
    "stored": "SELECT coalesce(sum(size), 0) FROM blob",
}


def read_snapshot(
    view: SqliteView,
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
        images = [(*row, wanted_labels(decode_labels(labels), room)) for *row, labels in found]
        digests = {row[0]: Digest.of_bytes(row[1]) for row in images}
        facts = [
            ImageFacts(digests[own], digests.get(parent), created, size, labels)
            for own, _, parent, created, size, labels in images
        ]
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
            subjects.setdefault(blobs[manifest].digest, []).append(Digest.of_bytes(raw))
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


def stored_bytes(view: SqliteView) -> int:
    """Bytes of all blobs that the index knows."""
    row: tuple[int] = view.connection.execute(TABLES["stored"]).fetchone()
    return row[0]
