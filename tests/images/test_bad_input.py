"""Bad input to the real command: one line, status 1, nothing changed, little memory, soon.

One case at least for each kind of bad input that the store promises to refuse; the finer cases are
tests of the readers (tests/transfer). `edited` inputs are in test_inputs.py.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
import zstandard

from casstore.model.digest import sha256
from casstore.store import Store
from tests.transfer.building import (
    Layout,
    config_of,
    docker_archive,
    layer,
    member,
    tar_of,
    tar_of_members,
)

MEMORY = 300 << 10  # kB, the promise for any command
LAYER = layer("a")
CONFIG = config_of(LAYER)
GOOD = docker_archive({"layers": [LAYER], "tags": ["a:1"]})
END = bytes(1024)

# Runs the command and says how much memory it took: what getrusage says of a child includes the
# process that started it.
RUN = """
import sys
from casstore.cli.main import main
status = main(sys.argv[2:])
with open("/proc/self/status") as file, open(sys.argv[1], "w") as out:
    out.write(next(line for line in file if line.startswith("VmHWM")).split()[1])
sys.exit(status)
"""


def header(name: bytes, size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108] = b"0000644\0"
    block[124:136] = size
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def archive(**fields: object) -> bytes:
    item = {"Config": "c.json", "Layers": ["l.tar"], "RepoTags": ["a:1"], **fields}
    return tar_of({"manifest.json": json.dumps([item]).encode(), "c.json": CONFIG, "l.tar": LAYER})


def with_manifest(data: bytes) -> bytes:
    return tar_of({"manifest.json": data, "c.json": CONFIG, "l.tar": LAYER})


def with_config(**fields: object) -> bytes:
    data = json.dumps({**json.loads(CONFIG), **fields}).encode()
    return tar_of({"manifest.json": _manifest(), "c.json": data, "l.tar": LAYER})


def with_layer(data: bytes) -> bytes:
    return tar_of({"manifest.json": _manifest(), "c.json": CONFIG, "l.tar": data})


def with_link(kind: bytes, link: str = "") -> bytes:
    return tar_of_members(
        (member("manifest.json"), _manifest()), (member("c.json"), CONFIG),
        (member("l.tar", kind, link), b""),
    )  # fmt: skip


def _manifest() -> bytes:
    return json.dumps([{"Config": "c.json", "Layers": ["l.tar"], "RepoTags": ["a:1"]}]).encode()


class Compressor(Protocol):
    """As in bz2, lzma and zlib."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def zeros(gigabytes: float, compress: Callable[[], Compressor]) -> bytes:
    """A bomb: so many zeros."""
    packer = compress()
    parts = [packer.compress(bytes(1 << 22)) for _ in range(int(gigabytes * 256))]
    return b"".join((*parts, packer.flush()))


def zstd_bomb() -> bytes:
    return zeros(4, zstandard.ZstdCompressor(level=1).compressobj)


def xz_bomb() -> bytes:
    return lzma.compress(bytes(64 << 20), preset=0) * 20


def bzip2_bomb() -> bytes:
    return bz2.compress(bytes(32 << 20)) * 40


def window(log: int) -> bytes:
    return b"\x28\xb5\x2f\xfd" + bytes([0, (log - 10) << 3]) + b"\x01\0\0"


def layout(change: Callable[[Layout], None]) -> bytes:
    made = Layout()
    change(made)
    return made.tar().getvalue()


def nested(depth: int) -> bytes:
    def change(made: Layout) -> None:
        top = made.image("a")
        for _ in range(depth):
            top = made.index(top)
        made.publish(top, "a:1")

    return layout(change)


def published(**fields: object) -> bytes:
    def change(made: Layout) -> None:
        made.publish({**made.image("a"), **fields}, "a:1")

    return layout(change)


