from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from casstore.errors import Damaged, Unsupported
from casstore.model.digest import sha256
from casstore.model.state import BROKEN
from casstore.transfer.compress import DEFAULT, Compression
from casstore.transfer.dockerarchive_out import members
from casstore.transfer.saved import SavedImage
from casstore.transfer.source import read_images
from casstore.transfer.tarout import stream_tar
from tests.transfer.building import OCI_LAYER, OCI_MANIFEST, layer, tar_of
from tests.transfer.intake import FakeIntake
from tests.transfer.noise import noise
from tests.transfer.storedfiles import StoredFiles

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BASE, TOP = layer("base"), layer("top")
LARGE = tar_of({"large": noise(1 << 20) * 6})


def write_docker_archive(out: IO[bytes], images: Sequence[SavedImage], blobs: StoredFiles) -> None:
    stream_tar(out, members(images, blobs), blobs)


@pytest.fixture
def blobs(tmp_path: Path) -> StoredFiles:
    return StoredFiles(tmp_path)


def archive_of(blobs: StoredFiles, *images: SavedImage) -> bytes:
    out = io.BytesIO()
    write_docker_archive(out, images, blobs)
    return out.getvalue()


def files_in(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            file = tar.extractfile(info)
            assert file is not None
            found[info.name] = file.read()
    return found


def manifest_in(data: bytes) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads(files_in(data)["manifest.json"])
    return value


def test_an_archive_holds_the_manifest_first_then_configs_then_plain_layers(
    blobs: StoredFiles,
) -> None:
    image = blobs.add_image(BASE, LARGE, names=("docker.io/library/a:1", "quay.io/x/b:2"))

    data = archive_of(blobs, image)

    names = [f"{image.image_id.hex}.json", f"{sha256(BASE).hex}.tar", f"{sha256(LARGE).hex}.tar"]
    assert list(files_in(data)) == ["manifest.json", *names]
    assert files_in(data)[names[0]] == blobs.read(image.image_id)
    assert [files_in(data)[name] for name in names[1:]] == [BASE, LARGE]
    assert manifest_in(data) == [
        {"Config": names[0], "RepoTags": ["a:1", "quay.io/x/b:2"], "Layers": names[1:]}
    ]


def test_loading_what_was_saved_gives_the_same_images_names_and_parents(
    blobs: StoredFiles,
) -> None:
    base = blobs.add_image(BASE, names=("docker.io/library/base:1",))
    top = blobs.add_image(BASE, TOP, names=("docker.io/library/top:1",), parent=base.image_id)

    data = archive_of(blobs, base, top)

    arrivals = read_images(io.BytesIO(data), FakeIntake(), compression=DEFAULT)
    assert [(x.image.id, x.names, x.parent) for x in arrivals] == [
        (x.image_id, x.names, x.parent) for x in (base, top)
    ]


def test_a_layer_that_images_share_is_written_once(blobs: StoredFiles) -> None:
    first, second = blobs.add_image(BASE, TOP), blobs.add_image(BASE, TOP, TOP, author="me")

    data = archive_of(blobs, first, second)

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert len(tar.getnames()) == len(set(tar.getnames())) == 5
    assert manifest_in(data)[1]["Layers"] == [f"{sha256(x).hex}.tar" for x in (BASE, TOP, TOP)]


def test_the_same_images_give_the_same_bytes_whatever_the_compression(
    blobs: StoredFiles, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = StoredFiles(tmp_path / "other")
    gzip = Compression("gzip", 9)

    one = archive_of(blobs, blobs.add_image(BASE, LARGE, names=("docker.io/library/a:1",)))
    two = archive_of(
        other, other.add_image(BASE, LARGE, names=("docker.io/library/a:1",), compression=gzip)
    )

    assert one == two


def test_nothing_of_today_or_of_this_machine_is_in_the_archive(blobs: StoredFiles) -> None:
    data = archive_of(blobs, blobs.add_image(BASE))

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
            assert info.mode == 0o644


def test_an_image_without_a_tag_has_null_tags(blobs: StoredFiles) -> None:
    digest_only = (f"docker.io/library/a@{sha256(b'')}",)

    data = archive_of(blobs, blobs.add_image(BASE), blobs.add_image(TOP, names=digest_only))

    assert [item["RepoTags"] for item in manifest_in(data)] == [None, None]


def test_the_parent_is_written_where_there_is_one(blobs: StoredFiles) -> None:
    base = blobs.add_image(BASE)
    top = blobs.add_image(BASE, TOP, parent=base.image_id)

    items = manifest_in(archive_of(blobs, base, top))

    assert "Parent" not in items[0] and items[1]["Parent"] == base.image_id


def test_memory_does_not_grow_with_the_layer(blobs: StoredFiles) -> None:
    class Nowhere(io.BytesIO):
        def write(self, data: ReadableBuffer, /) -> int:
            return memoryview(data).nbytes

    image = blobs.add_image(tar_of({"zeros": bytes(100 << 20)}))
    blobs.intake.blobs.clear()
    tracemalloc.start()

    write_docker_archive(Nowhere(), [image], blobs)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 << 20


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("tar", [BASE, LARGE], ids=["small", "large"])
def test_a_corrupt_layer_is_damage(blobs: StoredFiles, tar: bytes, compression: str) -> None:
    image = blobs.add_image(tar, compression=Compression(compression, 1))
    (record,) = blobs.intake.layers.values()
    data = bytearray(blobs.read(record.digest))
    data[len(data) // 2] ^= 1
    blobs.change(record.digest, bytes(data))

    with pytest.raises(Damaged, match=f"blob {record.digest} "):
        archive_of(blobs, image)


def test_a_missing_layer_is_damage(blobs: StoredFiles, tmp_path: Path) -> None:
    image = blobs.add_image(BASE)
    (record,) = blobs.intake.layers.values()
    (tmp_path / record.digest.hex).unlink()

    with pytest.raises(Damaged, match="is missing"):
        archive_of(blobs, image)


def test_a_layer_that_is_not_in_the_index_is_damage(blobs: StoredFiles) -> None:
    image = blobs.add_image(BASE)
    blobs.intake.layers.clear()

    with pytest.raises(Damaged, match="is not in the tag index"):
        archive_of(blobs, image)


def test_a_layer_of_another_length_than_its_record_says_is_damage(blobs: StoredFiles) -> None:
    image = blobs.add_image(BASE)
    (record,) = blobs.intake.layers.values()
    for wrong in (record.diff_size + 512, record.diff_size - 512):
        blobs.intake.layers[record.digest] = record._replace(diff_size=wrong)
        with pytest.raises(Damaged):
            archive_of(blobs, image)


def test_a_layer_that_is_not_what_the_config_says_is_damage(blobs: StoredFiles) -> None:
    image = blobs.add_image(tar_of({"a": b"1"}))
    (record,) = blobs.intake.layers.values()
    blobs.intake.add_layer(record._replace(diff_id=sha256(b"another tar")))

    with pytest.raises(Damaged, match="invalid diffID for layer 0"):
        archive_of(blobs, image)


def test_a_layer_that_does_not_decompress_is_damage(blobs: StoredFiles) -> None:
    image = blobs.add_image(tar_of({"a": b"1"}))
    (record,) = blobs.intake.layers.values()
    blobs.intake.add_layer(record._replace(state=BROKEN))

    with pytest.raises(Damaged, match="does not decompress"):
        archive_of(blobs, image)


def unsupported_images(blobs: StoredFiles) -> dict[str, SavedImage]:
    image = blobs.add_image(BASE, names=("docker.io/library/a:1",))
    manifest = json.loads(blobs.read(image.top.digest))
    encrypted = json.loads(json.dumps(manifest))
    encrypted["layers"][0]["mediaType"] = OCI_LAYER + "+zstd+encrypted"
    artifact = {**manifest, "artifactType": "application/x"}
    artifact["config"] = {**manifest["config"], "mediaType": "application/vnd.oci.empty.v1+json"}
    return {
        "several platforms": blobs.add_index(image.top, names=("docker.io/library/a:1",)),
        "artifact": image._replace(top=blobs.add_json(artifact, OCI_MANIFEST)),
        "encrypted": image._replace(top=blobs.add_json(encrypted, OCI_MANIFEST)),
    }


@pytest.mark.parametrize("what", ["several platforms", "artifact", "encrypted"])
def test_what_the_format_has_no_place_for_is_refused_before_a_byte_is_written(
    blobs: StoredFiles, what: str
) -> None:
    good, out = blobs.add_image(BASE), io.BytesIO()

    with pytest.raises(Unsupported, match=f"^cannot save a:1 as a docker archive: .*{what}"):
        write_docker_archive(out, [good, unsupported_images(blobs)[what]], blobs)
    assert out.getvalue() == b""
