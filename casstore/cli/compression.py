"""--compression: how layers that come in uncompressed are stored."""

from __future__ import annotations

from casstore.cli.options import TEXT, Option

COMPRESSION = Option(
    "compression",
    "How layers that arrive uncompressed are stored:\nzstd[:LEVEL], gzip or none (default zstd)",
    kind=TEXT,
    value="method",
    default="zstd",
    own=True,
)
