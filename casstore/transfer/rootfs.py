"""import: a root file system tar becomes an image of one layer, alone or on top of a parent.

The config is in the shape of dockerd's import: one history entry with the comment, created now.
On a parent the image has the parent's layers and history and one more of each, which is what makes
a recorded parent legal.
"""

from __future__ import annotations

import io
import json
from typing import IO, TYPE_CHECKING, Any, cast

from casstore.errors import Refused
from casstore.model.rfc3339 import format_time
from casstore.startup.value import Value
from casstore.transfer.changes import apply_changes
from casstore.transfer.compress import LayerJob, pack_layers
from casstore.transfer.dockerarchive import stage_manifest
from casstore.transfer.fullreads import read_into
from casstore.transfer.layerstream import open_uncompressed
from casstore.transfer.layertar import LayerScanner
from casstore.transfer.outputlimit import layer_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.kept import LayerRecord
    from casstore.model.platform import Platform
    from casstore.model.record import ImageRecord
    from casstore.ports.ingest import Intake
    from casstore.transfer.compress import Compression

COMMENT = "Imported from -"
MAX_TRAILER = 64 << 20  # bytes behind the end of the tar: GNU tar pads, an endless device goes on
NO_TAR = "the root file system is not a tar archive, or not all of one"


class ParentImage(Value):
    """An image to put the layer on."""

    document: dict[str, Any]  # its config
    layers: tuple[LayerRecord, ...]  # bottom first, a repeated one repeatedly


def import_rootfs(
    source: IO[bytes],
    intake: Intake,
    *,
    compression: Compression,
    changes: Sequence[str],
    message: str | None,
    created: int,
    platform: Platform,
    parent: ParentImage | None,
    may_be_empty: bool = True,
) -> ImageRecord:
    """Stage the image.

    Args:
        source: the tar, plain or compressed; it is closed.
        intake: where blobs are staged.
        compression: how the layer is stored.
        changes: Dockerfile instructions for the config.
        message: the comment of its history entry; dockerd's own if None or empty.
        created: nanoseconds since 1970.
        platform: of the image; a parent's own is kept.
        parent: an image to put the layer on.
        may_be_empty: no bytes at all are an empty root file system, as for dockerd. In a pipe
            they mean that whatever should have written them failed.

    Raises:
        Refused: a bad change, or anything but a whole tar, which may be compressed.
    """
    document: dict[str, Any] = dict(parent.document) if parent is not None else {}
    config: dict[str, Any] = dict(document.get("config") or {})
    apply_changes(config, changes)  # before the bytes: a wrong word costs no reading
    limit = layer_limit(intake.max_layer_size)
    with _Scanned(open_uncompressed(source, limit=limit, padded=True)) as content:
        job = LayerJob(lambda: cast("IO[bytes]", content), None, 1)
        (layer,) = pack_layers([job], intake, compression)
    if not layer.diff_size and not may_be_empty:
        raise Refused("the root file system is empty: nothing was written to it")
    if not content.scanner.is_whole:
        raise Refused(NO_TAR)
    below = list(parent.layers) if parent is not None else []
    moment, comment = format_time(created), message or COMMENT
    for stale in (
        "container",
        "container_config",
        "docker_version",
        "author",
        "moby.buildkit.cache.v0",
    ):
        document.pop(stale, None)
    document.setdefault("os", platform.os)
    document.setdefault("architecture", platform.architecture)
    if platform.variant and parent is None:
        document["variant"] = platform.variant
    document["comment"] = comment
    document["created"] = moment
    document["config"] = config
    document["history"] = [
        *(document.get("history") or []), {"created": moment, "comment": comment},
    ]  # fmt: skip
    document["rootfs"] = {
        "type": "layers", "diff_ids": [record.diff_id for record in (*below, layer)],
    }  # fmt: skip
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return stage_manifest(intake.add(data), len(data), [*below, layer], intake)


class _Scanned(io.RawIOBase):
    """A stream whose bytes are looked at as they pass: it must be a tar, which no layer need be."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._trailer = 0
        self.scanner = LayerScanner()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = read_into(self._stream, memoryview(buffer))
        past_end = self.scanner.is_past_end
        self.scanner.feed(memoryview(buffer)[:count])
        if self.scanner.is_lost:  # a device of random bytes has no end to wait for
            raise Refused(NO_TAR)
        if past_end:
            self._trailer += count
            if self._trailer > MAX_TRAILER:
                raise Refused("what follows the end of the root file system exceeds the limit")
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
