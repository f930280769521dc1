"""`images --format`: what a template, and JSON, can say of one row of the list."""

from __future__ import annotations

from casstore.cli.formats import TABLE, render_records
from casstore.cli.jsontext import Struct
from casstore.cli.render import SECOND, UNKNOWN, age, go_time, image_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.results.images import ImageSummary

    Row = tuple[ImageSummary, str, str, str]  # image, repository, tag, digest

HEADERS = {
    "Containers": "CONTAINERS",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "CreatedUnix": "CREATED UNIX",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "Labels": "LABELS",
    "OwnSizeBytes": "OWN SIZE BYTES",
    "Parent": "PARENT",
    "Pinned": "PINNED",
    "Repository": "REPOSITORY",
    "Settled": "SETTLED",
    "SharedSize": "SHARED SIZE",
    "Size": "SIZE",
    "SizeBytes": "SIZE BYTES",
    "Tag": "TAG",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "VIRTUAL SIZE",
}


class ImageRow(Struct):
    """One row; a field is worked out when it is asked for, for dates are dear by the thousand."""

    def __init__(self, row: Row, *, now: int, full: bool) -> None:
        super().__init__()
        self._row = row
        self._now = now
        self._full = full

    def field(self, name: str) -> object:
        """One field. KeyError if there is no such field."""
        image, repository, tag, digest = self._row
        match name:
            case "Repository":
                return repository
            case "Tag":
                return tag
            case "Digest":
                return digest
            case "ID":
                return image.id.hex if self._full else image.id.short
            case "CreatedSince":
                return age(image.created, self._now)
            case "CreatedAt":
                return go_time(image.created)
            case "Size":
                return image_size(image.own_size, image.size, settled=image.settled)
            case "VirtualSize":
                return image_size(image.size, image.size, settled=image.settled)
            case _:
                return self._ours(name)

    def _ours(self, name: str) -> object:
        # Fields that Docker has not, and those that it leaves open here.
        image = self._row[0]
        match name:
            case "SizeBytes":
                return image.size
            case "OwnSizeBytes":
                return image.own_size
            case "CreatedUnix":
                return None if image.created is None else image.created // SECOND
            case "Labels":
                return dict(image.labels)
            case "Parent":
                return "" if image.parent is None else image.parent.hex
            case "Pinned":
                return image.pinned
            case "Settled":
                return image.settled
            case "Containers" | "SharedSize" | "UniqueSize":
                return UNKNOWN
            case _:
                raise KeyError(name)

    def complete(self) -> dict[str, object]:
        """All fields, in Docker's order: by name."""
        return {name: self.field(name) for name in HEADERS}


def render(
    form: str, listed: Iterable[Row], *, now: int, full: bool, quiet: bool, digests: bool
) -> str:
    """The whole output for --format."""
    if digests and form.startswith(TABLE) and ".Digest" not in form:
        form += "\t{{.Digest}}"
    raw = _QUIET if quiet else _WITH_DIGEST if digests else _RAW
    records = (ImageRow(row, now=now, full=full) for row in listed)
    return render_records(form, HEADERS, records, raw)


# What Docker prints for `--format raw`.
_QUIET = "image_id: {{.ID}}"
_RAW = """\
repository: {{.Repository}}
tag: {{.Tag}}
image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
"""
_WITH_DIGEST = _RAW.replace("image_id", "digest: {{.Digest}}\nimage_id")
