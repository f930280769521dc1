"""Images of a few files, for what takes files out of images."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from casstore import Store
from tests.transfer.building import docker_archive

IMAGE = "app:1"
MTIME = 1_234_567_890


def entry(
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    mode: int | None = None,
    owner: tuple[int, int] | None = None,
    device: tuple[int, int] = (0, 0),
    xattrs: dict[str, str] | None = None,
) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a layer; a name that ends with a slash is a directory's."""
    member = tarfile.TarInfo(name.rstrip("/"))
    member.type = tarfile.DIRTYPE if name.endswith("/") else kind
    member.linkname, member.size, member.mtime = link, len(content), MTIME
    member.mode = mode if mode is not None else 0o755 if member.isdir() else 0o644
    member.uid, member.gid = owner or (os.geteuid(), os.getegid())
    member.devmajor, member.devminor = device
    member.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in (xattrs or {}).items()}
    return member, content


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.SYMTYPE, link=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, kind=tarfile.LNKTYPE, link=target)


def layer_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def store_of(path: Path, *layers: bytes, name: str = IMAGE) -> Store:
    """A store with an image of these layers."""
    store = Store(path / "a store")
    store.load(io.BytesIO(docker_archive({"layers": list(layers), "tags": [name]})))
    return store


def usual(path: Path) -> Store:
    """A store with an image of two layers that has something of everything."""
    return store_of(
        path,
        layer_of(
            entry("etc/"),
            entry("etc/passwd", b"root:x:0:0\n"),
            entry("etc/gone", b"gone"),
            entry("usr/", mode=0o711),
            entry("usr/bin/"),
            entry("usr/bin/tool", b"#!tool" * 1000, mode=0o755),
            hard_link("usr/bin/same", "usr/bin/tool"),
            symlink("bin", "usr/bin"),
        ),
        layer_of(
            entry("etc/.wh.gone"),
            entry("etc/motd", b"hello\n"),
            hard_link("etc/tool", "usr/bin/tool"),
            symlink("etc/mtab", "/proc/mounts"),
        ),
    )
