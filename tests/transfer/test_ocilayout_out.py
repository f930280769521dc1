from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

from casstore.errors import Damaged, Refused
from casstore.model.digest import sha256
from casstore.transfer.compress import DEFAULT
from casstore.transfer.ocilayout_out import members
from casstore.transfer.ocilayout_out import write as write_oci_directory
from casstore.transfer.saved import SavedImage
from casstore.transfer.source import read_images
from casstore.transfer.tarout import stream_tar
from tests.transfer.building import OCI_MANIFEST, layer
from tests.transfer.intake import FakeIntake
from tests.transfer.storedfiles import StoredFiles

BASE, TOP = layer("base"), layer("top")
NAME = "docker.io/library/a:1"
FORMS = ["archive", "directory"]

each_form = pytest.mark.parametrize("form", FORMS)


def write_oci_archive(out: IO[bytes], images: Sequence[SavedImage], blobs: StoredFiles) -> None:
    stream_tar(out, members(images, blobs), blobs)


@pytest.fixture
def blobs(tmp_path: Path) -> StoredFiles:
    (tmp_path / "store").mkdir()
    return StoredFiles(tmp_path / "store")


def written(form: str, blobs: StoredFiles, tmp_path: Path, *images: SavedImage) -> dict[str, bytes]:
    """The files of the layout by name."""
    if form == "archive":
        out = io.BytesIO()
        write_oci_archive(out, images, blobs)
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
            assert len(tar.getnames()) == len(set(tar.getnames()))
            members = [(info.name, tar.extractfile(info)) for info in tar if info.isreg()]
            return {name: file.read() for name, file in members if file is not None}
    root = tmp_path / "layout"
    write_oci_directory(str(root), images, blobs)
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def blob_names(files: dict[str, bytes]) -> set[str]:
    return {name.removeprefix("blobs/sha256/") for name in files if name.startswith("blobs/")}


def below(blobs: StoredFiles, image: SavedImage) -> set[str]:
    manifest = json.loads(blobs.read(image.top.digest))
    held = [manifest["config"], *manifest["layers"]]
    return {image.top.digest.hex, *(x["digest"].removeprefix("sha256:") for x in held)}


