from __future__ import annotations

import gzip
import json
import os

import pytest

from casstore.errors import CasstoreError, InvalidReference, Refused
from casstore.model.digest import Digest, sha256
from casstore.model.keys import CONTAINERD_NAME, PARENT, REF_NAME
from casstore.model.record import Arrival
from casstore.transfer.compress import DEFAULT
from casstore.transfer.layoutnames import names_of
from casstore.transfer.source import read_images
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    Layout,
    config_of,
    layer,
)
from tests.transfer.intake import FakeIntake

DIGEST = Digest("sha256:" + "d" * 64)


def load(layout: Layout, intake: FakeIntake | None = None) -> list[Arrival]:
    return read_images(layout.tar(), intake or FakeIntake(), compression=DEFAULT)


def familiar(arrival: Arrival) -> list[str]:
    return [name.familiar for name in arrival.names]


def test_every_blob_is_kept_byte_for_byte() -> None:
    layout, intake = Layout(), FakeIntake()
    digest = layout.publish(layout.image("a", "b"), "app:1")

    (arrival,) = load(layout, intake)

    assert arrival.image.top.digest == digest
    assert arrival.image.id == sha256(config_of(layer("a"), layer("b")))
    kept = {f"blobs/sha256/{key.hex}": data for key, data in intake.blobs.items()}
    assert kept == {name: data for name, data in layout.files.items() if "blobs" in name}
    assert [each.diff_id for each in arrival.image.layers] == [
        sha256(layer("a")),
        sha256(layer("b")),
    ]


def test_a_reference_to_an_index_names_the_index_and_keeps_all_in_it() -> None:
    layout = Layout()
    digest = layout.publish(layout.index(layout.image("a"), layout.image("b")), "multi:1")

    (arrival,) = load(layout)

    assert arrival.image.id == digest and familiar(arrival) == ["multi:1"]
    assert len(arrival.image.layers) == 2


def test_blobs_that_nothing_refers_to_stay_outside() -> None:
    layout, intake = Layout(), FakeIntake()
    layout.publish(layout.image("a"))
    layout.blob(b"garbage", "x")

    load(layout, intake)

    assert sha256(b"garbage") not in intake.blobs


@pytest.mark.parametrize(
    ("annotations", "names"),
    [
        ({}, []),
        ({"ref": "app:1"}, ["app:1"]),
        ({"ref": "example.com/app"}, ["example.com/app:latest"]),
        ({"ref": "docker.io/library/app:1"}, ["app:1"]),
        ({"ref": "v1"}, ["busybox:v1"]),
        ({"ref": "app@" + DIGEST}, ["app@" + DIGEST]),
        ({"ref": "app:1@" + DIGEST}, ["app:1", "app@" + DIGEST]),
        ({"ref": ""}, []),
        ({"full": "docker.io/library/app:1", "ref": "1"}, ["app:1"]),
    ],
)
def test_a_descriptor_has_the_names_its_annotations_give(
    annotations: dict[str, str], names: list[str]
) -> None:
    keys = {"ref": "org.opencontainers.image.ref.name", "full": CONTAINERD_NAME}
    given = {keys[key]: value for key, value in annotations.items()}

    assert [name.familiar for name in names_of(given, DIGEST, "busybox")] == names


@pytest.mark.parametrize(
    "annotations",
    [
        {REF_NAME: "app@sha256:" + "e" * 64},
        {REF_NAME: "No/Name:1"},
        {REF_NAME: "odd ref"},
        {CONTAINERD_NAME: "Not A Name", REF_NAME: "1"},
        {CONTAINERD_NAME: ""},
    ],
)
def test_a_name_that_cannot_be_used_is_told_with_the_reason(annotations: dict[str, str]) -> None:
    with pytest.raises(InvalidReference):
        names_of(annotations, DIGEST, "busybox")


def test_a_bare_tag_needs_a_repository() -> None:
    with pytest.raises(InvalidReference, match="it is a tag"):
        names_of({REF_NAME: "v1"}, DIGEST, None)


@pytest.mark.parametrize(
    ("directory", "names"),
    [("busybox", ["busybox:v1"]), ("BusyBox", ["busybox:v1"]), ("a b", []), ("sha256", [])],
)
def test_a_bare_tag_is_a_tag_of_the_directory(
    directory: str, names: list[str], tmp_path: object
) -> None:
    layout = Layout()
    layout.publish(layout.image("a"), "v1")
    path = layout.write(os.path.join(str(tmp_path), directory))

    (arrival,) = read_images(path, FakeIntake(), compression=DEFAULT)

    assert familiar(arrival) == names


def test_several_names_of_one_manifest_are_one_arrival() -> None:
    layout = Layout()
    image = layout.image("a")
    for ref in ("app:2", "app:1", "other:1"):
        layout.publish(image, ref)

    (arrival,) = load(layout)

    assert familiar(arrival) == ["app:2", "app:1", "other:1"]


