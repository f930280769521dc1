"""Tiny images from a dictionary of files: the same arguments give the same image ID everywhere.

An image is written as a docker-archive and loaded like any other, so that nothing here can put into
a store what a load would refuse. For a child, the parent is saved, the child added to that archive,
and both loaded: the only form in which a recorded parent is believed.
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from casstore.errors import Refused, quote
from casstore.model.digest import sha256
from casstore.model.imageconfig import parse_config
from casstore.model.reference import parse_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from casstore.model.digest import Digest
    from casstore.results.images import Image
    from casstore.store import Store

EPOCH = "2000-01-01T00:00:00Z"
CREATED_BY = "casstore_image_factory"
FILE_MODE = 0o644
FOLDER_MODE = 0o755


def build_image(
    store: Store,
    *,
    files: Mapping[str, str | bytes],
    config: Mapping[str, Any],
    parent: Digest | None,
    tags: Sequence[str],
    created: str | None,
) -> Image:
    """Build an image into `store` and return it as `store.get` does.

    Args:
        store: where it goes, and where the parent is.
        files: path -> content; a path that ends in "/" is a folder. None: an image without a
            layer of its own.
        config: fields of the OCI config's `config` object, on top of the parent's.
        parent: image ID; its layers come first and it becomes the recorded parent.
        tags: names for the image, in the order in which they are attached.
        created: RFC 3339; by default the parent's, or 2000-01-01.
    """
    members: dict[str, bytes] = {}
    entries: list[dict[str, Any]] = []
    below: dict[str, Any] = {}
    diff_ids: list[Digest] = []
    if parent is not None:
        members, entries = _saved(store, parent)
        under = parse_config(members[entries[0]["Config"]], parent)
        below, diff_ids = under.document, list(under.diff_ids)
    document = {
        **below,
        "architecture": below.get("architecture", "amd64"),
        "os": below.get("os", "linux"),
        "created": created or below.get("created", EPOCH),
        "config": {**(below.get("config") or {}), **config},
    }
    layers = list(entries[0]["Layers"]) if entries else []
    if files:
        layer = layer_tar(files)
        diff_ids.append(sha256(layer))
        layers.append(f"{diff_ids[-1].hex}/layer.tar")
        members[layers[-1]] = layer
    document["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    if not below or below.get("history"):  # a link to a parent without history wants none here
        step = {"created": document["created"], "created_by": CREATED_BY}
        document["history"] = [*(below.get("history") or ()), step | _emptiness(files)]

    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    image_id = sha256(content)
    names = [parse_target(tag).familiar for tag in tags]
    entry = {"Config": f"{image_id.hex}.json", "RepoTags": names or None, "Layers": layers}
    members[f"{image_id.hex}.json"] = content
    if parent is not None:
        entry["Parent"] = str(parent)
    members["manifest.json"] = json.dumps([*entries, entry]).encode()
    store.load(io.BytesIO(_tar(members)))
    return store.get(image_id)


def layer_tar(files: Mapping[str, str | bytes]) -> bytes:
    """The uncompressed layer with these files, sorted by path, owned by root, dated 1970."""
    return _tar(
        {
            path.lstrip("/"): content.encode() if isinstance(content, str) else content
            for path, content in files.items()
        }
    )


def _emptiness(files: Mapping[str, str | bytes]) -> dict[str, bool]:
    return {} if files else {"empty_layer": True}


def _saved(store: Store, parent: Digest) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Members and manifest entry of the parent as a docker-archive, without names."""
    saved = io.BytesIO()
    store.save([parent], saved)
    saved.seek(0)
    members = {}
    with tarfile.open(fileobj=saved) as archive:
        for member in archive:
            file = archive.extractfile(member) if not member.isdir() else None
            if file is not None:
                members[member.name] = file.read()
    entries = json.loads(members["manifest.json"])
    for entry in entries:
        entry["RepoTags"] = None
    return members, entries


def _tar(members: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members):
            if not name.strip("/"):
                raise Refused(f"no file can have the name {quote(name)}")
            info = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                info.mode = FOLDER_MODE
                tar.addfile(info)
            else:
                info.size = len(members[name])
                info.mode = FILE_MODE
                tar.addfile(info, io.BytesIO(members[name]))
    return archive.getvalue()
