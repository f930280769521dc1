"""What a thin archive leaves out, found in the store that it is loaded into.

A layer is there if the store has its blob; or, where the archive has layers by their diff IDs, a
layer with that diff ID. A blob whose tar the store has in another form is made anew, if it is plain
or compressed as casstore compresses. A layer that comes as a delta is put together from the layer
that the delta is from. All that is found is pinned until the load ends.
"""

from __future__ import annotations

from casstore.errors import Refused, printable, quote
from casstore.model import mediatype
from casstore.transfer.compress import LayerJob, pack_layers, parse_compression
from casstore.transfer.thin import names_in_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casstore.model.digest import Digest
    from casstore.ports.ingest import Intake
    from casstore.transfer.archive import Archive
    from casstore.transfer.compress import Compression
    from casstore.transfer.thin import LeftOut, Thin

    # Reads layers with these diff IDs that the store has as promises alone; whether there are any.
    Settle = Callable[[set[Digest]], bool]

MAX_TOLD = 3  # digests that a refusal names


def find_left_out(
    thin: Thin,
    archive: Archive,
    intake: Intake,
    compression: Compression,
    settle: Settle | None = None,
) -> None:
    """Find each layer in the store, or put it together, and pin it.

    Args:
        thin: what is left out.
        archive: where deltas are.
        intake: where layers are looked for, and staged.
        compression: of layers that the archive has by their diff IDs.
        settle: reads layers that the store has as promises.

    Raises:
        Refused: the store does not have one; it says which, and the image to load first. Or a
            delta is damaged.
    """
    lacking = [layer for layer in thin.layers if not _is_there(layer, archive, intake)]
    promised = set(_needed_tars(lacking))
    if promised and settle is not None and settle(promised):
        lacking = [layer for layer in lacking if not _is_there(layer, archive, intake)]
    lacking = [layer for layer in lacking if not _made_anew(layer, intake)]
    missing = [layer for layer in lacking if _source(layer, intake) is None]
    if missing:
        raise _not_here(missing, thin, archive)
    if lacking:
        from casstore.transfer.patching import put_together

        put_together(lacking, archive, intake, compression)


def _not_here(missing: list[LeftOut], thin: Thin, archive: Archive) -> Refused:
    wanted = list(dict.fromkeys(layer.source or layer.told for layer in missing))
    digests = ", ".join(wanted[:MAX_TOLD])
    more = f" and {len(wanted) - MAX_TOLD} more" if len(wanted) > MAX_TOLD else ""
    bases = {thin.bases[one.base] for one in missing if one.base is not None}
    names = " and ".join(sorted(printable(base.name) for base in bases))
    verb = "leaves out" if any(layer.source is None for layer in missing) else "builds on"
    return Refused(
        f"{quote(archive.label)} {verb} layers that the store does not have: {digests}{more}"
        f"{f'; load {names} first' if names else ''}"
    )


def _needed_tars(layers: list[LeftOut]) -> Iterator[Digest]:
    for layer in layers:
        if layer.diff_id is not None:
            yield layer.diff_id
        if layer.source is not None:
            yield layer.source


def _is_there(layer: LeftOut, archive: Archive, intake: Intake) -> bool:
    if layer.digest is not None:
        is_stored = intake.has(layer.digest) is not None
    else:
        assert layer.diff_id is not None
        is_stored = intake.layer_with_diff_id(layer.diff_id) is not None
    # somebody may have put it back
    return is_stored or any(map(archive.has, names_in_archive(layer.told)))


def _source(layer: LeftOut, intake: Intake) -> object:
    return intake.layer_with_diff_id(layer.source) if layer.source is not None else None


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