def test_the_last_of_two_manifests_with_one_name_comes_last() -> None:
    layout = Layout()
    first, second = layout.image("a"), layout.image("b")
    for image in (first, second, first):
        layout.publish(image, "app:1")

    assert [each.image.top.digest for each in load(layout)] == [
        first["digest"],
        second["digest"],
        first["digest"],
    ]


def test_two_manifests_of_one_config_are_one_image_twice() -> None:
    layout = Layout()
    plain = layer("a")
    config = layout.blob(config_of(plain), OCI_CONFIG)
    layout.publish(layout.manifest(config, [layout.blob(plain, OCI_LAYER)]), "a:plain")
    layout.publish(layout.image("a"), "a:gzip")

    one, two = load(layout)

    assert one.image.id == two.image.id and one.image.top != two.image.top


def test_our_annotation_gives_the_parent_of_a_layout() -> None:
    layout = Layout()
    below, above = config_of(layer("a")), config_of(layer("a"), author="me")
    layout.publish(layout.image("a", config=above), "app:1", **{PARENT: sha256(below)})
    layout.publish(layout.image("a", config=below))

    assert [each.parent for each in load(layout)] == [sha256(below), None]


def test_a_layer_that_is_in_the_store_need_not_be_in_the_layout() -> None:
    layout, intake = Layout(), FakeIntake()
    layout.publish(layout.image("a"), "app:1")
    intake.commit(load(layout, intake))
    thin = Layout()
    image = thin.image("a", "b")
    thin.publish(image, "app:2")
    blob = gzip.compress(layer("a"), mtime=0)
    thin.remove({"digest": sha256(blob)})

    assert len(load(thin, intake)[0].image.layers) == 2
    with pytest.raises(Refused, match=f"blob {sha256(blob)} is missing"):
        load(thin)


def test_an_index_with_one_platform_there_loads_that_one() -> None:
    layout = Layout()
    here, absent = layout.image("a"), layout.image("b")
    layout.publish(layout.index(absent, here), "multi:1")
    layout.remove(absent)

    (arrival,) = load(layout)

    assert here["digest"] in {blob.digest for blob in arrival.image.blobs}
    assert len(arrival.image.layers) == 1


def test_a_manifest_that_index_json_names_must_be_there() -> None:
    layout = Layout()
    image = layout.image("a")
    layout.publish(image)
    layout.remove(image)

    with pytest.raises(Refused, match=f"blob {image['digest']} is missing"):
        load(layout)


def test_links_are_taken_and_still_verified(tmp_path: object) -> None:
    layout, intake = Layout(), FakeIntake(links=True)
    layout.publish(layout.image("a"), "app:1")
    blob = gzip.compress(layer("a"), mtime=0)
    path = layout.write(os.path.join(str(tmp_path), "layout"))

    read_images(path, intake, compression=DEFAULT, link=True)
    assert intake.adopted == [sha256(blob)]

    with open(os.path.join(path, "blobs/sha256", sha256(blob).hex), "r+b") as file:
        file.write(b"\0")
    with pytest.raises(Refused):
        read_images(path, FakeIntake(links=True), compression=DEFAULT, link=True)


def test_what_is_there_already_is_neither_linked_nor_read_again(tmp_path: object) -> None:
    layout, intake = Layout(), FakeIntake(links=True)
    layout.publish(layout.image("a"), "app:1")
    path = layout.write(os.path.join(str(tmp_path), "layout"))
    intake.commit(read_images(path, intake, compression=DEFAULT, link=True))
    intake.adopted.clear()
    layout.publish(layout.image("a", "new"), "app:2")
    path = layout.write(os.path.join(str(tmp_path), "larger"))
    with open(os.path.join(path, "blobs/sha256", gzip_of("a").hex), "r+b") as file:
        file.write(b"\0")  # who reads it notices

    arrivals = read_images(path, intake, compression=DEFAULT, link=True)

    assert intake.adopted == [gzip_of("new")]
    assert [len(arrival.image.layers) for arrival in arrivals] == [1, 2]


def gzip_of(name: str) -> Digest:
    return sha256(gzip.compress(layer(name), mtime=0))


def test_without_leave_nothing_is_linked(tmp_path: object) -> None:
    layout, intake = Layout(), FakeIntake(links=True)
    layout.publish(layout.image("a"), "app:1")
    path = layout.write(os.path.join(str(tmp_path), "layout"))

    read_images(path, intake, compression=DEFAULT)

    assert intake.adopted == []


def test_a_payload_is_kept_and_verified() -> None:
    layout, intake = Layout(), FakeIntake()
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    payload = layout.blob(b"chart", "application/example")
    layout.publish(layout.manifest(empty, [payload], artifactType="application/example"), "c:1")

    load(layout, intake)
    assert intake.blobs[sha256(b"chart")] == b"chart" and intake.untidy == []

    layout.files[f"blobs/sha256/{payload['digest'][7:]}"] = b"other"
    intake = FakeIntake()
    with pytest.raises(Refused, match="other content"):
        load(layout, intake)
    assert intake.untidy == []


