"""The images of a store in the order of a list, one after the other.

SQLite sorts row numbers and dates, and looks all else up as it is asked for, so that a list takes
the memory of one image. Newest first; Docker compares whole seconds; an image without a date is
the oldest there is, and those of one second go by their IDs.
"""

from __future__ import annotations

from casstore.backends.local.idlist import ORDER, REFERS
from casstore.backends.local.imagerows import FACTS, facts
from casstore.model.kept import ImageFacts, Listed
from casstore.model.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from casstore.backends.local.view import LocalView
    from casstore.model.digest import Digest

# One look at the layers that are not settled, of which there are mostly none. CROSS JOIN keeps the
# order: else SQLite, which knows no numbers, goes through all edges.
_UNSETTLED = (
    "(WITH RECURSIVE above (id) AS (SELECT blob FROM layer WHERE state != 1"
    " UNION SELECT edge.parent FROM above CROSS JOIN edge ON edge.child = above.id)"
    " SELECT holding.image FROM above CROSS JOIN holding ON holding.manifest = above.id)"
)
# LIMIT -1: else SQLite makes one query of the two, and sorts whole rows.
# ruff: noqa: S608 - all parts are constants
ROWS = {
    "listed_images": f"SELECT {FACTS},"
    " image.size, parent.size, (SELECT count(*) FROM image AS child WHERE child.parent = image.id),"
    f" image.id IN pin, image.id NOT IN {_UNSETTLED},"
    " (SELECT group_concat(name, char(10)) FROM reference WHERE reference.image = image.id)"
    f" FROM (SELECT image.id AS own FROM image{ORDER} LIMIT -1)"
    " JOIN image ON image.id = own LEFT JOIN image AS parent ON parent.id = image.parent",
}
LOOK_UPS = {"refers": f"SELECT {REFERS} FROM image WHERE image.digest = ?"}
_FACTS = len(ImageFacts._fields)


def listed_images(view: LocalView) -> Iterator[Listed]:
    """Every image, newest first, as of the moment when the first is asked for."""
    view.connection.execute("PRAGMA temp_store = MEMORY")  # /tmp may be full
    for row in view.connection.execute(ROWS["listed_images"]):
        one = facts(row[:_FACTS])
        size, below, children, pinned, settled, text = row[_FACTS:]
        # rows of one image come in the order of their ids out of SQLite's index, which has both
        names = tuple(map(Reference, text.split("\n"))) if text is not None else ()
        own = max(size - below, 0) if below is not None else size
        yield Listed._make((one, names, own, children, bool(pinned), bool(settled)))


def refers(view: LocalView, image: Digest) -> bool:
    """Whether an image refers to a manifest or index of the store."""
    found = view.connection.execute(LOOK_UPS["refers"], (image.raw,)).fetchone()
    return found is not None and bool(found[0])
