"""Recorded signatures, and those that cosign made, as payload and annotations."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SIGNED = ROOT / "fixtures" / "images" / "signed"
HEAD = b"\0sigstore-json\n"  # of a signature file in a dir:, as containers/image writes it


IMAGES = os.environ.get("CASSTORE_SHARED_IMAGES") or None
# What cosign itself made may be read and not copied: it is there where somebody says it is.
FOLDER = Path(IMAGES) / "signed" if IMAGES else SIGNED


def entries(kind: str) -> list[dict[str, Any]]:
    """What signatures.json says of one kind of signature."""
    every = json.loads((FOLDER / "signatures.json").read_text())
    return [entry for entry in every if entry["kind"] == kind]


def signature_file(path: Path) -> tuple[str, bytes, dict[str, str]]:
    """Media type, payload and annotations of a sigstore signature in a dir:."""
    data = path.read_bytes()
    assert data.startswith(HEAD)
    value = json.loads(data[len(HEAD) :])
    return value["mimeType"], base64.b64decode(value["payload"]), value["annotations"]
