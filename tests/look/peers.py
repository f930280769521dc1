"""What other tools make of an image: its files, as one dictionary whatever the tool."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.look.randomimages import Layers, archive_of, layout_of


@dataclass(frozen=True)
class Seen:
    """One file, as a tool shows it."""

    kind: str
    mode: int
    uid: int
    gid: int
    content: str = ""  # its SHA-256, or where a link leads
    device: tuple[int, int] = (0, 0)
    mtime: int = 0  # seconds
    xattrs: tuple[tuple[str, bytes], ...] = ()
    first: bytes = b""  # the first name, in the order of names, that is the same file


Tree = dict[bytes, Seen]


class PeerFailure(Exception):
    """The tool refuses the image."""


def of_directory(top: Path) -> Tree:
    """A tree on the disk."""
    tree: Tree = {}
    inodes: dict[tuple[int, int], bytes] = {}
    root = os.fsencode(top)
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            inner = path[len(root) + 1 :]
            tree[inner] = _of_path(path, status)
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                inodes.setdefault((status.st_dev, status.st_ino), b"")
    groups: dict[tuple[int, int], list[bytes]] = {}
    for inner in tree:
        status = os.lstat(os.path.join(root, inner))
        if not stat.S_ISDIR(status.st_mode):
            groups.setdefault((status.st_dev, status.st_ino), []).append(inner)
    return _with_groups(tree, groups.values())


def _of_path(path: bytes, status: os.stat_result) -> Seen:
    mode, content, device = status.st_mode, "", (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    if stat.S_ISREG(mode):
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        xattrs = tuple(
            (name, os.getxattr(path, name))
            for name in sorted(os.listxattr(path))
            if name.startswith("user.")
        )
        kind = "file"
    elif stat.S_ISDIR(mode):
        kind = "directory"
    elif stat.S_ISLNK(mode):
        kind, content = "symlink", os.fsdecode(os.readlink(path))
    elif stat.S_ISFIFO(mode):
        kind = "fifo"
    else:
        kind = "character device" if stat.S_ISCHR(mode) else "block device"
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return Seen(
        kind, stat.S_IMODE(mode), status.st_uid, status.st_gid, content, device,
        int(status.st_mtime), xattrs,
    )  # fmt: skip


def _with_groups(tree: Tree, groups: object) -> Tree:
    from dataclasses import replace

    for names in groups:  # type: ignore[attr-defined]  # lists of names
        if len(names) > 1:
            first = min(names)
            for name in names:
                tree[name] = replace(tree[name], first=first)
    return tree


_KINDS = {
    tarfile.REGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "character device", tarfile.BLKTYPE: "block device", tarfile.FIFOTYPE: "fifo",
}  # fmt: skip


def of_tar(data: bytes) -> Tree:
    """A tar of a whole root file system."""
    tree: Tree = {}
    groups: dict[bytes, list[bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        for info in tar:
            name = info.name.encode("utf-8", "surrogateescape").strip(b"/")
            name = b"/".join(part for part in name.split(b"/") if part != b".")
            if not name:
                continue
            if info.islnk():
                target = info.linkname.encode("utf-8", "surrogateescape").strip(b"/")
                tree[name] = tree[target]
                first = next((key for key, names in groups.items() if target in names), target)
                groups.setdefault(first, [first]).append(name)
                continue
            content = ""
            if info.isreg():
                file = tar.extractfile(info)
                assert file is not None
                content = hashlib.sha256(file.read()).hexdigest()
            elif info.issym():
                content = info.linkname
            device = (info.devmajor, info.devminor) if info.ischr() or info.isblk() else (0, 0)
            xattrs = tuple(
                (key[13:], value.encode("utf-8", "surrogateescape"))
                for key, value in sorted(info.pax_headers.items())
                if key.startswith("SCHILY.xattr.user.")
            )
            tree[name] = Seen(
                _KINDS[info.type], info.mode & 0o7777, info.uid, info.gid, content, device,
                int(info.mtime), xattrs,
            )  # fmt: skip
    return _with_groups(tree, groups.values())


def run(*words: str, data: bytes | None = None) -> bytes:
    """Output of a command; PeerFailure with its words if it fails."""
    done = subprocess.run(words, input=data, capture_output=True, check=False)
    if done.returncode:
        raise PeerFailure(done.stderr.decode(errors="replace").strip()[-300:])
    return done.stdout


class Umoci:
    """`umoci unpack`, as root."""

    name = "umoci"

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    @staticmethod
    def is_here() -> bool:
        return shutil.which("umoci") is not None and os.geteuid() == 0

    def files(self, layers: Layers) -> Tree:
        layout = layout_of(layers, "x")
        place = self._scratch / "umoci"
        shutil.rmtree(place, ignore_errors=True)
        layout.write(str(place / "layout"))
        run("umoci", "unpack", "--image", f"{place}/layout:x", str(place / "bundle"))
        try:
            return of_directory(place / "bundle" / "rootfs")
        finally:
            shutil.rmtree(place, ignore_errors=True)


class Podman:
    """`podman load` and `podman image mount`, with storage of its own."""

    name = "podman"

    def __init__(self, scratch: Path) -> None:
        pass  # podman takes no path of more than 50 letters

    @staticmethod
    def is_here() -> bool:
        return shutil.which("podman") is not None and os.geteuid() == 0

    def files(self, layers: Layers) -> Tree:
        name = "localhost/casstore-look:x"
        with tempfile.TemporaryDirectory(prefix="look") as top:
            storage = f"{top}/storage"
            command = (
                *("podman", "--root", storage, "--runroot", f"{top}/run"),
                *("--storage-driver", "overlay"),
            )
            try:
                run(*command, "load", data=archive_of(layers, name))
                try:
                    place = run(*command, "image", "mount", name).decode().strip()
                    return of_directory(Path(place))
                finally:
                    run(*command, "image", "umount", "-a")
            finally:
                subprocess.run(["umount", f"{storage}/overlay"], capture_output=True, check=False)


class Docker:
    """`docker load`, `docker create` and `docker export`; needs a daemon."""

    name = "docker"
    # What docker puts into every container.
    OWN = (b".dockerenv", b"dev", b"etc", b"proc", b"sys")

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    @staticmethod
    def is_here() -> bool:
        if shutil.which("docker") is None:
            return False
        return (
            subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
        )

    def files(self, layers: Layers) -> Tree:
        name = f"casstore-look:{os.getpid()}"  # another process may use the same daemon
        run("docker", "load", data=archive_of(layers, name))
        container = run("docker", "create", name).decode().strip()
        try:
            tree = of_tar(run("docker", "export", container))
        finally:
            run("docker", "rm", container)
            run("docker", "rmi", name)
        own = Docker.OWN
        return {n: seen for n, seen in tree.items() if n.split(b"/")[0] not in own}


Peer = Docker | Podman | Umoci
