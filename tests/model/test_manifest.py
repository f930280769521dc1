from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from casstore.errors import Refused
from casstore.model import manifest as manifests
from casstore.model import mediatype
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.kept import LayerRecord
from casstore.model.manifest import (
    MAX_LAYERS,
    MAX_MEDIA_TYPE,
    Index,
    Manifest,
    build_manifest,
    parse_document,
    parse_entry,
    parse_index_json,
)

CONFIG = {"mediaType": mediatype.OCI_CONFIG, "digest": sha256(b"c"), "size": 1}
LAYER = {"mediaType": mediatype.OCI_LAYER, "digest": sha256(b"l"), "size": 1}


def manifest(**fields: Any) -> dict[str, Any]:
    value = {
        "schemaVersion": 2,
        "mediaType": mediatype.OCI_MANIFEST,
        "config": CONFIG,
        "layers": [LAYER],
        **fields,
    }
    return {key: item for key, item in value.items() if item is not None}


def parse(value: object, media_type: str = mediatype.OCI_MANIFEST) -> Manifest | Index:
    data = json.dumps(value).encode()
    return parse_document(data, Descriptor(media_type, sha256(data), len(data)))


def test_a_manifest_has_a_config_and_layers() -> None:
    parsed = parse(manifest(annotations={"a": "b"}))

    assert isinstance(parsed, Manifest) and parsed.is_image
    assert parsed.config and parsed.config.descriptor.digest == sha256(b"c")
    assert [entry.descriptor.digest for entry in parsed.layers] == [sha256(b"l")]
    assert parsed.annotations == {"a": "b"}


def test_an_index_has_manifests_with_platforms() -> None:
    entry = {
        "mediaType": mediatype.OCI_MANIFEST,
        "digest": sha256(b"m"),
        "size": 1,
        "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
    }
    parsed = parse({"schemaVersion": 2, "manifests": [entry]}, mediatype.OCI_INDEX)

    assert isinstance(parsed, Index)
    assert parsed.manifests[0].platform == ("linux", "arm64", "v8")


def test_a_document_need_not_say_its_own_type() -> None:
    parsed = parse(manifest(mediaType=None))

    assert parsed.media_type == mediatype.OCI_MANIFEST


@pytest.mark.parametrize("version", [{}, {"schemaVersion": None}, {"SchemaVersion": 2}])
def test_a_document_without_a_version_is_of_version_2(version: dict[str, Any]) -> None:
    without = manifest(schemaVersion=None)

    assert isinstance(parse({**without, **version}), Manifest)
    assert isinstance(parse({"manifests": [], **version}, mediatype.OCI_INDEX), Index)


def test_a_manifest_is_read_as_go_reads_it() -> None:
    layer = {"MediaType": mediatype.OCI_LAYER, "DIGEST": sha256(b"l"), "size": 1, "URLs": [None]}
    given = {
        "Config": {**CONFIG, "annotations": {"a": None}},
        "Layers": [layer],
        "Annotations": {"b": None, "c": "1"},
        "subject": None,
    }

    parsed = parse(given)

    assert isinstance(parsed, Manifest) and parsed.config is not None
    assert parsed.config.annotations == {"a": ""} and parsed.annotations == {"b": "", "c": "1"}
    assert parsed.layers[0].descriptor.digest == sha256(b"l") and parsed.layers[0].urls == ("",)
    assert parsed.subject is None


def test_null_layers_are_no_layers() -> None:
    parsed = parse({**manifest(), "layers": None})

    assert isinstance(parsed, Manifest) and parsed.layers == ()


def test_an_artifact_may_have_no_config() -> None:
    parsed = parse(manifest(config=None, artifactType="application/example"))

    assert isinstance(parsed, Manifest) and not parsed.is_image


def test_a_config_of_another_type_makes_an_artifact() -> None:
    parsed = parse(manifest(config={**CONFIG, "mediaType": "application/vnd.example+json"}))

    assert isinstance(parsed, Manifest)
    assert not parsed.is_image


@pytest.mark.parametrize("media_type", [mediatype.OCI_MANIFEST, mediatype.OCI_INDEX])
def test_a_subject_is_what_a_document_refers_to(media_type: str) -> None:
    own: dict[str, Any] = (
        {"config": CONFIG} if media_type == mediatype.OCI_MANIFEST else {"manifests": []}
    )
    parsed = parse({"schemaVersion": 2, **own, "subject": LAYER}, media_type)

    assert parsed.subject is not None
    assert parsed.subject.descriptor.digest == LAYER["digest"]


