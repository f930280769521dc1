"""Layers that Go programs have compressed are read at their restart points."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pytest

from casstore.transfer.layerseek import LayerReader
from casstore.transfer.layerstream import open_uncompressed
from tests.transfer.building import docker_archive, tar_of
from tests.transfer.layerblobs import PLAIN, CountingFile, entry_of, points_of, record_of

pytestmark = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")

TAR = tar_of({str(at): PLAIN[at : at + 150_000] for at in range(0, len(PLAIN), 150_000)})


def compressed(folder: Path, *options: str) -> bytes:
    """The blob that skopeo makes of a layer."""
    archive = folder / "a.tar"
    archive.write_bytes(docker_archive({"layers": [TAR], "tags": ["app:1"]}))
    copy = ("skopeo", "--insecure-policy", "copy", "-q", "--dest-compress")
    places = f"docker-archive:{archive}", f"dir:{folder}/out"
    subprocess.run([*copy, *options, *places], check=True)
    return max((file.read_bytes() for file in (folder / "out").iterdir()), key=len)


@pytest.mark.parametrize("level", ["1", "6", "9"])
def test_blocks_that_go_has_deflated_are_found(tmp_path: Path, level: str) -> None:
    options = "--dest-compress-format", "gzip", "--dest-compress-level", level
    blob = compressed(tmp_path, *options)
    points = points_of(blob, TAR)
    assert points is not None and len(points.plain) > 4
    file = CountingFile(blob)
    reader = LayerReader(file, record_of(blob, TAR), points)

    for start in reversed(points.plain):
        file.count = 0
        size = min(1000, len(TAR) - start)
        assert reader.open(entry_of(TAR, start, size)).read() == TAR[start:][:size]
        assert file.count < len(blob) / 2


@pytest.mark.parametrize("kind", ["zstd", "zstd:chunked"])
def test_zstd_by_go_is_read_anywhere(tmp_path: Path, kind: str) -> None:
    options = "--dest-compress-format", kind, "--format", "oci"
    blob = compressed(tmp_path, *options)
    assert blob[:4] == b"\x28\xb5\x2f\xfd"

    # The form in chunks leaves out zeros at the end of a tar.
    plain = open_uncompressed(BytesIO(blob)).read()
    assert TAR.startswith(plain.rstrip(b"\0"))

    for points in (None, points_of(blob, plain)):
        reader = LayerReader(BytesIO(blob), record_of(blob, plain), points)
        for start in range(len(plain) - 1000, 0, -700_000):
            assert reader.open(entry_of(plain, start, 1000)).read() == plain[start:][:1000]
