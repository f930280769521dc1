"""Inventories made in code, so that a page can show what no archive would bring."""

from __future__ import annotations

from typing import Any

from casstore.model.descriptor import CONFIG, LAYER
from casstore.model.digest import Digest, sha256
from casstore.model.reference import parse_name
from casstore.model.state import BlobState
from casstore.results.space import DiskUsage, Inventory, InventoryImage

TAKEN = 1_800_000_000 * 10**9


def image(number: int, *, names: str = "", blobs: tuple[int, ...], **fields: Any) -> InventoryImage:
    values: dict[str, Any] = {
        "id": sha256(b"image %d" % number),
        "names": tuple(parse_name(name).reference for name in names.split()),
        "created": TAKEN - number * 86400 * 10**9,
        "used": None, "size": 0, "frees": 0, "refusal": "", "leases": (), "pinned": False,
        "base": -1, "labels": (), "blobs": blobs,
    }  # fmt: skip
    return InventoryImage(**(values | fields))


def inventory(*images: InventoryImage, layers: tuple[int, ...] = (), left: int = 0) -> Inventory:
    """`layers` are the sizes of the blobs, of which 0 is a config of 100 bytes."""
    sizes = (100, *layers)
    blobs = tuple(
        BlobState(digest(number), LAYER if number else CONFIG, size, 2 * size, 1)
        for number, size in enumerate(sizes)
    )
    usage = DiskUsage(
        images=len(images), intermediate=0, active=0, dangling=sum(not i.names for i in images),
        blobs=len(blobs), stored=sum(sizes), shared=0, reclaimable=sum(sizes),
        file_bytes=2 * sum(sizes), orphans=0, orphan_bytes=left, ingest_bytes=0, rows=(),
    )  # fmt: skip
    return Inventory("/srv/images", TAKEN, usage, blobs, images)


def digest(number: int) -> Digest:
    return sha256(b"blob %d" % number)