def test_a_manifest_may_have_so_many_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_LAYERS", 2)

    assert parse(manifest(layers=[LAYER] * 2))
    with pytest.raises(Refused, match=r"has 3 layers, which exceeds the limit of 2$"):
        parse(manifest(layers=[LAYER] * 3))


def test_an_index_may_have_so_many_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_CHILDREN", 2)

    assert parse({"schemaVersion": 2, "manifests": [LAYER] * 2}, mediatype.OCI_INDEX)
    with pytest.raises(Refused, match=r"has 3 manifests, which exceeds the limit of 2$"):
        parse({"schemaVersion": 2, "manifests": [LAYER] * 3}, mediatype.OCI_INDEX)


def test_what_is_wrong_in_an_index_is_told_by_its_number_from_1() -> None:
    with pytest.raises(Refused, match=r"^manifest 2 of index .* has no mediaType$"):
        parse({"schemaVersion": 2, "manifests": [LAYER, {}]}, mediatype.OCI_INDEX)


@pytest.mark.parametrize("version", [True, False, 1, "2"])
def test_a_version_is_the_number_2(version: object) -> None:
    with pytest.raises(Refused, match=r'"schemaVersion" of .* is not 2$'):
        parse(manifest(schemaVersion=version))


def test_a_config_of_nothing_makes_an_artifact() -> None:
    parsed = parse(manifest(config={**CONFIG, "digest": sha256(b"{}"), "size": 2}))

    assert isinstance(parsed, Manifest) and not parsed.is_image


