"""The benchmark's own data: docker-archives made from this machine's files, or from a seed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

CREATED = "2026-01-01T00:00:00Z"
SYSTEM = ("/usr/lib", "/usr/share", "/usr/bin")


class Writer:
    """A docker-archive as `docker save` writes it, layer by layer."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w")  # noqa: SIM115
        self._manifest: list[dict[str, object]] = []
        self._layers: set[str] = set()

    def layer(self, data: Path | bytes) -> str:
        """Add a layer's tar, unless it is there already; its diff ID in hex."""
        if isinstance(data, bytes):
            digest = hashlib.sha256(data).hexdigest()
            if digest not in self._layers:
                self._add(f"{digest}/layer.tar", data)
        else:
            with data.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest not in self._layers:
                self._tar.add(data, f"{digest}/layer.tar")
        self._layers.add(digest)
        return digest

    def image(self, layers: Sequence[str], *names: str, label: str = "") -> str:
        """Add an image of layers given by diff ID; its image ID in hex."""
        config = json.dumps(
            {
                "architecture": "amd64", "os": "linux", "created": CREATED,
                "config": {"Labels": {"bench": label}} if label else {},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
                "history": [{"created": CREATED, "created_by": "bench"} for _ in layers],
            }
        ).encode()  # fmt: skip
        digest = hashlib.sha256(config).hexdigest()
        self._add(f"{digest}.json", config)
        self._manifest.append(
            {
                "Config": f"{digest}.json",
                "RepoTags": list(names) or None,
                "Layers": [f"{layer}/layer.tar" for layer in layers],
            }
        )
        return digest

    def close(self) -> None:
        """Write the archive's manifest and end it."""
        self._add("manifest.json", json.dumps(self._manifest).encode())
        self._tar.close()

    def _add(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))


def small_layer(name: str, size: int = 1024) -> bytes:
    """A layer of one file of text that the name decides."""
    data = io.BytesIO()
    text = random.Random(name).randbytes(size // 2).hex().encode()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return data.getvalue()


def one_small(path: Path, name: str) -> None:
    """An archive of one image of one small layer."""
    archive = Writer(path)
    archive.image([archive.layer(small_layer(name))], f"{name}:latest")
    archive.close()


def many(path: Path, *, images: int = 200, named: bool = True) -> int:
    """Images of 20 layers: 8 common to all, 6 common to groups of 20, 6 of their own.

    Returns the number of layers: 1 268 for 200 images.
    """
    archive = Writer(path)
    layers = set()
    for number in range(images):
        group = number // 20
        names = [
            *(f"common{index}" for index in range(8)),
            *(f"group{group}-{index}" for index in range(6)),
            *(f"image{number}-{index}" for index in range(6)),
        ]
        stack = [archive.layer(small_layer(name)) for name in names]
        layers.update(stack)
        archive.image(stack, *([f"many/image{number}:1"] if named else []))
    archive.close()
    return len(layers)


def same_layer(path: Path, images: int) -> None:
    """So many images that differ in their configuration only."""
    archive = Writer(path)
    layer = archive.layer(small_layer("same"))
    for number in range(images):
        archive.image([layer], f"same/image{number}:1", label=str(number))
    archive.close()


def deep(path: Path, layers: int = 100, size: int = 500_000) -> None:
    """One image of so many layers of half a megabyte each."""
    archive = Writer(path)
    stack = [archive.layer(small_layer(f"deep{number}", size)) for number in range(layers)]
    archive.image(stack, "deep:latest")
    archive.close()


def many_files(path: Path, files: int) -> None:
    """The image many:1 of one layer with so many small files, a hundred in each directory."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(files):
            directory = f"usr/share/{number // 100:05}"
            if number % 100 == 0:
                entry = tarfile.TarInfo(directory)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            text = f"{number}\n".encode()
            entry = tarfile.TarInfo(f"{directory}/file{number % 100:02}.txt")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    archive = Writer(path)
    archive.image([archive.layer(data.getvalue())], "many:1")
    archive.close()


def _real_files(seed: int) -> Iterator[Path]:
    """Files of this machine's system in an order that the seed decides."""
    found = []
    for root in SYSTEM:
        for folder, _, names in os.walk(root):
            found += [os.path.join(folder, name) for name in names]
    random.Random(seed).shuffle(found := sorted(found))
    for name in found:
        path = Path(name)
        if not path.is_symlink() and path.is_file() and os.access(path, os.R_OK):
            yield path


def real_files(
    path: Path, *, megabytes: int, layers: int, seed: int, in_order: bool = False
) -> None:
    """An image of layers of files of this machine; beside it one with another top layer.

    In a layer they stand in no order, or as builders write them, by their names.

    `path` is the archive of the image `real:latest`; the same name with `-top` added before the
    suffix is that of `real:top`, which shares all layers but one.
    """
    files = _real_files(seed)
    limit = megabytes * 1_000_000 // layers
    parts = []
    for number in range(layers + 1):
        layer = path.with_name(f"{path.stem}-layer{number}.tar")
        size, chosen = 0, list[Path]()
        for file in files:
            length = file.stat().st_size
            if length > limit // 2:
                continue
            chosen.append(file)
            size += length
            if size >= limit:
                break
        if in_order:
            chosen.sort()
        with tarfile.open(layer, "w") as tar:
            for file in chosen:
                tar.add(file, str(file).lstrip("/"))
        parts.append(layer)
    for name, chosen, tag in (
        (path, parts[:-1], "latest"),
        (path.with_stem(path.stem + "-top"), [*parts[:-2], parts[-1]], "top"),
    ):
        archive = Writer(name)
        archive.image([archive.layer(part) for part in chosen], f"real:{tag}")
        archive.close()
    for part in parts:
        part.unlink()
