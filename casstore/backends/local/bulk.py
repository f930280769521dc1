"""A whole index in one go: images into an empty database, at what it costs to write them.

A change keeps what it touches in mind, so that it can publish it, and lets triggers count each
edge. Where everything is new there is nothing to compare, and a blob is written with its count;
indexes that only removals and look-ups by diff ID need are made at the end, in sorted order. What
is kept in memory does not grow with the store. The result is the same as that of
`LocalEdits.admit` and `attach`.
"""

from __future__ import annotations

from casstore.backends.local.admission import ADMISSION, image_row, layer_row
from casstore.backends.local.edits import EDITS
from casstore.backends.local.statements import KINDS, WRITTEN, stored_digest
from casstore.backends.local.tables import unless_there
from casstore.backends.local.view import LocalView
from casstore.model.descriptor import LAYER
from casstore.model.reference import subject_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.backends.local.schema import Connection
    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.record import BlobRecord, ImageRecord
    from casstore.model.reference import Reference

# What is of no use before the end, and dear to keep in order by the million.
_LATER = (
    "SELECT type, name, sql FROM sqlite_schema WHERE type = 'trigger'"
    " OR name IN ('edge_child', 'layer_diff_id')"
)
_CACHE = "PRAGMA cache_size = -49152"  # KiB: the digests of a million blobs
_ADD_BLOB = "INSERT OR IGNORE INTO blob (digest, size, kind, refcount) VALUES (?, ?, ?, ?)"
_COUNT = "UPDATE blob SET refcount = refcount + ? WHERE id = ?"
_EDGES = "SELECT count(*) FROM edge WHERE parent = ?"
_UNCOUNT = (
    "UPDATE blob SET refcount = refcount"
    " - (SELECT count(*) FROM edge WHERE parent = ? AND child = blob.id)"
    " WHERE id IN (SELECT child FROM edge WHERE parent = ?)"
)
_EDITS = EDITS | ADMISSION
_ADD_IMAGE = unless_there(_EDITS["add_image"])
_ADD_REFERENCE = unless_there(_EDITS["add_reference"])
_HELD = (
    "SELECT holding.image FROM blob JOIN holding ON holding.manifest = blob.id"
    " WHERE blob.digest = ? AND blob.size = ? AND holding.media_type = ?"
)
_ORIGINS = "CREATE TEMP TABLE origin (child INTEGER NOT NULL, parent BLOB NOT NULL)"


