"""skopeo's `dir:` in."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused, quote
from casstore.model.digest import sha256
from casstore.transfer.compress import DEFAULT
from casstore.transfer.source import Found, find_images
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Layout,
    config_of,
    docker_archive,
    layer,
    skopeo_dir,
    tar_of,
    write_files,
)
from tests.transfer.intake import FakeIntake

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
AMD, ARM = ({"os": "linux", "architecture": name} for name in ("amd64", "arm64"))


def find(where: str | io.BytesIO, intake: FakeIntake | None = None, *, link: bool = False) -> Found:
    return find_images(where, intake or FakeIntake(), compression=DEFAULT, link=link)


def refusal(path: str) -> str:
    with pytest.raises(Refused) as caught:
        find(path)
    text = str(caught.value)
    assert text.isprintable()
    return text


@pytest.fixture
def layout() -> Layout:
    return Layout()


@pytest.fixture
def image(layout: Layout) -> dict[str, Any]:
    return layout.image("base", "top")


@pytest.fixture
def path(layout: Layout, image: dict[str, Any], tmp_path: Path) -> str:
    return write_files(str(tmp_path / "in"), skopeo_dir(layout, image))


def config_digest(layout: Layout, image: dict[str, Any]) -> str:
    digest: str = json.loads(layout.of(image))["config"]["digest"]
    return digest


# What comes in


def test_an_image_comes_in_byte_for_byte_and_without_a_name(
    path: str, layout: Layout, image: dict[str, Any]
) -> None:
    intake = FakeIntake()
    found = find(path, intake)

    assert (found.transport, found.notices) == ("dir", ())
    (arrival,) = found.arrivals
    assert (arrival.names, arrival.parent) == ((), None)
    assert arrival.image.id == config_digest(layout, image)
    assert arrival.image.top == (OCI_MANIFEST, image["digest"], image["size"])
    assert {sha256(data) for name, data in layout.files.items() if name != "oci-layout"} == set(
        intake.blobs
    )


def test_a_tar_of_such_a_directory_is_read_like_it(layout: Layout, image: dict[str, Any]) -> None:
    found = find(io.BytesIO(tar_of(skopeo_dir(layout, image))))

    assert found.transport == "dir"
    assert found.arrivals[0].image.id == config_digest(layout, image)


def test_a_manifest_of_dockers_keeps_its_type_and_its_layers_that_are_plain_for_all_it_says(
    layout: Layout, tmp_path: Path
) -> None:
    # what skopeo 1.9.3 writes of a docker-archive: plain tars, under the type of gzip
    plain = layer("x")
    value = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": layout.blob(config_of(plain), DOCKER_CONFIG),
        "layers": [layout.blob(plain, DOCKER_LAYER)],
    }
    top = layout.json_blob(value, DOCKER_MANIFEST)

    (arrival,) = find(write_files(str(tmp_path / "in"), skopeo_dir(layout, top))).arrivals

    assert arrival.image.top == (DOCKER_MANIFEST, top["digest"], top["size"])
    assert [(x.digest, x.diff_id) for x in arrival.image.layers] == [(sha256(plain), sha256(plain))]


def test_every_platform_of_an_index_comes_in_under_the_index(
    layout: Layout, tmp_path: Path
) -> None:
    children = [{**layout.image("x"), "platform": AMD}, {**layout.image("y"), "platform": ARM}]
    inner = layout.index(children[1])
    top = layout.index(children[0], inner)
    files = skopeo_dir(layout, top)
    assert len([name for name in files if name.endswith(".manifest.json")]) == 3

    found = find(write_files(str(tmp_path / "in"), files))

    (arrival,) = found.arrivals
    assert (arrival.image.id, found.notices) == (top["digest"], ())
    assert len(arrival.image.layers) == 2


def test_a_platform_that_is_not_there_is_left_out_in_silence(
    layout: Layout, tmp_path: Path
) -> None:
    here, absent = layout.image("x"), layout.image("y")
    top = layout.index({**here, "platform": AMD}, {**absent, "platform": ARM})
    layout.remove(absent)

    (arrival,) = find(write_files(str(tmp_path / "in"), skopeo_dir(layout, top))).arrivals

    assert [len(arrival.image.layers), arrival.image.top.digest] == [1, top["digest"]]


def test_a_platform_whose_blobs_are_not_there_is_left_out_with_a_notice(
    layout: Layout, tmp_path: Path
) -> None:
    here, absent = layout.image("x"), layout.image("y")
    top = layout.index({**here, "platform": AMD}, {**absent, "platform": ARM})
    layout.remove(json.loads(layout.of(absent))["layers"][0])

    found = find(write_files(str(tmp_path / "in"), skopeo_dir(layout, top)))

    assert len(found.arrivals[0].image.layers) == 1
    assert len(found.notices) == 1 and "comes without linux/arm64" in found.notices[0]


def test_an_index_alone_is_refused(layout: Layout, tmp_path: Path) -> None:
    # skopeo copy --multi-arch index-only
    top = layout.index({**layout.image("x"), "platform": AMD})
    files = skopeo_dir(layout, top)
    alone = {name: files[name] for name in ("version", "manifest.json")}

    assert "has none of its manifests with it" in refusal(write_files(str(tmp_path / "in"), alone))


def test_blobs_are_linked_where_that_is_asked_for(path: str, layout: Layout) -> None:
    intake = FakeIntake(links=True)
    find(path, intake, link=True)

    assert len(intake.adopted) == 2  # the layers

    find(path, without := FakeIntake(links=True))
    assert without.adopted == []


def test_an_artifact_can_have_a_manifest_for_a_layer(layout: Layout, tmp_path: Path) -> None:
    inside = layout.json_blob({"schemaVersion": 2}, OCI_MANIFEST)
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    top = layout.manifest(empty, [inside], artifactType="application/x")

    (arrival,) = find(write_files(str(tmp_path / "in"), skopeo_dir(layout, top))).arrivals

    assert {blob.digest for blob in arrival.image.blobs} == {
        top["digest"], inside["digest"], empty["digest"]
    }  # fmt: skip


def test_files_that_belong_to_nothing_are_passed_over(
    path: str, layout: Layout, image: dict[str, Any]
) -> None:
    write_files(path, {"README": b"x", "0" * 64: b"x", "sub/manifest.json": b"{}"})

    assert find(path).arrivals[0].image.id == config_digest(layout, image)


# What manifest.json is, where it does not say so


def untyped(layout: Layout, **fields: Any) -> dict[str, Any]:
    plain = layer("x")
    config = fields.pop("config", OCI_CONFIG)
    value = {
        "schemaVersion": 2,
        "config": layout.blob(config_of(plain), config),
        "layers": [layout.blob(plain, OCI_LAYER)],
        **fields,
    }
    return layout.json_blob(value, "")


@pytest.mark.parametrize(
    ("config", "media_type"), [(OCI_CONFIG, OCI_MANIFEST), (DOCKER_CONFIG, DOCKER_MANIFEST)]
)
def test_a_manifest_without_a_type_has_that_of_its_config(
    config: str, media_type: str, layout: Layout, tmp_path: Path
) -> None:
    top = untyped(layout, config=config)

    (arrival,) = find(write_files(str(tmp_path / "in"), skopeo_dir(layout, top))).arrivals

    assert arrival.image.top.media_type == media_type


def test_an_index_without_a_type_is_one(layout: Layout, tmp_path: Path) -> None:
    value = {"schemaVersion": 2, "manifests": [{**layout.image("x"), "platform": AMD}]}
    top = layout.json_blob(value, "")

    (arrival,) = find(write_files(str(tmp_path / "in"), skopeo_dir(layout, top))).arrivals

    assert arrival.image.top.media_type == "application/vnd.oci.image.index.v1+json"


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"schemaVersion": 1, "name": "x", "fsLayers": []}, "is of schema 1, which is obsolete"),
        ({"schemaVersion": 2, "fsLayers": [], "layers": []}, "which only a manifest of schema 1"),
        ({"schemaVersion": 2, "mediaType": "text/x"}, "neither a manifest nor an index"),
        ({"schemaVersion": 2, "mediaType": 7}, '"mediaType" of manifest.json is not a string'),
        ({"schemaVersion": 2, "config": {}, "manifests": []}, "both manifests and layers or conf"),
        ({"schemaVersion": 2}, "has no config"),
        ({"schemaVersion": 2, "config": 7, "mediaType": None}, "is not a JSON object"),
    ],
)
def test_what_is_no_manifest_is_refused(
    manifest: dict[str, Any], says: str, tmp_path: Path
) -> None:
    files = {
        "version": b"Directory Transport Version: 1.1\n",
        "manifest.json": json.dumps(manifest).encode(),
    }

    assert says in refusal(write_files(str(tmp_path / "in"), files))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "manifest.json is not valid JSON"),
        (b'{"a":1,"a":2}', 'has the key "a" twice'),
        (b'{"a":"' + b"x" * (4 << 20) + b'"}', '"manifest.json" exceeds the limit of 4194304'),
    ],
)
def test_a_manifest_beyond_all_limits_is_refused(data: bytes, says: str, path: str) -> None:
    write_files(path, {"manifest.json": data})

    assert says in refusal(path)


def test_a_digest_of_another_algorithm_is_refused(layout: Layout, tmp_path: Path) -> None:
    # version 1.2, where such blobs are called sha512-<hex>
    image = json.loads(layout.of(layout.image("x")))
    image["layers"][0]["digest"] = "sha512:" + "0" * 128
    top = layout.json_blob(image, OCI_MANIFEST)
    files = {**skopeo_dir(layout, top, version="1.2"), "sha512-" + "0" * 128: b""}

    assert 'invalid digest "sha512:0' in refusal(write_files(str(tmp_path / "in"), files))


# The version


@pytest.mark.parametrize("text", ["1.1", "1.1\n", "1.2\n", "1.1 \r\n"])
def test_a_version_that_is_known_is_read(text: str, path: str) -> None:
    write_files(path, {"version": b"Directory Transport Version: " + text.encode()})

    assert find(path).arrivals


@pytest.mark.parametrize(
    "text", ["Directory Transport Version: 1.0\n", "Directory Transport Version: 1.3\n", "", "7\n"]
)
def test_another_version_is_refused_by_its_name(text: str, path: str) -> None:
    write_files(path, {"version": text.encode()})

    assert refusal(path) == (
        f'version of {quote(path)} is "{text.strip()}", only "Directory Transport Version: 1.1"'
        ' and "Directory Transport Version: 1.2" are known'
    )


def test_a_version_that_is_no_text_or_has_no_end_is_refused(path: str) -> None:
    write_files(path, {"version": b"\xff\x00\n"})
    assert "are known" in refusal(path)
    write_files(path, {"version": b"x" * (1 << 20)})
    assert refusal(path) == '"version" exceeds the limit of 1024 bytes'


def test_without_a_version_a_manifest_is_not_taken_for_such_a_directory(path: str) -> None:
    os.unlink(os.path.join(path, "version"))

    assert refusal(path) == "manifest.json is not a list of images"


# Two formats in one place


def test_a_layout_in_the_same_directory_is_refused(path: str, layout: Layout) -> None:
    layout.write(path)

    assert refusal(path) == (
        f"{quote(path)} can be read as oci: and as dir:, and need not be the same image then"
    )


def test_a_docker_archive_in_the_same_place_counts_where_manifest_json_is_its_list(
    path: str, layout: Layout, image: dict[str, Any], tmp_path: Path
) -> None:
    files = skopeo_dir(layout, image)
    archive = io.BytesIO(docker_archive({"layers": [layer("other")], "tags": ["other:1"]}))
    found = find(archive)
    with tarfile.open(fileobj=io.BytesIO(archive.getvalue())) as tar:
        # as an attribute, which Python 3.11.3 and older do not look at, where an argument fails
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(path)  # noqa: S202 - an archive of our own; manifest.json is Docker's now
    assert find(path).transport == "docker-archive"
    assert find(path).arrivals[0].image.id == found.arrivals[0].image.id

    write_files(path, {"manifest.json": files["manifest.json"]})
    assert find(path).transport == "dir"
    assert find(path).arrivals[0].image.id == config_digest(layout, image)


# Blobs that are not what they should be


def blob_of(layout: Layout, image: dict[str, Any], what: str) -> str:
    manifest = json.loads(layout.of(image))
    descriptor = manifest["config"] if what == "config" else manifest["layers"][1]
    digest: str = descriptor["digest"]
    return digest.removeprefix("sha256:")


each_blob = pytest.mark.parametrize("what", ["config", "layer"])


@each_blob
def test_a_missing_blob_is_refused(
    what: str, path: str, layout: Layout, image: dict[str, Any]
) -> None:
    name = blob_of(layout, image, what)
    os.unlink(os.path.join(path, name))

    assert refusal(path) == f"blob sha256:{name} is missing"


@each_blob
def test_a_blob_with_another_digest_is_refused(
    what: str, path: str, layout: Layout, image: dict[str, Any]
) -> None:
    name = blob_of(layout, image, what)
    size = os.path.getsize(os.path.join(path, name))
    write_files(path, {name: bytes(size)})

    assert f"blob sha256:{name} has other content" in refusal(path)


@each_blob
@pytest.mark.parametrize("change", [-1, 1])
def test_a_blob_of_another_size_is_refused(
    what: str, change: int, path: str, layout: Layout, image: dict[str, Any]
) -> None:
    name = blob_of(layout, image, what)
    with open(os.path.join(path, name), "r+b") as file:
        file.truncate(os.path.getsize(file.name) + change)

    assert f"blob sha256:{name} is " in refusal(path)


def test_a_manifest_of_an_index_that_is_another_one_is_refused(
    layout: Layout, tmp_path: Path
) -> None:
    child, other = layout.image("x"), layout.image("y")
    top = layout.index({**child, "platform": AMD})
    files = skopeo_dir(layout, top)
    files[f"{child['digest'][7:]}.manifest.json"] = layout.of(other)

    path = write_files(str(tmp_path / "in"), files)

    assert f"blob {child['digest']} has other content" in refusal(path)


def fifo(path: str) -> None:
    os.mkfifo(path)


def device(path: str) -> None:
    os.symlink("/dev/zero", path)


def folder(path: str) -> None:
    os.mkdir(path)


def link_out(path: str) -> None:
    os.symlink("/etc/hostname", path)


each_oddity = pytest.mark.parametrize("make", [fifo, device, folder, link_out])


@each_blob
@each_oddity
def test_what_is_no_file_of_its_own_is_refused_and_never_waited_for(
    make: Callable[[str], None], what: str, path: str, layout: Layout, image: dict[str, Any]
) -> None:
    target = os.path.join(path, blob_of(layout, image, what))
    os.unlink(target)
    make(target)

    assert re.search("not a regular file|leads out of", refusal(path))


@each_oddity
@pytest.mark.parametrize("name", ["manifest.json", "version"])
def test_a_list_or_a_version_that_is_no_file_tells_nothing(
    make: Callable[[str], None], name: str, path: str
) -> None:
    target = os.path.join(path, name)
    os.unlink(target)
    make(target)

    assert re.search("holds no images|is not a list of images", refusal(path))


def test_a_socket_is_refused(path: str, layout: Layout, image: dict[str, Any]) -> None:
    name = blob_of(layout, image, "layer")
    os.unlink(os.path.join(path, name))
    here = os.getcwd()
    os.chdir(path)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
    finally:
        os.chdir(here)

    assert "not a regular file" in refusal(path)


def test_a_link_that_stays_inside_is_followed(
    path: str, layout: Layout, image: dict[str, Any]
) -> None:
    name = blob_of(layout, image, "layer")
    os.rename(os.path.join(path, name), os.path.join(path, "elsewhere"))
    os.symlink("elsewhere", os.path.join(path, name))

    assert find(path).arrivals[0].image.id == config_digest(layout, image)


# Signatures


def test_signatures_stay_behind_and_a_notice_names_them(path: str) -> None:
    write_files(path, {"signature-1": b"\xa0", "signature-2": b"\0sigstore-json\n{}"})

    assert find(path).notices == (
        f"signatures that are files of {quote(path)} do not come in: signature-1, signature-2",
    )


def test_of_many_signatures_the_notice_names_a_few(path: str) -> None:
    write_files(path, {f"signature-{number}": b"" for number in range(1, 100)})

    (notice,) = find(path).notices

    assert notice.endswith("do not come in: signature-1, signature-2, signature-3, …")


def test_signatures_of_one_platform_are_told_too(layout: Layout, tmp_path: Path) -> None:
    child = layout.image("x")
    top = layout.index({**child, "platform": AMD})
    name = f"{child['digest'][7:]}.signature-1"
    files = {**skopeo_dir(layout, top), name: b"\xa0"}

    (notice,) = find(write_files(str(tmp_path / "in"), files)).notices

    assert notice.endswith(f"do not come in: {name}")
