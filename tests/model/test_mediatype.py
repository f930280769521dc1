from __future__ import annotations

import pytest

from casstore.model import mediatype


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        ("application/vnd.oci.image.layer.v1.tar", "none"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "gzip"),
        ("application/vnd.oci.image.layer.v1.tar+zstd", "zstd"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd"),
    ],
)
def test_a_layer_type_tells_its_compression(media_type: str, compression: str) -> None:
    assert mediatype.is_layer(media_type)
    assert mediatype.compression_of(media_type) == compression


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.in-toto+json",
        "application/vnd.oci.image.layer.v2.tar",
        "",
    ],
)
def test_what_cannot_be_looked_into_is_no_layer(media_type: str) -> None:
    assert not mediatype.is_layer(media_type)
    assert mediatype.compression_of(media_type) is None


def test_an_encrypted_layer_is_told_by_its_suffix() -> None:
    assert mediatype.is_encrypted(mediatype.OCI_LAYER + "+gzip+encrypted")
    assert not mediatype.is_encrypted(mediatype.OCI_LAYER + "+gzip")


def test_foreign_layers_are_told_by_their_type() -> None:
    assert mediatype.is_foreign("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    assert mediatype.is_foreign("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    assert not mediatype.is_foreign(mediatype.OCI_LAYER)


def test_the_layer_type_for_zstd_is_ocis() -> None:
    assert mediatype.layer_type("zstd") == "application/vnd.oci.image.layer.v1.tar+zstd"


def test_dockers_layer_types_have_an_oci_name() -> None:
    assert mediatype.as_oci_layer(mediatype.DOCKER_LAYER + ".gzip") == mediatype.layer_type("gzip")
    assert mediatype.as_oci_layer("application/vnd.example") == "application/vnd.example"


def test_manifests_indexes_and_configs_are_told_apart() -> None:
    assert mediatype.is_index(mediatype.DOCKER_LIST)
    assert mediatype.is_manifest(mediatype.DOCKER_MANIFEST)
    assert mediatype.is_config(mediatype.DOCKER_CONFIG)
    assert not mediatype.is_config(mediatype.OCI_EMPTY)
