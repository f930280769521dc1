"""Images, read from their rows: what filters and lists want to know, or all that is kept.

And labels, as a row has them.
"""

from __future__ import annotations

from casstore.backends.local.statements import damaged, fields, places, read, stored_digest
from casstore.model.kept import ImageFacts, StoredImage, wanted_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from casstore.model.digest import Digest
    from casstore.model.kept import LabelRoom

LABEL_SEPARATOR = "\x00"  # between keys and values of image.labels
AND_PARENT = "FROM image LEFT JOIN image AS parent ON parent.id = image.parent"
FACTS = fields(ImageFacts, "image", id="image.digest", parent="parent.digest")
_STORED = fields(StoredImage, "image", id="image.digest", parent="parent.digest")
STORED = f"SELECT {_STORED} {AND_PARENT} WHERE image.digest = ?"
_ID, _PARENT, _LABELS = places(ImageFacts, "id", "parent", "labels")
_SIZE, _CREATED = places(ImageFacts, "size", "created")


def facts(row: Sequence[Any], room: LabelRoom | None = None) -> ImageFacts:
    """An image from its row. Raises Damaged."""
    values = [*row]
    if not isinstance(values[_SIZE], int) or isinstance(values[_CREATED], str):
        raise damaged("an image whose size or date is not a number")
    values[_ID] = stored_digest(values[_ID])
    if values[_PARENT] is not None:
        values[_PARENT] = stored_digest(values[_PARENT])
    values[_LABELS] = wanted_labels(decode_labels(values[_LABELS]), room)
    return ImageFacts._make(values)


def stored_image(row: Sequence[Any]) -> StoredImage:
    """All that is kept of an image, from its row."""
    return read(StoredImage, row, id=stored_digest, parent=_digest_or_none, labels=decode_labels)


def _digest_or_none(value: bytes | None) -> Digest | None:
    return stored_digest(value) if value is not None else None


def encode_labels(labels: Iterable[tuple[str, str]]) -> str | bytes | None:
    """Labels as a column has them: one text, or a blob of JSON where a NUL is in one of them."""
    parts = [part for pair in labels for part in pair]
    if LABEL_SEPARATOR not in "".join(parts):
        return LABEL_SEPARATOR.join(parts) if parts else None
    import json

    return json.dumps(parts).encode()


def decode_labels(value: str | bytes | None) -> tuple[tuple[str, str], ...]:
    """Labels from such a column. Raises Damaged."""
    try:
        if isinstance(value, bytes):
            import json

            parts = iter(json.loads(value))
        else:
            parts = iter(value.split(LABEL_SEPARATOR) if value is not None else ())
    except (ValueError, TypeError, AttributeError):
        raise damaged("labels that cannot be read") from None
    return tuple(zip(parts, parts, strict=False))
