"""What casstore makes of an image, in the words of peers.py."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

from casstore import ImageFile, ImageFiles, Store
from tests.look.peers import Seen, Tree
from tests.look.randomimages import Layers, archive_of

NAME = "look:x"


def loaded(store: Store, layers: Layers) -> str:
    """The image in the store; its name."""
    store.load(io.BytesIO(archive_of(layers, NAME)))
    return NAME


def of_store(store: Store, image: str) -> Tree:
    """All files of an image, each read; and each looked up by itself, to the same end."""
    with store.files(image) as files:
        walked = [file for file in files.walk() if file.name]
        tree = {file.name: _seen(files, file) for file in walked}
        for file in walked:
            assert files[file.path] == file
        groups: dict[object, list[bytes]] = {}
        for file in walked:
            if file.is_shared:
                groups.setdefault(file.inode, []).append(file.name)
    for names in groups.values():
        if len(names) > 1:
            for name in names:
                tree[name] = replace(tree[name], first=min(names))
    return tree


def _seen(files: ImageFiles, file: ImageFile) -> Seen:
    content = file.target or ""
    if file.is_file:
        content = hashlib.sha256(files.read_bytes(file.path)).hexdigest()
        assert content == file.sha256
    return Seen(
        file.kind,
        file.mode,
        file.uid,
        file.gid,
        content,
        file.device or (0, 0),
        file.mtime // 10**9,
        tuple(sorted(file.xattrs.items())),
    )