@pytest.mark.parametrize("suffix", ["", "+gzip"])
def test_a_layer_that_is_not_its_diff_id_is_refused(suffix: str) -> None:
    layout = Layout()
    blob = layer("b") if not suffix else gzip.compress(layer("b"))
    config = layout.blob(config_of(layer("a")), OCI_CONFIG)
    layout.publish(layout.manifest(config, [layout.blob(blob, OCI_LAYER + suffix)]))
    intake = FakeIntake()

    with pytest.raises(Refused, match="invalid diffID for layer 0: expected"):
        load(layout, intake)
    assert intake.untidy == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', "2.0.0"),
        ("oci-layout", b"{}", "version"),
        ("oci-layout", b"1", "oci-layout is not a JSON object"),
        ("index.json", b"{}", "index.json"),
        ("index.json", b"[]", "index.json"),
        ("index.json", b'{"schemaVersion":2,"manifests":7}', "index.json"),
        ("index.json", b'{"schemaVersion":2,"layers":[]}', "both"),
    ],
)
def test_a_layout_whose_own_files_are_wrong_is_refused(
    name: str, content: bytes, says: str
) -> None:
    layout = Layout()
    layout.files = {**layout.all_files(), name: content}

    with pytest.raises(Refused, match=says):
        load(layout)


def test_a_layout_of_nothing_loads_nothing() -> None:
    assert load(Layout()) == []


def hybrid(image: dict[str, object], layout: Layout, tags: list[str], *texts: str) -> None:
    """Add the `manifest.json` that docker writes beside `index.json`."""
    manifest = json.loads(layout.files[f"blobs/sha256/{str(image['digest'])[7:]}"])
    item = {
        "Config": f"blobs/sha256/{manifest['config']['digest'][7:]}",
        "RepoTags": tags,
        "Layers": [f"blobs/sha256/{each['digest'][7:]}" for each in manifest["layers"]],
    }
    layout.files["manifest.json"] = json.dumps([item]).encode()


def plain_image(layout: Layout) -> dict[str, object]:
    config = layout.blob(config_of(layer("a")), OCI_CONFIG)
    return layout.manifest(config, [layout.blob(layer("a"), OCI_LAYER)])


def test_a_hybrid_of_plain_layers_is_a_docker_archive() -> None:
    layout = Layout()
    image = plain_image(layout)
    layout.publish(image, "1", **{CONTAINERD_NAME: "docker.io/library/app:1"})
    hybrid(image, layout, ["app:1", "app:2"])

    (arrival,) = load(layout)

    assert familiar(arrival) == ["app:1", "app:2"]
    assert arrival.image.layers[0].media_type.endswith("+zstd")
    assert arrival.image.top.digest != image["digest"]


def test_a_hybrid_that_says_less_than_its_index_is_a_layout() -> None:
    layout = Layout()
    image = plain_image(layout)
    layout.publish(image, "1", **{CONTAINERD_NAME: "docker.io/library/app:1"})
    hybrid(image, layout, ["app:2"])

    (arrival,) = load(layout)

    assert arrival.image.top.digest == image["digest"]
    assert familiar(arrival) == ["app:1", "app:2"]


def test_a_hybrid_of_compressed_layers_is_a_layout_with_dockers_names() -> None:
    layout = Layout()
    image = layout.image("a")
    layout.publish(image)
    hybrid(image, layout, ["app:1"])

    (arrival,) = load(layout)

    assert arrival.image.top.digest == image["digest"]
    assert familiar(arrival) == ["app:1"]


def test_a_hybrids_name_for_one_platform_goes_to_the_index() -> None:
    layout = Layout()
    image = layout.image("a")
    digest = layout.publish(layout.index(image))
    hybrid(image, layout, ["app:1"])

    (arrival,) = load(layout)

    assert arrival.image.id == digest and familiar(arrival) == ["app:1"]


def test_damage_to_any_file_of_a_layout_is_refused_or_harmless() -> None:
    layout = Layout()
    layout.publish(layout.index(layout.image("a", "b"), layout.image("c")), "app:1")
    for name, right in layout.all_files().items():
        for damaged in (right[:-1], right + b"x", right.replace(b"a", b"b", 1), b""):
            broken = Layout()
            broken.files = {**layout.all_files(), name: damaged}
            refusal = refusal_of(broken)
            if refusal is None:
                assert damaged == right or name in ("index.json", "oci-layout")
            else:
                assert refusal.isprintable()


def refusal_of(layout: Layout) -> str | None:
    try:
        load(layout)
    except CasstoreError as error:
        return str(error)
    return None
