"""What is at rest between two commands: the same in every backend."""

from __future__ import annotations

REST_SECONDS = 86400.0  # for which what is at rest is kept after its last byte, or its last use
UPLOAD_ID_LENGTH = 32  # hex digits of an upload's ID: 128 bits by chance
