"""Layers whose only name is their diff ID (docker archives, import) into zstd, gzip or plain blobs.

Both sides of every layer are hashed on the way. (keptlayers.py stores layers that somebody else
compressed.) An archive whose layers are all there needs nothing but this module, and is gone
before what packs them (layerpacker.py) would be imported.

The same layer and the same `Compression` give the same blob, whatever the machine's cores: zstd
blobs are one frame for every 4 MiB (with its content size, without a check sum: the blob has a
digest), gzip blobs are one member of 4 MiB blocks without a time stamp, deflated by zlib. ISA-L
would be much faster, but a digest would tell who has it, and who wants speed has zstd.
"""

from __future__ import annotations

from casstore.errors import UsageError, quote
from casstore.startup.typed import Protocol
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.ports.ingest import Draft


class Compression(Value):
    """How layers that arrive plain are stored."""

    kind: str  # zstd, gzip or none
    level: int


DEFAULT = Compression("zstd", 1)
_LEVELS = {"zstd": (1, 19, 1), "gzip": (1, 9, 6), "none": (0, 0, 0)}  # least, most, default
USUAL = {kind: f"{kind}:{level}" if level else kind for kind, (_, _, level) in _LEVELS.items()}


def parse_compression(text: str) -> Compression:
    """Parse `zstd[:LEVEL]`, `gzip[:LEVEL]` or `none`.

    Raises:
        UsageError: it is none of these, or the level is out of range.
    """
    kind, colon, level = text.partition(":")
    if kind not in _LEVELS or (kind == "none" and colon):
        raise UsageError(
            f"invalid compression {quote(text)}: must be zstd[:LEVEL], gzip[:LEVEL] or none"
        )
    least, most, default = _LEVELS[kind]
    if not colon:
        return Compression(kind, default)
    if not (level.isascii() and level.isdigit() and len(level) < 3 and least <= int(level) <= most):
        raise UsageError(f"invalid compression {quote(text)}: {kind} has levels {least} to {most}")
    return Compression(kind, int(level))


class LayerJob(Value):
    """A layer of an archive, to be packed."""

    open: Callable[[], IO[bytes]]  # the bytes as found: a tar, possibly itself compressed
    diff_id: Digest | None  # what the config says; None where there is no config yet
    position: int  # in its image, as messages shall count it


class Packing(Protocol):
    """What an intake is to who packs layers."""

    max_layer_size: int | None

    def layer_with_diff_id(self, diff_id: Digest) -> LayerRecord | None: ...
    def add_layer(self, record: LayerRecord) -> None: ...
    def draft(self, digest: Digest | None = None) -> Draft: ...


def pack_layers(
    jobs: Sequence[LayerJob],
    intake: Packing,
    compression: Compression = DEFAULT,
    *,
    width: int | None = None,
    anew: bool = False,
) -> list[LayerRecord]:
    """Store each layer; a diff ID that is there already, or comes twice, is not read again.

    Streams are opened one after the other, in the order of `jobs`, and read in the caller's
    thread. On any error all drafts are discarded and all threads have ended.

    Args:
        jobs: the layers of one or many images.
        intake: where blobs go; each new layer is sealed and added to it.
        compression: of the blobs to be made.
        width: compressing threads; as many as there are cores if None. No output depends on it.
        anew: make a blob of each layer, even if there is another with its diff ID.

    Returns:
        One record for each job, in order.

    Raises:
        Refused: a layer that is not its diff ID, is truncated, corrupt or too large.
    """
    records = []
    for job in jobs:
        known = job.diff_id and intake.layer_with_diff_id(job.diff_id)
        if not known or anew:
            break
        records.append(known)
    else:
        return records
    from casstore.transfer.layerpacker import LayerPacker

    packer = LayerPacker(intake, compression, width, anew=anew)
    try:
        for number, job in enumerate(jobs):
            packer.start(number, job)
        return packer.finish(len(jobs))
    except BaseException:
        packer.abort()
        raise