class BulkIndex:
    """Fills an empty database; between `begin` and `finish` nothing else writes to it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._do = connection.cursor().execute
        self._many = connection.cursor().executemany
        self._view = LocalView(connection, now=0, hard={})
        self._later: list[str] = []
        self._again: list[tuple[Reference, int, Digest]] = []

    def begin(self) -> None:
        """Begin the transaction, which the caller commits after `finish`."""
        self._do(_CACHE)
        self._do("PRAGMA temp_store = MEMORY")
        self._do("BEGIN IMMEDIATE")
        self._do(_ORIGINS)
        for kind, name, sql in self._do(_LATER).fetchall():
            self._do(f"DROP {kind} {name}")
            self._later.append(sql)

    def layer(self, blob: Digest) -> LayerRecord | None:
        """A layer that an image before has brought."""
        return self._view.layer(blob)

    def holder(self, top: Descriptor) -> int | None:
        """The row of the image that has come with exactly this manifest, None if none has."""
        row = self._do(_HELD, (top.digest.raw, top.size, top.media_type)).fetchone()
        return row[0] if row else None

    def add(self, image: ImageRecord) -> int:
        """Add an image with all its blobs, as `LocalEdits.admit` does; returns its row."""
        ids: dict[Digest, int] = {}
        counts = {image.top.digest: 1}
        layers = {layer.digest: layer for layer in image.layers}
        rows = []
        fuller = []
        top_known = False
        for blob in image.blobs:
            digest = blob.digest
            count = counts.get(digest, 0)
            added = self._do(_ADD_BLOB, (digest.raw, blob.size, KINDS.index(blob.kind), count))
            if added.rowcount:
                own: int = added.lastrowid
                if blob.children:
                    fuller.append((own, blob))
            else:
                own = self._do(_EDITS["id_of_blob"], (digest.raw,)).fetchone()[0]
                if digest == image.top.digest:
                    top_known = True
                    count -= 1
                if count:
                    self._do(_COUNT, (count, own))
                if self._is_fuller(own, blob):
                    fuller.append((own, blob))
            if fuller and fuller[-1][1] is blob:
                for child in blob.children:
                    counts[child] = counts.get(child, 0) + 1
            ids[digest] = own
            if blob.kind == LAYER and digest in layers:
                rows.append(layer_row(own, layers[digest]))
        self._many(
            _EDITS["add_edge"],
            [
                (own, position, ids[child])
                for own, blob in fuller
                for position, child in enumerate(blob.children)
            ],
        )
        self._many(_EDITS["add_layer"], rows)
        return self._add_image(
            image, ids[image.top.digest], top_known=top_known, grown=bool(fuller)
        )

    def _is_fuller(self, own: int, blob: BlobRecord) -> bool:
        """Whether a document that is there has come with more of its children; if so, room is made.

        An index may come without some of its platforms first.
        """
        if not blob.children or len(blob.children) <= self._do(_EDGES, (own,)).fetchone()[0]:
            return False
        self._do(_UNCOUNT, (own, own))
        self._do(_EDITS["drop_edges"], (own,))
        return True

    def _add_image(self, image: ImageRecord, top: int, *, top_known: bool, grown: bool) -> int:
        added = self._do(_ADD_IMAGE, image_row(image))
        if added.rowcount:
            own: int = added.lastrowid
        else:
            own = self._do(_EDITS["id_of_image"], (image.id.raw,)).fetchone()[0]
            if grown:
                self._do(_EDITS["grow_image"], (image.size, own))
        held = self._do(_EDITS["add_holding"], (own, top, image.top.media_type))
        if held.rowcount and top_known:
            self._do(_COUNT, (1, top))
        if image.subject is not None:
            self._do(_EDITS["add_subject"], (top, image.subject.raw))
        return own

    def attach(self, name: Reference, image: int, manifest: Digest) -> None:
        """Let a name, which came with its image, point to the image by one of its manifests."""
        top = self._do(_EDITS["id_of_blob"], (manifest.raw,)).fetchone()[0]
        subject = subject_of(name)
        if subject is not None:
            self._do(_EDITS["add_subject"], (top, subject.raw))
        if not self._do(_ADD_REFERENCE, (name, image, top, 0)).rowcount:
            self._again.append((name, image, manifest))

    def write_as(self, name: Reference, text: str) -> None:
        """Publish a name as another tool has written it."""
        self._do(_EDITS["set_meta"], (WRITTEN + name, text))

    def pin(self, image: int) -> None:
        """Pin an image."""
        self._do(_EDITS["add_pin"], (image,))

    def set_origin(self, child: int, parent: Digest) -> None:
        """Note the parent of an image; it may still be to come, or never."""
        self._do("INSERT INTO origin VALUES (?, ?)", (child, parent.raw))

    def finish(self) -> None:
        """Link the parents that are there, and make the indexes and triggers."""
        origins = self._connection.execute(
            "SELECT origin.child, image.id FROM origin JOIN image ON image.digest = origin.parent"
            " ORDER BY origin.rowid"
        )
        for child, parent in origins:
            self._do("UPDATE image SET parent = ? WHERE id = ?", (parent, child))
        self._do("DROP TABLE origin")
        for sql in self._later:
            self._do(sql)

    def names_given_again(self) -> Iterator[tuple[Reference, Digest, Digest]]:
        """Names that came a second time, with image and manifest: the later one is to count."""
        for name, own, manifest in self._again:
            row = self._do("SELECT digest FROM image WHERE id = ?", (own,)).fetchone()
            yield name, stored_digest(row[0]), manifest


def write_unlogged(connection: Connection) -> None:
    """Write straight into a new database that nobody else knows yet: a crash leaves it useless."""
    connection.execute("PRAGMA main.journal_mode = OFF").fetchall()
    connection.execute("PRAGMA synchronous = OFF")


def write_logged(connection: Connection) -> None:
    """Make it a database in WAL mode again, complete in its file; it has yet to be flushed."""
    connection.execute("PRAGMA main.journal_mode = WAL").fetchall()
    connection.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchall()
