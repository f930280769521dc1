"""The tables of casstore.db, as SQL. FORMAT.md explains each column.

Digests are 32-byte blobs behind integer ids: half the file and twice the speed of hex text at a
million blobs. The counts are kept by triggers, so that no statement can change an edge without
changing the count.

What makes or upgrades a database needs them; an everyday command does not.
"""

from __future__ import annotations

# Version 1. A later version only adds tables (ADDED), so a change upgrades an older database in one
# transaction, and a reader lays the tables that are missing over it, empty and for itself alone.
FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE blob (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    refcount INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE edge (
    parent INTEGER NOT NULL,
    position INTEGER NOT NULL,
    child INTEGER NOT NULL,
    PRIMARY KEY (parent, position)
) WITHOUT ROWID;
CREATE INDEX edge_child ON edge (child);

CREATE TABLE layer (
    blob INTEGER PRIMARY KEY,
    compression TEXT NOT NULL,
    diff_id BLOB NOT NULL,
    diff_size INTEGER NOT NULL,
    file_bytes INTEGER NOT NULL
);
CREATE INDEX layer_diff_id ON layer (diff_id);

CREATE TABLE image (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    parent INTEGER,
    created INTEGER,
    size INTEGER NOT NULL,
    os TEXT NOT NULL,
    architecture TEXT NOT NULL,
    variant TEXT NOT NULL,
    labels TEXT
);
CREATE INDEX image_parent ON image (parent) WHERE parent IS NOT NULL;

CREATE TABLE holding (
    image INTEGER NOT NULL,
    manifest INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (image, manifest)
) WITHOUT ROWID;
CREATE INDEX holding_manifest ON holding (manifest);

CREATE TABLE reference (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    image INTEGER NOT NULL,
    manifest INTEGER NOT NULL,
    tagged INTEGER NOT NULL
);
CREATE INDEX reference_image ON reference (image);

CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    image INTEGER NOT NULL,
    expires INTEGER
) WITHOUT ROWID;
CREATE INDEX lease_image ON lease (image);

CREATE TABLE doomed (digest BLOB PRIMARY KEY) WITHOUT ROWID;

CREATE TRIGGER edge_made AFTER INSERT ON edge BEGIN
    UPDATE blob SET refcount = refcount + 1 WHERE id = new.child;
END;
CREATE TRIGGER edge_gone AFTER DELETE ON edge BEGIN
    UPDATE blob SET refcount = refcount - 1 WHERE id = old.child;
END;
CREATE TRIGGER holding_made AFTER INSERT ON holding BEGIN
    UPDATE blob SET refcount = refcount + 1 WHERE id = new.manifest;
END;
CREATE TRIGGER holding_gone AFTER DELETE ON holding BEGIN
    UPDATE blob SET refcount = refcount - 1 WHERE id = old.manifest;
END;

INSERT INTO meta VALUES ('generation', 0);
"""

# version -> its new tables; and the triggers on them, and what a database that is there puts in
ADDED = {
    2: (
        """
CREATE TABLE pin (image INTEGER PRIMARY KEY);

CREATE TABLE subject (
    manifest INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (manifest, digest)
) WITHOUT ROWID;
CREATE INDEX subject_digest ON subject (digest);

CREATE TABLE trash (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    removed INTEGER NOT NULL,
    expires INTEGER NOT NULL
);
CREATE INDEX trash_expires ON trash (expires);

CREATE TABLE trash_image (
    id INTEGER PRIMARY KEY,
    trash INTEGER NOT NULL,
    digest BLOB NOT NULL,
    parent BLOB,
    created INTEGER,
    size INTEGER NOT NULL,
    os TEXT NOT NULL,
    architecture TEXT NOT NULL,
    variant TEXT NOT NULL,
    labels TEXT,
    pinned INTEGER NOT NULL
);
CREATE INDEX trash_image_trash ON trash_image (trash);
CREATE INDEX trash_image_digest ON trash_image (digest);

CREATE TABLE trash_holding (
    image INTEGER NOT NULL,
    manifest INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (image, manifest)
) WITHOUT ROWID;
CREATE INDEX trash_holding_manifest ON trash_holding (manifest);

CREATE TABLE trash_name (
    image INTEGER NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    manifest INTEGER NOT NULL,
    tagged INTEGER NOT NULL,
    PRIMARY KEY (image, position)
) WITHOUT ROWID;
CREATE INDEX trash_name_name ON trash_name (name);
""",
        """
CREATE TRIGGER trash_holding_made AFTER INSERT ON trash_holding BEGIN
    UPDATE blob SET refcount = refcount + 1 WHERE id = new.manifest;
END;
CREATE TRIGGER trash_holding_gone AFTER DELETE ON trash_holding BEGIN
    UPDATE blob SET refcount = refcount - 1 WHERE id = old.manifest;
END;
""",
    ),
    # Layers counted without the targets of their symbolic links (backends/local/care/recount.py).
    3: (
        """
CREATE TABLE uncounted (layer INTEGER PRIMARY KEY);
""",
        """
CREATE TRIGGER layer_gone AFTER DELETE ON layer BEGIN
    DELETE FROM uncounted WHERE layer = old.blob;
END;
INSERT INTO uncounted SELECT blob FROM layer;
""",
    ),
}


def added_since(version: int) -> str:
    """What makes a database of `version` one of this version."""
    return "".join(sql for at, parts in ADDED.items() if at > version for sql in parts)
