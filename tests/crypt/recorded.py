"""Layers that skopeo encrypted, with what independent tools found in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from casstore.trust.keys import PrivateKey, read_private_key

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "fixtures" / "images"
ENCRYPTED = IMAGES / "encrypted"
BLOBS = ENCRYPTED / "layout" / "blobs" / "sha256"


def key(name: str) -> PrivateKey:
    return read_private_key((ENCRYPTED / "keys" / f"{name}.key.der").read_bytes(), name, bytes)


def layers(ref: str) -> list[dict[str, Any]]:
    """Descriptors of the layers of one image of the layout."""
    index = json.loads((ENCRYPTED / "layout" / "index.json").read_text())
    for entry in index["manifests"]:
        if entry["annotations"]["org.opencontainers.image.ref.name"] == ref:
            manifest = json.loads((BLOBS / entry["digest"].partition(":")[2]).read_text())
            found: list[dict[str, Any]] = manifest["layers"]
            return found
    raise AssertionError(ref)


def opened(ref: str) -> list[dict[str, Any]]:
    """What the description says of its layers, keys and all."""
    inputs = json.loads((IMAGES / "manifest.json").read_text())["inputs"]
    layout = next(item for item in inputs if item["id"] == "encrypted/layout")
    image = next(image for image in layout["images"] if ref in image.get("refs", ()))
    found: list[dict[str, Any]] = image["layers"]
    return found
