"""Images as files by name: read from layouts and archives, changed, written as either.

The change that matters most is one whose digests are right again: the blob has its new name, and
whatever leads to it says that name and its new size. It comes past the first check, and past the
diff IDs where a layer was changed.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import socket
import stat
import tarfile
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import zstandard

from tests.property.mutation import NASTY, bitten, document_of, mutated, reworded

HEX = re.compile(r"[0-9a-f]{64}")
ROUNDS = 60  # blobs that one change may rename: documents can be made to name each other
MOST = 200_000  # bytes of a tree to start from
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": lambda data: zstandard.ZstdCompressor(1).compress(data),
    "frames": lambda data: b"".join(
        zstandard.ZstdCompressor(1).compress(data[at : at + 1000])
        for at in range(0, len(data), 1000)
    ),
    "none": lambda data: data,
}
Tree = dict[str, bytes]


def trees(fixtures: Path) -> list[Tree]:
    """The small layouts and archives among the fixtures; OCI layouts first."""
    found = [
        {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*"))
         if path.is_file()}
        for top in sorted(path.parent for path in fixtures.glob("images/**/oci-layout"))
    ]  # fmt: skip
    for path in sorted(fixtures.glob("images/[!e]*/*.tar")):
        with tarfile.open(path) as tar:
            found.append(
                {
                    one.name: file.read()
                    for one in tar
                    if one.isfile() and (file := tar.extractfile(one))
                }
            )
    return [tree for tree in found if sum(map(len, tree.values())) < MOST]


def is_layout(tree: Tree) -> bool:
    return "oci-layout" in tree


def tar(tree: Tree) -> bytes:
    """The tree as an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write(tree: Tree, folder: Path) -> None:
    """The tree as a directory."""
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def spoilt(folder: Path, secret: Path, chance: Random) -> None:
    """Put something else in the place of a file or directory of a written tree."""
    path = chance.choice(sorted(folder.rglob("*")))
    if path.is_dir():
        moved = folder.parent / "moved"
        path.rename(moved)
        path.symlink_to(chance.choice((moved, "/", ".", "..")))
        return
    other = chance.choice([one for one in sorted(folder.rglob("*")) if one.is_file()])
    kind = chance.randrange(10)
    if kind < 3:
        path.chmod(chance.choice((0, 0o200, 0o4777)))
        return
    path.unlink()
    if kind == 3:
        os.mkfifo(path)
    elif kind == 4:
        path.mkdir()
    elif kind == 5:
        os.symlink(
            chance.choice((str(secret), "/dev/zero", path.name, "nosuch", "../.." * 3)), path
        )
    elif kind == 6 and other != path:
        os.link(other, path)
    elif kind == 7 and os.geteuid() == 0:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif kind == 8:
        with socket.socket(socket.AF_UNIX) as one:
            here = os.open(path.parent, os.O_RDONLY)  # the names of sockets are short
            one.bind(f"/proc/self/fd/{here}/{path.name}")
            os.close(here)
    elif other != path:
        os.symlink(os.path.relpath(other, path.parent), path)


def changed(tree: Tree, chance: Random) -> Tree:
    """The tree with one to three files changed, most with digests that are right again."""
    tree = dict(tree)
    for _ in range(chance.randint(1, 3)):
        if not tree:
            break
        documents = [name for name, content in tree.items() if document_of(content) is not None]
        name = chance.choice(documents if documents and chance.random() < 0.75 else sorted(tree))
        content = _other(tree[name], tree, chance)
        how = chance.random()
        if how < 0.8:
            settle(tree, name, content)
        elif how < 0.9:
            tree[name] = content
        elif how < 0.95:
            del tree[name]
        else:
            tree[chance.choice(("../x", "/etc/x", name.upper(), f"./{name}", "x" * 99))] = content
    return tree