CASES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no archive": lambda: b"hello\n" * 500,
    "unknown compression": lambda: b"7z\xbc\xaf\x27\x1c" + bytes(5000),
    "cut in a header": lambda: GOOD[:700],
    "cut in a member": lambda: GOOD[: len(GOOD) // 2],
    "gzip cut": lambda: gzip.compress(GOOD)[:-9],
    "xz with junk after it": lambda: lzma.compress(GOOD) + b"junk",
    "zstd cut": lambda: zstandard.compress(GOOD)[:-5],
    "bzip2 cut": lambda: bz2.compress(GOOD)[:-5],
    "tar: size past the end": lambda: header(b"manifest.json", b"07777777777\0") + END,
    "tar: negative size": lambda: header(b"manifest.json", b"\xff" * 12) + END,
    "tar: extended header of a tebibyte": lambda: (
        header(b"p", b"\x80" + (1 << 40).to_bytes(11, "big"), b"x") + END
    ),
    "tar: long name of 8 GiB": lambda: header(b"l", b"77777777777\0", b"L") + END,
    "tar: pax record longer than its header": lambda: (
        header(b"p", b"00000000024\0", b"x") + padded(b"999999999 path=abc\n\n") + END
    ),
    "tar: pax record without a newline": lambda: (
        header(b"p", b"00000000014\0", b"x") + padded(b"12 path=abcd") + header(b"a") + END
    ),
    "tar: negative pax size": lambda: (
        header(b"p", b"00000000013\0", b"x") + padded(b"11 size=-1\n") + header(b"a") + END
    ),
    "tar: sparse member": lambda: header(b"manifest.json", kind=b"S") + END,
    "tar: pax sparse member": lambda: (
        header(b"p", b"00000000026\0", b"x")
        + padded(b"22 GNU.sparse.major=1\n")
        + header(b"a")
        + END
    ),
    "tar: a name twice": lambda: tar_of_members(
        (member("manifest.json"), b"[]"), (member("./manifest.json"), b"{}")
    ),
    "tar: too many members": lambda: b"".join(header(b"f%d" % n) for n in range(100_001)) + END,
    "config outside": lambda: archive(Config="../../../etc/passwd"),
    "layer at an absolute path": lambda: archive(Layers=["/etc/passwd"]),
    "layer that is a link to outside": lambda: with_link(tarfile.SYMTYPE, "../../etc/passwd"),
    "layer that is an absolute link": lambda: with_link(tarfile.SYMTYPE, "/etc/passwd"),
    "layer that is a link to itself": lambda: with_link(tarfile.SYMTYPE, "l.tar"),
    "layer that is a hard link to nothing": lambda: with_link(tarfile.LNKTYPE, "nosuch"),
    "layer that is a fifo": lambda: with_link(tarfile.FIFOTYPE),
    "layer that is a device": lambda: with_link(tarfile.CHRTYPE),
    "layer that is a directory": lambda: with_link(tarfile.DIRTYPE),
    "layer of other bytes": lambda: with_layer(layer("b")),
    "more layers than diff IDs": lambda: archive(Layers=["l.tar", "l.tar"]),
    "rootfs of another type": lambda: with_config(
        rootfs={"type": "tarball", "diff_ids": [sha256(LAYER)]}
    ),
    "diff ID with a newline": lambda: with_config(
        rootfs={"type": "layers", "diff_ids": [sha256(LAYER) + "\n"]}
    ),
    "gzip bomb as archive": lambda: gzip.compress(bytes(256 << 20), 1) * 8,
    "zstd bomb as archive": zstd_bomb,
    "zstd bomb as layer": lambda: with_layer(zstd_bomb()),
    "xz bomb as layer": lambda: with_layer(xz_bomb()),
    "bzip2 bomb as layer": lambda: with_layer(bzip2_bomb()),
    "zstd window of 2 GiB": lambda: window(31),
    "zstd window of 2 TiB in a layer": lambda: with_layer(window(41)),
    "xz dictionary of 1 GiB": lambda: lzma.compress(
        GOOD, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    ),
    "JSON too big": lambda: with_manifest(b"[" + b" " * (5 << 20) + b"]"),
    "JSON too deep": lambda: with_manifest(b"[" * 100_000),
    "JSON with a key twice": lambda: with_manifest(b'[{"Config":"x","Config":"c.json"}]'),
    "JSON with NaN": lambda: with_manifest(b"[NaN]"),
    "JSON twice": lambda: with_manifest(_manifest() + b"[]"),
    "JSON of the wrong type": lambda: archive(Layers="l.tar"),
    "JSON with a number of 5000 digits": lambda: with_manifest(b"[" + b"9" * 5000 + b"]"),
    "name with upper case": lambda: archive(RepoTags=["A:1"]),
    "second name with a newline": lambda: archive(RepoTags=["good:1", "a:1\n"]),
    "name with control characters": lambda: archive(RepoTags=["a\x1b[2J:1"]),
    "name of 64 hex digits": lambda: archive(RepoTags=["a" * 64]),
    "name that is an algorithm": lambda: archive(RepoTags=["sha256:abc"]),
    "name with a digest": lambda: archive(RepoTags=["a@sha256:" + "a" * 64]),
    "name beyond ASCII": lambda: archive(RepoTags=["a:\u0661"]),
    "name too long": lambda: archive(RepoTags=["a" * 300 + ":1"]),
    "indexes nested nine deep": lambda: nested(9),
    "descriptor of another size": lambda: published(size=7),
    "descriptor of a negative size": lambda: published(size=-1),
    "descriptor whose size is true": lambda: published(size=True),
    "descriptor with a digest that is a path": lambda: published(digest="sha256:../../etc/passwd"),
    "descriptor with another media type": lambda: published(
        mediaType="application/vnd.oci.image.index.v1+json"
    ),
    "descriptor of schema 1": lambda: published(
        mediaType="application/vnd.docker.distribution.manifest.v1+json"
    ),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an image, which no bad input may change."""
    path = tmp_path_factory.mktemp("bad") / "store"
    with Store(str(path)) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("kept")], "tags": ["kept:1"]})))
    return path


def state(root: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in root.rglob("*"):
        status = path.lstat()
        found[str(path)] = (status.st_mode, 0 if path.is_dir() else status.st_size)
    found.pop(str(root / "casstore.lock"))  # says who held it last
    return found


def refused(root: Path, box: Path, *words: str, data: bytes | None = None) -> None:
    """Run the command in an empty directory, home and temporary directory; it must refuse."""
    places = {name: box / name for name in ("cwd", "HOME", "TMPDIR")}
    for place in places.values():
        place.mkdir()
    before = state(root)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    env |= {name: str(place) for name, place in places.items()}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(box / "memory"), "--store", str(root), *words],
        cwd=places["cwd"], env=env, input=data, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    text = done.stderr.decode()

    assert done.returncode == 1, text
    assert text.startswith("Error: ")
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    assert len(text) < 500
    assert state(root) == before
    assert [list(place.iterdir()) for place in places.values()] == [[], [], []]
    assert int((box / "memory").read_text()) < MEMORY


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_one_line_and_changes_nothing(
    root: Path, tmp_path: Path, case: str
) -> None:
    path = tmp_path / "input"
    path.write_bytes(CASES[case]())

    refused(root, tmp_path, "load", "-i", str(path))


@pytest.mark.parametrize("case", ["no archive", "gzip bomb as archive", "zstd cut"])
def test_bad_input_from_a_pipe_is_refused_too(root: Path, tmp_path: Path, case: str) -> None:
    refused(root, tmp_path, "load", data=CASES[case]())


@pytest.mark.parametrize("command", [["load", "-i"], ["import"]])
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_an_endless_device_is_refused_soon(
    root: Path, tmp_path: Path, command: list[str], device: str
) -> None:
    refused(root, tmp_path, *command, device)


def test_bad_members_that_nobody_needs_are_never_written(root: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    data = tar_of_members(
        (member("manifest.json"), _manifest()),
        (member("c.json"), CONFIG),
        (member("l.tar"), LAYER),
        (member(str(evil)), b"x"),
        (member(f"../../../../../../../..{evil}"), b"x"),
        (member("device", tarfile.CHRTYPE), b""),
        (member("link", tarfile.SYMTYPE, "/etc/shadow"), b""),
    )
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(data))
        assert store.check().clean

    assert not evil.exists()
