"""What casstore.db says of itself, asked without casstore."""

from __future__ import annotations

import sqlite3
from typing import Any

# Rows that belong to a row of another table, and go with it.
BLOBS, STORED_IMAGES = "(SELECT id FROM blob)", "(SELECT id FROM image)"
OWNED = [
    ("layer", "blob", "(SELECT id FROM blob WHERE kind = 3)"),
    ("edge", "parent", BLOBS),
    ("edge", "child", BLOBS),
    ("holding", "image", STORED_IMAGES),
    ("holding", "manifest", BLOBS),
    ("reference", "image", STORED_IMAGES),
    ("reference", "manifest", BLOBS),
    ("lease", "image", STORED_IMAGES),
    ("trash_image", "trash", "(SELECT id FROM trash)"),
    ("trash_holding", "image", "(SELECT id FROM trash_image)"),
    ("trash_holding", "manifest", BLOBS),
    ("trash_name", "image", "(SELECT id FROM trash_image)"),
    ("trash_name", "manifest", BLOBS),
]


def miscounted(database: sqlite3.Connection) -> list[tuple[int, int]]:
    """Blobs whose count is not that of the edges and holdings, or is none: row and count."""
    return database.execute(
        "SELECT id, refcount FROM blob WHERE refcount !="
        " (SELECT count(*) FROM edge WHERE child = blob.id)"
        " + (SELECT count(*) FROM holding WHERE manifest = blob.id)"
        " + (SELECT count(*) FROM trash_holding WHERE manifest = blob.id)"
        " OR refcount = 0"
    ).fetchall()


def strays(database: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Rows that belong to a row that is not there."""
    return [
        (table, *row)
        for table, of, whom in OWNED
        for row in database.execute(
            f"SELECT * FROM {table} WHERE {of} NOT IN {whom}"  # noqa: S608 - OWNED only
        )
    ]