@each_form
def test_a_layout_holds_the_blobs_of_its_images_byte_for_byte(
    form: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    image = blobs.add_image(BASE, TOP, names=(NAME,))
    blobs.add_image(layer("not asked for"))

    files = written(form, blobs, tmp_path, image)

    assert files["oci-layout"] == b'{"imageLayoutVersion":"1.0.0"}'
    assert blob_names(files) == below(blobs, image)
    for name in blob_names(files):
        assert sha256(files[f"blobs/sha256/{name}"]).hex == name


@each_form
def test_index_json_names_an_image_as_other_tools_do(
    form: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    base = blobs.add_image(BASE, names=(NAME, "quay.io/x/y:2"))
    top = blobs.add_image(BASE, TOP, parent=base.image_id)

    index = json.loads(written(form, blobs, tmp_path, base, top)["index.json"])

    ref, full = "org.opencontainers.image.ref.name", "io.containerd.image.name"
    assert [(x["digest"], x.get("annotations")) for x in index["manifests"]] == [
        (base.top.digest, {full: NAME, ref: "a:1"}),
        (base.top.digest, {full: "quay.io/x/y:2", ref: "quay.io/x/y:2"}),
        (top.top.digest, {"io.casstore.image.parent": base.image_id}),
    ]


@each_form
def test_a_walk_through_an_index_brings_every_platform(
    form: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    one, two = blobs.add_image(BASE), blobs.add_image(BASE, TOP, architecture="arm64")
    inner = blobs.add_index(two.top)
    image = blobs.add_index(one.top, inner.top, names=(NAME,))

    files = written(form, blobs, tmp_path, image)

    assert blob_names(files) == (
        below(blobs, one) | below(blobs, two) | {image.top.digest.hex, inner.top.digest.hex}
    )


@each_form
def test_children_of_an_index_that_never_came_are_left_out(
    form: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    here, absent = blobs.add_image(BASE), blobs.add_image(TOP, architecture="arm64")
    image = blobs.add_index(absent.top, here.top)
    os.unlink(blobs.path(absent.top.digest))

    files = written(form, blobs, tmp_path, image)

    assert blob_names(files) == below(blobs, here) | {image.top.digest.hex}


def test_a_document_that_is_reached_in_many_ways_is_walked_once(blobs: StoredFiles) -> None:
    image = blobs.add_image(BASE)
    top = image.top
    for _ in range(40):
        top = blobs.add_index(top, top).top
    blobs.opened.clear()

    write_oci_archive(io.BytesIO(), [image._replace(top=top)], blobs)

    assert len(blobs.opened) == 2 * 41 + 2  # the walk, then what is written


@each_form
def test_a_blob_that_images_share_is_written_once(
    form: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    one, two = blobs.add_image(BASE, TOP, TOP), blobs.add_image(BASE, os="plan9")

    files = written(form, blobs, tmp_path, one, two, one)

    assert blob_names(files) == below(blobs, one) | below(blobs, two)


def test_the_same_images_give_the_same_bytes(blobs: StoredFiles) -> None:
    images = [blobs.add_image(BASE, TOP, names=(NAME,)), blobs.add_image(TOP)]
    outs = [io.BytesIO(), io.BytesIO()]

    for out in outs:
        write_oci_archive(out, images, blobs)

    assert outs[0].getvalue() == outs[1].getvalue()


@each_form
def test_loading_what_was_saved_gives_the_same_images_names_and_parents(
    form: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    base = blobs.add_image(BASE, names=(NAME,))
    top = blobs.add_image(BASE, TOP, names=("docker.io/library/b:1",), parent=base.image_id)
    source: io.BytesIO | str = io.BytesIO()
    if isinstance(source, io.BytesIO) and form == "archive":
        write_oci_archive(source, [base, top], blobs)
        source.seek(0)
    else:
        source = str(tmp_path / "layout")
        write_oci_directory(source, [base, top], blobs)

    arrivals = read_images(source, FakeIntake(), compression=DEFAULT)

    assert [(x.image.id, x.image.top.digest, x.names, x.parent) for x in arrivals] == [
        (x.image_id, x.top.digest, x.names, x.parent) for x in (base, top)
    ]


@each_form
def test_a_corrupt_layer_is_damage_and_leaves_no_directory(
    form: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    image = blobs.add_image(BASE)
    (record,) = blobs.intake.layers.values()
    blobs.change(record.digest, bytes(record.size))

    with pytest.raises(Damaged, match=f"blob {record.digest} is damaged"):
        written(form, blobs, tmp_path, image)
    assert os.listdir(tmp_path) == ["store"]


@each_form
@pytest.mark.parametrize("change", [-1, 1])
def test_a_layer_of_the_wrong_size_is_damage(
    form: str, change: int, blobs: StoredFiles, tmp_path: Path
) -> None:
    image = blobs.add_image(BASE)
    (record,) = blobs.intake.layers.values()
    data = blobs.read(record.digest)
    blobs.change(record.digest, data[:-1] if change < 0 else data + b"x")

    with pytest.raises(Damaged, match=f"blob {record.digest} "):
        written(form, blobs, tmp_path, image)
    assert os.listdir(tmp_path) == ["store"]


@each_form
def test_a_missing_blob_is_damage_and_leaves_no_directory(
    form: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    image = blobs.add_image(BASE, TOP)
    os.unlink(blobs.path(next(reversed(blobs.intake.layers))))

    with pytest.raises(Damaged, match="is missing"):
        written(form, blobs, tmp_path, image)
    assert os.listdir(tmp_path) == ["store"]


def test_blobs_are_hard_links_where_the_caller_can_make_them(
    blobs: StoredFiles, tmp_path: Path
) -> None:
    image = blobs.add_image(BASE)
    target = tmp_path / "layout"

    def link(source: str, name: str) -> bool:
        os.link(source, name)
        return True

    write_oci_directory(str(target), [image], blobs, link=link)

    for path in (target / "blobs/sha256").iterdir():
        assert path.samefile(blobs.path(sha256(path.read_bytes())))


def test_blobs_are_copied_where_links_cannot_be_made(blobs: StoredFiles, tmp_path: Path) -> None:
    image = blobs.add_image(BASE)
    target = tmp_path / "layout"

    write_oci_directory(str(target), [image], blobs, link=lambda source, name: False)

    (record,) = blobs.intake.layers.values()
    copy = target / "blobs/sha256" / record.digest.hex
    assert copy.read_bytes() == blobs.read(record.digest) and copy.stat().st_nlink == 1


def test_an_error_of_the_caller_s_link_leaves_nothing(blobs: StoredFiles, tmp_path: Path) -> None:
    image = blobs.add_image(BASE, TOP)
    linked: list[str] = []

    def link(source: str, name: str) -> bool:
        if linked:
            raise OSError(28, "No space left on device")
        linked.append(name)
        os.link(source, name)
        return True

    with pytest.raises(OSError, match="No space left"):
        write_oci_directory(str(tmp_path / "layout"), [image], blobs, link=link)
    assert os.listdir(tmp_path) == ["store"]


def test_an_empty_directory_is_filled_and_stays_when_that_fails(
    blobs: StoredFiles, tmp_path: Path
) -> None:
    image, target = blobs.add_image(BASE), tmp_path / "layout"
    (record,) = blobs.intake.layers.values()
    data = blobs.read(record.digest)
    target.mkdir()

    blobs.change(record.digest, bytes(record.size))
    with pytest.raises(Damaged):
        write_oci_directory(str(target), [image], blobs)
    assert os.listdir(target) == []
    blobs.change(record.digest, data)
    write_oci_directory(str(target), [image], blobs)
    assert sorted(os.listdir(target)) == ["blobs", "index.json", "oci-layout"]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_there_already_is_never_written_over(
    kind: str, blobs: StoredFiles, tmp_path: Path
) -> None:
    image, target = blobs.add_image(BASE), tmp_path / "layout"
    if kind == "file":
        target.write_text("precious")
    else:
        target.mkdir()
        (target / "precious").write_text("x")

    with pytest.raises(Refused, match="is there already and is not an empty directory"):
        write_oci_directory(str(target), [image], blobs)
    assert kind == "directory" or target.read_text() == "precious"


def test_an_artifact_is_written_like_any_image(blobs: StoredFiles) -> None:
    payload, empty = blobs.add(b"payload"), blobs.add(b"{}")
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/x",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": empty,
            "size": 2,
        },
        "layers": [{"mediaType": "application/x", "digest": payload, "size": 7}],
    }
    top = blobs.add_json(manifest, OCI_MANIFEST)
    out = io.BytesIO()

    write_oci_archive(out, [SavedImage(top.digest, top, (), None)], blobs)

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        assert f"blobs/sha256/{payload.hex}" in tar.getnames()
