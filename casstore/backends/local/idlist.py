"""The IDs of images in the order of a list, and nothing else of them: `images -q`.

Newest first; Docker compares whole seconds; an image without a date is the oldest there is, and
those of one second go by their IDs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.backends.local.schema import Connection

# A division of integers rounds towards 0, and there are images of before 1970.
ORDER = (
    " ORDER BY image.created IS NULL,"
    " image.created / 1000000000 - (image.created % 1000000000 < 0) DESC, image.digest"
)
REFERS = (
    "EXISTS (SELECT 1 FROM holding JOIN subject ON subject.manifest = holding.manifest"
    " JOIN blob ON blob.digest = subject.digest WHERE holding.image = image.id)"
)
# ruff: noqa: S608 - all parts are constants
ROWS = {
    "names_by_digest": "SELECT 1 FROM reference WHERE instr(name, '@') LIMIT 1",
    "listed_ids": "SELECT substr(lower(hex(image.digest)), 1, ?) FROM image"
    " LEFT JOIN reference ON reference.image = image.id"
    " WHERE reference.image IS NOT NULL OR ? OR NOT"
    f" (EXISTS (SELECT 1 FROM image AS child WHERE child.parent = image.id) OR {REFERS}){ORDER}",
}
_AT_ONCE = 4096


def listed_ids(
    connection: Connection, *, digits: int, everything: bool
) -> Iterator[list[str]] | None:
    """Hex digits of the image IDs, one for each name, many at a time, newest first.

    An image without names is there once; without `everything` only if no image is made from it, and
    it refers to none. None where there are names by digest, of which a list does not show all.
    """
    if connection.execute(ROWS["names_by_digest"]).fetchone() is not None:
        return None
    return _in_pieces(connection, digits, everything=everything)


def _in_pieces(connection: Connection, digits: int, *, everything: bool) -> Iterator[list[str]]:
    connection.execute("PRAGMA temp_store = MEMORY")  # /tmp may be full
    found = connection.execute(ROWS["listed_ids"], (digits, everything))
    while rows := found.fetchmany(_AT_ONCE):
        yield [row[0] for row in rows]
