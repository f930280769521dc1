"""What a thin archive leaves out, found in the store that it is loaded into.

A layer is there if the store has its blob; or, where the archive has layers by their diff IDs, a
layer with that diff ID. A blob whose tar the store has in another form is made anew, if it is plain
or compressed as casstore compresses. All that is found is pinned until the load ends.
"""

from __future__ import annotations

from casstore.errors import Refused, printable, quote
from casstore.model import mediatype
from casstore.transfer.compress import LayerJob, pack_layers, parse_compression
from casstore.transfer.layoutlist import blob_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.model.digest import Digest
    from casstore.ports.ingest import Intake
    from casstore.transfer.archive import Archive
    from casstore.transfer.thin import LeftOut, Thin

    # Reads layers with these diff IDs that the store has as promises alone; whether there are any.
    Settle = Callable[[set[Digest]], bool]

MAX_TOLD = 3  # digests that a refusal names


def find_left_out(
    thin: Thin, archive: Archive, intake: Intake, settle: Settle | None = None
) -> None:
    """Find each layer in the store, and pin it.

    Raises:
        Refused: the store does not have one; it says which, and the image to load first.
    """
    lacking = [layer for layer in thin.layers if not _is_there(layer, archive, intake)]
    promised = {layer.diff_id for layer in lacking if layer.diff_id is not None}
    if promised and settle is not None and settle(promised):
        lacking = [layer for layer in lacking if not _is_there(layer, archive, intake)]
    lacking = [layer for layer in lacking if not _made_anew(layer, intake)]
    if not lacking:
        return
    digests = ", ".join(layer.told for layer in lacking[:MAX_TOLD])
    more = f" and {len(lacking) - MAX_TOLD} more" if len(lacking) > MAX_TOLD else ""
    bases = {thin.bases[one.base] for one in lacking if one.base is not None}
    names = " and ".join(sorted(printable(base.name) for base in bases))
    raise Refused(
        f"{quote(archive.label)} leaves out layers that the store does not have: {digests}{more}"
        f"{f'; load {names} first' if names else ''}"
    )


def _is_there(layer: LeftOut, archive: Archive, intake: Intake) -> bool:
    if layer.digest is not None:
        is_stored = intake.has(layer.digest) is not None
    else:
        assert layer.diff_id is not None
        is_stored = intake.layer_with_diff_id(layer.diff_id) is not None
    names = blob_name(layer.told), layer.told.hex, f"{layer.told.hex}.tar"
    return is_stored or any(map(archive.has, names))  # somebody may have put it back


def _made_anew(layer: LeftOut, intake: Intake) -> bool:
    """Stage a blob from a layer of the store with the same tar, if that can be done."""
    kind = mediatype.compression_of(layer.media_type)
    if layer.digest is None or layer.diff_id is None or kind is None:
        return False
    known = intake.layer_with_diff_id(layer.diff_id)
    if known is None:
        return False
    from casstore.transfer.openlayer import open_layer

    job = LayerJob(lambda: open_layer(intake.open(known.digest), known), layer.diff_id, 0)
    (record,) = pack_layers([job], intake, parse_compression(kind), anew=True)
    if record.digest != layer.digest:
        return False
    intake.add_layer(record._replace(media_type=layer.media_type))
    return True
