"""The images of a store in the order of a list, each with its names."""

from __future__ import annotations

from casstore.disk.sqliteview import facts, newest_first
from casstore.model.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.disk.sqliteview import SqliteView
    from casstore.rules.view import ImageFacts

_IMAGES = (
    "SELECT image.id, image.digest, parent.digest, image.created, image.size, image.labels"
    " FROM image LEFT JOIN image AS parent ON parent.id = image.parent"
)
_NAMES = "SELECT image, name FROM reference ORDER BY id"


def named_images(view: SqliteView) -> list[tuple[ImageFacts, list[Reference]]]:
    """Every image as in `all_images`, each with its references in attach order."""
    names: dict[int, list[Reference]] = {}
    for image, name in view.connection.execute(_NAMES):
        names.setdefault(image, []).append(Reference(name))
    none: list[Reference] = []
    rows = view.connection.execute(_IMAGES)
    listed = [(facts(row[1:]), names.get(row[0], none)) for row in rows]
    listed.sort(key=lambda pair: newest_first(pair[0]))
    return listed
