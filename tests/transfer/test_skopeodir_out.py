"""skopeo's `dir:` out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casstore.errors import Damaged, Refused, Unsupported
from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.progress import Progress
from casstore.transfer.compress import DEFAULT
from casstore.transfer.saved import SavedImage
from casstore.transfer.skopeodir_out import LAST, write
from casstore.transfer.source import find_images
from tests.transfer.building import layer
from tests.transfer.intake import FakeIntake
from tests.transfer.storedfiles import StoredFiles

BASE, TOP = layer("base"), layer("top")


@pytest.fixture
def blobs(tmp_path: Path) -> StoredFiles:
    (tmp_path / "store").mkdir()
    return StoredFiles(tmp_path / "store")


def link(source: str, target: str) -> bool:
    os.link(source, target)
    return True


def files_in(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in os.listdir(path)}


def without_manifests(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if len(name) == 64}


def test_an_image_is_its_manifest_and_its_blobs_by_their_digits(
    blobs: StoredFiles, tmp_path: Path
) -> None:
    image = blobs.add_image(BASE, TOP, names=("docker.io/library/a:1",))
    blobs.add_image(layer("not asked for"))

    write(str(tmp_path / "out"), [image], blobs)

    files = files_in(tmp_path / "out")
    assert files["version"] == b"Directory Transport Version: 1.1\n"
    assert files["manifest.json"] == blobs.read(image.top.digest)
    held = without_manifests(files)
    assert all(sha256(data).hex == name for name, data in held.items())
    assert files.keys() == {"version", "manifest.json", *held} and len(held) == 3


def test_what_an_index_lists_are_manifests_of_their_own(blobs: StoredFiles, tmp_path: Path) -> None:
    one, two = blobs.add_image(BASE), blobs.add_image(TOP, architecture="arm64")
    inner = blobs.add_index(two.top)
    image = blobs.add_index(one.top, inner.top)

    write(str(tmp_path / "out"), [image], blobs)

    files = files_in(tmp_path / "out")
    assert files["manifest.json"] == blobs.read(image.top.digest)
    for listed in (one, two, inner):
        assert files[f"{listed.top.digest.hex}.manifest.json"] == blobs.read(listed.top.digest)
    assert len(without_manifests(files)) == 4 and len(files) == 9


def test_children_of_an_index_that_never_came_are_left_out(
    blobs: StoredFiles, tmp_path: Path
) -> None:
    here, absent = blobs.add_image(BASE), blobs.add_image(TOP, architecture="arm64")
    image = blobs.add_index(absent.top, here.top)
    os.unlink(blobs.path(absent.top.digest))

    write(str(tmp_path / "out"), [image], blobs)

    manifests = [name for name in os.listdir(tmp_path / "out") if name.endswith(".manifest.json")]
    assert manifests == [f"{here.top.digest.hex}.manifest.json"]


@pytest.mark.parametrize("kind", ["image", "index"])
def test_what_was_written_loads_as_the_same_image(
    kind: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    image = blobs.add_image(BASE, TOP)
    image = blobs.add_index(image.top) if kind == "index" else image
    write(str(tmp_path / "out"), [image], blobs)

    found = find_images(str(tmp_path / "out"), FakeIntake(), compression=DEFAULT)

    assert [(x.image.id, x.image.top, x.names) for x in found.arrivals] == [
        (image.image_id, image.top, ())
    ]


def test_manifests_are_files_of_their_own_and_all_else_may_be_links(
    blobs: StoredFiles, tmp_path: Path
) -> None:
    inner = blobs.add_image(BASE)
    image = blobs.add_index(inner.top)

    write(str(tmp_path / "out"), [image], blobs, link=link)

    for path in (tmp_path / "out").iterdir():
        assert path.stat().st_nlink == (2 if len(path.name) == 64 else 1)


def test_the_manifest_comes_last(blobs: StoredFiles, tmp_path: Path) -> None:
    image = blobs.add_image(BASE)
    seen: list[list[str]] = []

    def watch(source: str, target: str) -> bool:
        seen.append(os.listdir(tmp_path / "out"))
        return False

    write(str(tmp_path / "out"), [image], blobs, link=watch)

    assert seen and all("version" in names and LAST not in names for names in seen)


def test_several_images_have_no_place(blobs: StoredFiles, tmp_path: Path) -> None:
    images = [blobs.add_image(BASE), blobs.add_image(TOP)]

    with pytest.raises(Unsupported, match=r"^cannot save 2 images as dir: it holds one"):
        write(str(tmp_path / "out"), images, blobs)
    assert os.listdir(tmp_path) == ["store"]


def test_what_is_no_manifest_has_no_place(blobs: StoredFiles, tmp_path: Path) -> None:
    digest = blobs.add(b"text")
    thing = SavedImage(digest, Descriptor("text/plain", digest, 4), (), None)

    with pytest.raises(Unsupported, match=f"^cannot save {digest.hex} as dir: it is neither"):
        write(str(tmp_path / "out"), [thing], blobs)
    assert os.listdir(tmp_path) == ["store"]


def test_a_missing_or_damaged_blob_leaves_no_directory(blobs: StoredFiles, tmp_path: Path) -> None:
    image = blobs.add_image(BASE, TOP)
    last = next(reversed(blobs.intake.layers))
    size = blobs.intake.layers[last].size

    blobs.change(last, bytes(size))
    with pytest.raises(Damaged, match=f"blob {last} is damaged"):
        write(str(tmp_path / "out"), [image], blobs)
    os.unlink(blobs.path(last))
    with pytest.raises(Damaged, match=f"blob {last} is missing"):
        write(str(tmp_path / "out"), [image], blobs, link=link)
    assert os.listdir(tmp_path) == ["store"]


def test_what_is_there_already_is_never_written_over(blobs: StoredFiles, tmp_path: Path) -> None:
    image = blobs.add_image(BASE)
    write(str(tmp_path / "out"), [image], blobs)
    before = files_in(tmp_path / "out")

    with pytest.raises(Refused, match="is there already and is not an empty directory"):
        write(str(tmp_path / "out"), [image], blobs)
    assert files_in(tmp_path / "out") == before


def test_every_byte_is_counted(blobs: StoredFiles, tmp_path: Path) -> None:
    image = blobs.add_index(blobs.add_image(BASE, TOP).top)
    task = Progress().task("Saving", None)

    write(str(tmp_path / "out"), [image], blobs, task=task)

    files = files_in(tmp_path / "out")
    assert task.done == sum(map(len, files.values())) - len(files["version"])
