"""The artifact of a manifest's signatures, and two of them made one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.manifest import Manifest, parse_manifest
from casstore.model.mediatype import OCI_CONFIG, OCI_MANIFEST
from casstore.model.reference import Reference
from casstore.model.signatures import (
    ENVELOPE,
    REFERRER_TYPE,
    SIGNATURE,
    SIMPLE_SIGNING,
    base64_of,
    go_json,
    grows,
    layer_of,
    payloads_of,
    signature_tag,
    united,
    write_documents,
)

HEX = "ab" * 32
SUBJECT = Descriptor(OCI_MANIFEST, Digest.of_hex(HEX), 7)


def artifact(*payloads: bytes, notes: dict[str, str] | None = None) -> bytes:
    layers = [layer_of(payload, b"by me") for payload in payloads]
    return write_documents(layers, annotations=notes).manifest


def changed(data: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(data), **fields}).encode()


def parsed(data: bytes) -> Manifest:
    return parse_manifest(data, "x", media_type=OCI_MANIFEST)


def payloads(data: bytes) -> list[Digest]:
    return [entry.descriptor.digest for entry in payloads_of(parsed(data))]


def test_the_tag_of_signatures_is_made_of_the_digest() -> None:
    assert signature_tag(Digest.of_hex(HEX)) == f"sha256-{HEX}.sig"


def test_a_layer_is_a_payload_and_its_signature_in_base64() -> None:
    assert layer_of(b"payload", b"\x00\xff") == {
        "mediaType": SIMPLE_SIGNING,
        "size": 7,
        "digest": sha256(b"payload"),
        "annotations": {SIGNATURE: "AP8="},
    }


def test_base64_is_on_one_line_however_long() -> None:
    assert "\n" not in base64_of(bytes(1000))


def test_json_is_as_go_writes_it() -> None:
    assert go_json({"b": "<&>\u2028\u00e9"}) == b'{"b":"\\u003c\\u0026\\u003e\\u2028\xc3\xa9"}'


def test_without_a_subject_the_artifact_has_the_config_of_an_image() -> None:
    documents = write_documents([layer_of(b"payload", b"by me")])
    manifest = json.loads(documents.manifest)

    assert manifest["config"] == {
        "mediaType": OCI_CONFIG,
        "size": len(documents.config),
        "digest": sha256(documents.config),
    }
    assert json.loads(documents.config)["rootfs"]["diff_ids"] == [sha256(b"payload")]
    assert manifest.keys().isdisjoint({"subject", "annotations"})


def test_with_a_subject_it_refers_to_it() -> None:
    manifest = json.loads(write_documents([], subject=SUBJECT).manifest)

    assert manifest["config"]["mediaType"] == REFERRER_TYPE
    assert manifest["subject"] == {"mediaType": OCI_MANIFEST, "size": 7, "digest": f"sha256:{HEX}"}


def test_annotations_of_an_older_artifact_are_kept() -> None:
    assert json.loads(artifact(b"a", notes={"k": "v"}))["annotations"] == {"k": "v"}


@pytest.mark.parametrize(
    ("tag", "expected"),
    [(f"sha256-{HEX}.sig", True), (f"sha256-{HEX}.att", True), (f"sha256-{HEX}.sbom", False),
     (f"sha256-{HEX}", False), ("mine.sig", False)],
)  # fmt: skip
def test_signatures_and_attestations_get_more_and_nothing_else(tag: str, *, expected: bool) -> None:
    assert grows(Reference(f"host.x/app:{tag}")) is expected


def test_two_artifacts_are_united_the_first_ones_layers_first() -> None:
    both = united(artifact(b"a", b"b"), artifact(b"b", b"c"))

    assert both is not None
    assert payloads(both.manifest) == [sha256(b"a"), sha256(b"b"), sha256(b"c")]
    assert sha256(both.config) == json.loads(both.manifest)["config"]["digest"]


@pytest.mark.parametrize("longer_first", [True, False])
def test_where_one_has_all_that_the_other_has_it_is_that_one(*, longer_first: bool) -> None:
    longer, shorter = artifact(b"a", b"b"), artifact(b"b")
    both = united(longer, shorter) if longer_first else united(shorter, longer)

    assert both == (longer, b"")


def test_annotations_of_both_are_kept_and_those_of_the_first_count() -> None:
    one, other = (
        artifact(b"a", notes={"x": "1", "y": "1"}),
        artifact(b"b", notes={"x": "2", "z": "2"}),
    )
    both = united(one, other)

    assert both is not None
    assert json.loads(both.manifest)["annotations"] == {"x": "1", "y": "1", "z": "2"}


def test_artifacts_without_annotations_are_united_to_one_without() -> None:
    both = united(artifact(b"a"), artifact(b"b"))

    assert both is not None
    assert "annotations" not in json.loads(both.manifest)


@pytest.mark.parametrize(
    "other",
    [
        b"{}",
        write_documents([], subject=SUBJECT).manifest,
        changed(artifact(b"b"), layers=[{**layer_of(b"b", b""), "mediaType": "text/plain"}]),
    ],
)
def test_what_refers_by_subject_or_holds_something_else_is_not_united(other: bytes) -> None:
    assert united(artifact(b"a"), other) is None
    assert united(other, artifact(b"a")) is None


def test_attestations_are_united_with_signatures() -> None:
    attestation = {**layer_of(b"b", b"by me"), "mediaType": ENVELOPE}
    both = united(artifact(b"a"), write_documents([attestation]).manifest)

    assert both is not None
    assert len(parsed(both.manifest).layers) == 2
    assert payloads(both.manifest) == [sha256(b"a")]
    assert united(both.manifest, artifact(b"c")) is not None
