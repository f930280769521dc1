"""tree --layers: the layers of an image as lines and in JSON."""

from __future__ import annotations

from casstore.cli.render import size, table
from casstore.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.results.files import LayerUse

CREATED_BY_WIDTH = 45  # as history has it
_HEADER = ("LAYER", "DIGEST", "FILES", "SIZE", "OVERWRITTEN", "DELETED", "CREATED BY")
_WIDTHS = (8, 15, 10, 14, 14, 14)


def layer_table(uses: Sequence[LayerUse], *, full: bool) -> str:
    """A line for each layer, bottom first, and one for all."""
    rows = [
        (
            str(number),
            use.digest.hex if full else use.digest.short,
            str(use.files),
            size(use.size),
            size(use.overwritten),
            size(use.deleted),
            printable(_created_by(use, full=full)),
        )
        for number, use in enumerate(uses, 1)
    ]
    return f"{table(_HEADER, rows, _WIDTHS)}\n{_sum(uses)}\n"


def _sum(uses: Sequence[LayerUse]) -> str:
    whole, hidden = sum(use.size for use in uses), sum(use.hidden for use in uses)
    # rounded down: what hides anything is never shown as 100%
    tenths = 1000 * (whole - hidden) // whole if whole else 1000
    files = sum(use.files for use in uses)
    return (
        f"{files} file{'' if files == 1 else 's'}, {size(whole)}; hidden {size(hidden)};"
        f" efficiency {tenths // 10}.{tenths % 10}%"
    )


def layer_records(image: str, uses: Sequence[LayerUse]) -> list[dict[str, object]]:
    """The same for --format json."""
    return [
        {
            "CreatedBy": use.created_by,
            "DeletedBytes": use.deleted,
            "DeletedFiles": use.deleted_files,
            "Digest": use.digest,
            "Files": use.files,
            "Image": image,
            "Layer": number,
            "OverwrittenBytes": use.overwritten,
            "OverwrittenFiles": use.overwritten_files,
            "SizeBytes": use.size,
        }
        for number, use in enumerate(uses, 1)
    ]


def _created_by(use: LayerUse, *, full: bool) -> str:
    text = use.created_by.replace("\t", " ")
    if full or len(text) <= CREATED_BY_WIDTH:
        return text
    return text[: CREATED_BY_WIDTH - 1] + "…"
