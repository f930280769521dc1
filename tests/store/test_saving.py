"""save chooses its images in one look at the store; what it writes is whole or not there."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.errors import Damaged, Refused, StorageError, Unsupported, UsageError
from casstore.flows import save as saving
from casstore.flows import selection
from casstore.model.digest import Digest, sha256
from casstore.ports.view import StoreView
from casstore.progress import Progress
from casstore.rules.resolve import Found, resolve
from casstore.store import Store
from tests.store.test_referrers import Signed
from tests.transfer.building import Layout, docker_archive, layer, tar_of
from tests.transfer.noise import noise


def test_an_image_that_goes_while_save_looks_is_chosen_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "store")
    with Store(path) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["app:1"]})))
        image = store.get("app:1").id

    def slow(view: StoreView, argument: str) -> Found:
        found = resolve(view, argument)
        with Store(path) as other:
            other.remove(["app:1"])
        return found

    monkeypatch.setattr(selection, "resolve", slow)
    with Store(path) as store:
        assert selection.chosen_images(store.session.view(), ["app:1"]) == [image]


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[tuple[Store, Signed]]:
    """A store with an image that an SBOM (by its subject) and a signature (by tag) refer to."""
    signed = Signed("shop/app")
    with Store(str(tmp_path / "store")) as store:
        store.load(signed.layout.write(str(tmp_path / "layout")))
        yield store, signed


def loaded(path: Path) -> set[Digest]:
    """The images that somebody else gets from an archive or layout."""
    with Store(str(path.parent / f"other-{path.name}")) as other:
        other.load(str(path))
        return {image.id for image in other.images(all=True)}


@pytest.mark.parametrize("format", ["oci", "oci-dir"])
@pytest.mark.parametrize("argument", ["shop/app:1", "shop/app", "ID"])
def test_what_refers_to_an_image_is_saved_with_it(
    argument: str, format: str, signed: tuple[Store, Signed], tmp_path: Path
) -> None:
    store, what = signed
    image = store.get("shop/app:1").id
    store.save([image if argument == "ID" else argument], tmp_path / "out", format=format)

    by_tag = set() if argument == "ID" else {what.signature}  # a tag is of a repository
    assert loaded(tmp_path / "out") == {image, what.sbom} | by_tag


def test_signatures_of_another_repository_are_not_saved(
    signed: tuple[Store, Signed], tmp_path: Path
) -> None:
    store, what = signed
    store.tag("shop/app:1", "other/app:1")
    store.save(["other/app:1"], tmp_path / "out", format="oci")

    assert what.signature not in loaded(tmp_path / "out")


def test_a_docker_archive_has_the_image_alone(signed: tuple[Store, Signed], tmp_path: Path) -> None:
    store, _ = signed
    store.save(["shop/app:1"], tmp_path / "out")

    assert loaded(tmp_path / "out") == {store.get("shop/app:1").id}


def test_a_directory_of_files_has_the_image_alone(
    signed: tuple[Store, Signed], tmp_path: Path
) -> None:
    store, _ = signed
    store.tag("shop/app:1", "shop/app:2")
    store.save(["shop/app:1", "shop/app:2"], tmp_path / "out", format="dir")

    assert loaded(tmp_path / "out") == {store.get("shop/app:1").id}


def test_a_repository_with_signatures_has_too_many_tags_for_a_directory_of_files(
    signed: tuple[Store, Signed], tmp_path: Path
) -> None:
    store, _ = signed
    with pytest.raises(Unsupported, match="cannot save 2 images as dir"):
        store.save(["shop/app"], tmp_path / "out", format="dir")
    assert not (tmp_path / "out").exists()


def test_a_directory_of_files_goes_to_no_stream(
    signed: tuple[Store, Signed], tmp_path: Path
) -> None:
    store, _ = signed
    with pytest.raises(UsageError, match=r"^an image as files needs a path$"):
        store.save(["shop/app:1"], io.BytesIO(), format="dir")


def test_a_directory_with_files_in_it_is_left_alone(
    signed: tuple[Store, Signed], tmp_path: Path
) -> None:
    store, _ = signed
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("mine")
    with pytest.raises(Refused, match="is there already and is not an empty directory"):
        store.save(["shop/app:1"], out, format="dir")
    assert os.listdir(out) == ["mine"]

    (out / "mine").rename(out / "lost+found")  # of a file system, which is filled in place
    store.save(["shop/app:1"], out, format="dir")
    assert {"lost+found", "manifest.json", "version"} < set(os.listdir(out))
    assert not any(name.startswith(".") for name in os.listdir(out))


def test_what_refers_to_one_platform_of_an_index_is_saved_with_it(tmp_path: Path) -> None:
    layout = Layout()
    child = layout.image("x")
    entries = [{**child, "platform": {"os": "linux", "architecture": "amd64"}}]
    layout.publish(layout.index(*entries), "app:1")
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    digest = child["digest"]
    sbom = layout.publish(layout.manifest(empty, [], subject=child, artifactType="text/x"))
    signature = layout.publish(
        layout.manifest(empty, [layout.blob(b"s", "text/plain")]),
        f"app:{digest.replace(':', '-')}.sig",
    )
    with Store(str(tmp_path / "store")) as store:
        store.load(layout.write(str(tmp_path / "layout")))
        store.save(["app:1"], tmp_path / "out", format="oci")

    assert {sbom, signature} < loaded(tmp_path / "out")


LARGE = [tar_of({"first": noise(5 << 20)}), tar_of({"second": noise(6 << 20, seed=2)}), layer("x")]
each_format = pytest.mark.parametrize("format", ["docker", "oci"])


@pytest.fixture
def large(tmp_path: Path) -> Store:
    """A store with an image of 11 MiB in three layers."""
    store = Store(str(tmp_path / "store"))
    store.load(io.BytesIO(docker_archive({"layers": LARGE, "tags": ["large:1"]})))
    return store


@each_format
def test_a_large_archive_in_a_file_is_the_one_in_a_stream(
    large: Store, tmp_path: Path, format: str
) -> None:
    stream, out = io.BytesIO(), tmp_path / "out.tar"
    large.session.progress = progress = Progress()

    large.save(["large:1"], str(out), format=format)
    large.save(["large:1"], stream, format=format)

    assert len(stream.getvalue()) > saving.LARGE
    assert out.read_bytes() == stream.getvalue()
    assert sorted(os.listdir(tmp_path)) == ["out.tar", "store"]
    assert [task.total for task in progress.tasks] == [progress.tasks[0].total] * 2
    for task in progress.tasks:
        assert task.total is not None
        assert task.total <= task.done <= out.stat().st_size


@each_format
@pytest.mark.parametrize("number", range(len(LARGE)))
def test_a_damaged_blob_leaves_the_output_as_it_was(
    large: Store, tmp_path: Path, format: str, number: int
) -> None:
    record = large.session.view().layer_with_diff_id(sha256(LARGE[number]))
    assert record is not None
    digest = record.digest
    blob = Path(large.path, "blobs", "sha256", digest.removeprefix("sha256:"))
    blob.chmod(0o644)
    out = tmp_path / "out.tar"
    out.write_bytes(b"before")
    good = blob.read_bytes()

    for at in range(0, len(good), max(len(good) // 5, 1)):
        blob.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(Damaged, match=f"blob {digest} is damaged"):
            large.save(["large:1"], str(out), format=format)
        assert out.read_bytes() == b"before"
        assert sorted(os.listdir(tmp_path)) == ["out.tar", "store"]


def test_a_full_disk_leaves_no_output(
    large: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if len(data) < saving.LARGE // 8:
            return pwrite(descriptor, data, offset)
        raise OSError(28, "No space left on device")

    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", full)

    with pytest.raises(StorageError, match=r"^cannot save to .*: no space left on device$"):
        large.save(["large:1"], str(tmp_path / "out.tar"))
    assert os.listdir(tmp_path) == ["store"]