@pytest.mark.parametrize(
    ("value", "media_type", "says"),
    [
        (manifest(config=None), mediatype.OCI_MANIFEST, "has no config"),
        (manifest(manifests=[]), mediatype.OCI_MANIFEST, "both"),
        (
            {"schemaVersion": 2, "manifests": [], "layers": []},
            mediatype.OCI_INDEX,
            "both",
        ),
        (
            {"schemaVersion": 2, "manifests": [], "config": CONFIG},
            mediatype.OCI_INDEX,
            "both",
        ),
        (manifest(schemaVersion=1), mediatype.OCI_MANIFEST, "schemaVersion"),
        (manifest(schemaVersion="2"), mediatype.OCI_MANIFEST, "schemaVersion"),
        (manifest(schemaVersion=True), mediatype.OCI_MANIFEST, "schemaVersion"),
        (manifest(fsLayers=[]), mediatype.OCI_MANIFEST, "fsLayers"),
        (manifest(FSLAYERS=[{"blobSum": "x"}]), mediatype.OCI_MANIFEST, "fsLayers"),
        ({"manifests": [], "fsLayers": []}, mediatype.OCI_INDEX, "fsLayers"),
        ({"manifests": [], "LAYERS": []}, mediatype.OCI_INDEX, "both"),
        ({"manifests": [], "Config": CONFIG}, mediatype.OCI_INDEX, "both"),
        (manifest(Manifests=[]), mediatype.OCI_MANIFEST, "both"),
        (
            manifest(layers=None) | {"Layers": [LAYER], "LAYERS": [LAYER]},
            mediatype.OCI_MANIFEST,
            "two spellings",
        ),
        (manifest(), mediatype.DOCKER_MANIFEST, "media type"),
        (manifest(), "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        (manifest(), "application/json", "neither a manifest nor an index"),
        (manifest(layers={}), mediatype.OCI_MANIFEST, "not a list"),
        (manifest(layers=[7]), mediatype.OCI_MANIFEST, "layer 1 of manifest"),
        (manifest(layers=[LAYER] * (MAX_LAYERS + 1)), mediatype.OCI_MANIFEST, "limit of 512"),
        ([], mediatype.OCI_MANIFEST, "not a JSON object"),
    ],
)
def test_a_document_that_cannot_be_trusted_is_refused(
    value: object, media_type: str, says: str
) -> None:
    with pytest.raises(Refused, match=says):
        parse(value, media_type)


@pytest.mark.parametrize(
    "digest",
    [
        None,
        7,
        "",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:../../../etc/passwd",
        "a" * 64,
        "sha512:" + "a" * 128,
        "sha256:" + "a" * 64 + "\n",
    ],
)
def test_a_descriptor_has_a_sha256_digest(digest: object) -> None:
    with pytest.raises(Refused, match="x has an invalid digest"):
        parse_entry({**LAYER, "digest": digest}, "x")


@pytest.mark.parametrize("size", [True, -1, "1", None, 1.5])
def test_a_descriptor_has_a_size(size: object) -> None:
    with pytest.raises(Refused, match='"size" of x'):
        parse_entry({**LAYER, "size": size}, "x")


@pytest.mark.parametrize("media_type", [None, "", "a\x1b[0m", "a" * 300, 7])
def test_a_descriptor_has_a_media_type(media_type: object) -> None:
    with pytest.raises(Refused, match=r"x.* (has no mediaType|media type|not a string)|of x"):
        parse_entry({**LAYER, "mediaType": media_type}, "x")


def test_a_media_type_may_have_so_many_characters() -> None:
    longest = "a" * MAX_MEDIA_TYPE

    assert parse_entry({**LAYER, "mediaType": longest}, "x").descriptor.media_type == longest
    with pytest.raises(Refused, match="invalid media type"):
        parse_entry({**LAYER, "mediaType": longest + "a"}, "x")


def test_embedded_data_is_as_long_as_the_content() -> None:
    with pytest.raises(Refused, match='"data" of x is not the content'):
        parse_entry({**LAYER, "size": 2, "data": base64.b64encode(b"l").decode()}, "x")


@pytest.mark.parametrize("junk", ["\n", " ", "*"])
def test_embedded_data_is_base64_and_nothing_else(junk: str) -> None:
    with pytest.raises(Refused, match='"data" of x is not base64'):
        parse_entry({**LAYER, "data": base64.b64encode(b"l").decode() + junk}, "x")


def test_embedded_data_is_the_content() -> None:
    right = base64.b64encode(b"l").decode()

    assert parse_entry({**LAYER, "data": right}, "x").descriptor.digest == sha256(b"l")
    for wrong in (base64.b64encode(b"m").decode(), base64.b64encode(b"ll").decode(), "?", "é", 7):
        with pytest.raises(Refused, match='"data" of x'):
            parse_entry({**LAYER, "data": wrong}, "x")


def test_index_json_may_be_empty_but_not_of_schema_1() -> None:
    assert parse_index_json(b'{"schemaVersion":2,"manifests":[]}').manifests == ()
    assert parse_index_json(b'{"schemaVersion":2,"manifests":null}').manifests == ()
    with pytest.raises(Refused, match=r"index\.json"):
        parse_index_json(b'{"schemaVersion":1,"manifests":[]}')
    for nothing in (b"{}", b"null", b"[]"):
        with pytest.raises(Refused, match=r"^index\.json "):
            parse_index_json(nothing)


@pytest.mark.parametrize("media_type", [mediatype.DOCKER_LIST, "application/json", None])
def test_index_json_may_say_that_it_is_of_another_type(media_type: str | None) -> None:
    value = {"mediaType": media_type, "manifests": [LAYER]}

    assert len(parse_index_json(json.dumps(value).encode()).manifests) == 1


def test_index_json_that_says_it_is_a_manifest_is_refused() -> None:
    for media_type in (mediatype.OCI_MANIFEST, *mediatype.SCHEMA1):
        with pytest.raises(Refused, match=r"index\.json says it is of the media type"):
            parse_index_json(json.dumps({"mediaType": media_type, "manifests": []}).encode())


def test_our_own_manifest_calls_a_config_as_it_is_told_to() -> None:
    data = build_manifest(sha256(b"c"), 1, [], "application/vnd.example+json")

    assert json.loads(data)["config"]["mediaType"] == "application/vnd.example+json"


def test_our_own_manifest_is_the_same_bytes_every_time() -> None:
    layer = LayerRecord(
        sha256(b"l"), 1, "application/vnd.docker.image.rootfs.diff.tar.gzip", sha256(b"d"), 9, 3
    )

    data = build_manifest(sha256(b"c"), 1, [layer])

    assert data == (
        b'{"config":{"digest":"' + sha256(b"c").encode() + b'","mediaType":'
        b'"application/vnd.oci.image.config.v1+json","size":1},"layers":[{"digest":"'
        + sha256(b"l").encode()
        + b'","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":1}],'
        b'"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
    )
    parsed = parse(json.loads(data))
    assert isinstance(parsed, Manifest)
    assert parsed.config and parsed.config.descriptor.digest == Digest(sha256(b"c"))
