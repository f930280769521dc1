"""Layers put together from deltas and from the layers of the store that these are from."""

from __future__ import annotations

from contextlib import ExitStack
from typing import IO, cast

from casstore.errors import Refused
from casstore.ports.ingest import Intake
from casstore.transfer.archive import Archive
from casstore.transfer.compress import Compression, LayerJob, pack_layers, parse_compression
from casstore.transfer.delta import BaseTar, Patched, digest_of
from casstore.transfer.deltaformat import read_head
from casstore.transfer.openlayer import open_layer
from casstore.transfer.outputlimit import BeyondLimit, layer_limit
from casstore.transfer.thin import LeftOut, names_in_archive

_POSITION = 0  # a layer that stands in the list alone has none


def put_together(
    layers: list[LeftOut], archive: Archive, intake: Intake, compression: Compression
) -> None:
    """Stage layers that come as deltas; the tar of a base is written down once for all of its.

    Raises:
        Refused: a delta is missing or damaged, is from another layer than it says, or does not
            give the layer.
    """
    for source in dict.fromkeys(layer.source for layer in layers):
        assert source is not None
        known = intake.layer_with_diff_id(source)
        assert known is not None
        with ExitStack() as stack:
            scratch = stack.enter_context(intake.scratch())
            with open_layer(intake.open(known.digest), known) as tar:
                base = BaseTar(known, tar, scratch)
            for layer in layers:
                if layer.source == source:
                    _put_together(layer, base, archive, intake, compression)


def _put_together(
    layer: LeftOut, base: BaseTar, archive: Archive, intake: Intake, compression: Compression
) -> None:
    assert layer.delta is not None
    named = f"the delta {layer.delta.digest.short} of layer {layer.told}"
    names = names_in_archive(layer.delta.digest)
    name = next((one for one in names if archive.has(one)), names[0])
    with archive.open(name) as file:
        if archive.size(name) != layer.delta.size or digest_of(file) != layer.delta.digest:
            raise Refused(f"{named} is damaged: its content has another digest")
    how = parse_compression(layer.compression) if layer.compression else compression
    try:
        _check_size(archive, name, base, intake)
        job = LayerJob(lambda: _patched(archive, name, base), layer.diff_id, _POSITION)
        (record,) = pack_layers([job], intake, how, anew=True)
    except BeyondLimit:
        raise
    except Refused as error:
        reason = str(error).removeprefix(f"layer {_POSITION}: ")
        raise Refused(f"{named} is wrong: {reason}") from None
    if layer.digest is None:
        return
    if record.digest != layer.digest:
        raise Refused(
            f"{named} gives the tar, but its blob was compressed by another version of {how.kind}: "
            "save it in a format that has layers by their diff IDs"
        )
    intake.add_layer(record._replace(media_type=layer.media_type))


def _check_size(archive: Archive, name: str, base: BaseTar, intake: Intake) -> None:
    """Hold what a delta will give against the limit of a layer.

    The base counts as if it were in the archive, for it would be without the delta.
    """
    with archive.open(name) as file:
        size = read_head(file).size
    layer_limit(intake.max_layer_size).check(size, archive.size(name) + base.record.size)


def _patched(archive: Archive, name: str, base: BaseTar) -> IO[bytes]:
    return cast("IO[bytes]", Patched(archive.open(name), base))