def _other(content: bytes, tree: Tree, chance: Random) -> bytes:
    if document_of(content) is not None:
        others = [document_of(one) for one in tree.values()]
        return reworded(content, chance, [one for one in others if one is not None])
    how = chance.random()
    plain = decompressed(content)
    if how < 0.3 or plain is None:
        return bitten(content, chance)
    if how < 0.8:
        plain = mutated(plain, chance)
    return COMPRESSED[chance.choice(sorted(COMPRESSED))](plain)


def decompressed(data: bytes) -> bytes | None:
    """What is in a layer; None where that cannot be told."""
    try:
        if data[:2] == b"\x1f\x8b":
            return gzip.decompress(data)
        if data[:4] == b"\x28\xb5\x2f\xfd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError):
        return None
    return data if data[257:262] == b"ustar" else None


def settle(tree: Tree, name: str, content: bytes) -> None:
    """Change a file, its name if that is a digest, and all documents that lead to it, upwards."""
    pending = [(name, content)]
    for _ in range(ROUNDS):
        if not pending:
            break
        name, content = pending.pop()
        if name not in tree:
            continue
        old = tree.pop(name)
        hexes = {_hex(old): (_hex(content), len(content))}
        before, after = decompressed(old), decompressed(content)
        if before is not None and after is not None:
            hexes[_hex(before)] = (_hex(after), len(after))
        for was, (now, _) in hexes.items():
            name = name.replace(was, now)
        tree[name] = content
        for other, document in list(tree.items()):
            if other != name and any(was.encode() in document for was in hexes if was):
                pending.append((other, _led(document, hexes)))


def _led(document: bytes, hexes: dict[str, tuple[str, int]]) -> bytes:
    for was, (now, _) in hexes.items():
        document = document.replace(was.encode(), now.encode())
    value = document_of(document)
    if value is None:
        return document
    sizes = {f"sha256:{now}": size for now, size in hexes.values()}
    return json.dumps(value).encode() if _sized(value, sizes) else document


def _sized(value: Any, sizes: dict[str, int]) -> bool:
    """Give descriptors their sizes; whether there were any."""
    if isinstance(value, list):
        return max((_sized(item, sizes) for item in value), default=False)
    if not isinstance(value, dict):
        return False
    any_one = max((_sized(item, sizes) for item in value.values()), default=False)
    digest = value.get("digest")
    if isinstance(digest, str) and digest in sizes and isinstance(value.get("size"), int):
        value["size"] = sizes[digest]
        return True
    return any_one


def _hex(data: bytes) -> str:
    return sha256(data).hexdigest()


def noted(tree: Tree, key: str, chance: Random) -> Tree:
    """The tree with the annotations whose key has this in it changed, and all digests right."""
    tree = dict(tree)
    found: list[tuple[str, Any, dict[str, Any], str]] = []  # file, document, annotations, key
    for name, content in tree.items():
        value = document_of(content)
        for layer in (value.get("layers") or []) if isinstance(value, dict) else []:
            notes = layer.get("annotations") if isinstance(layer, dict) else None
            if notes:
                found += [(name, value, notes, one) for one in notes if key in one]
    if not found:
        return changed(tree, chance)
    name, value, notes, one = chance.choice(found)
    if chance.random() < 0.2:
        notes[one] = chance.choice(NASTY)
    elif chance.random() < 0.6:
        notes[one] = _inside(notes[one], chance)
    else:
        notes[one] = bitten(notes[one].encode(), chance).decode("utf-8", "replace")
    settle(tree, name, json.dumps(value).encode())
    return tree


def _inside(text: str, chance: Random) -> str:
    """A text of base64 with what is in it changed, as a document where it is one."""
    import base64

    parts = text.split(",")
    at = chance.randrange(len(parts))
    try:
        data = base64.b64decode(parts[at], validate=True)
    except ValueError:
        return text + "="
    parts[at] = base64.b64encode(reworded(data, chance)).decode()
    return ",".join(parts)
