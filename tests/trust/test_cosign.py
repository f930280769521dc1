"""Signatures against what others say of them, and the artifact byte for byte."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from casstore.errors import Refused
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.signatures import (
    SIGNATURE,
    SIMPLE_SIGNING,
    layer_of,
    signature_tag,
    write_documents,
)
from casstore.trust.cosign import check_signature
from casstore.trust.identity import Identity, matches_exactly, parse_identity
from casstore.trust.keys import PublicKey, read_public_key, sign
from casstore.trust.payload import Claim, parse_payload, write_payload
from tests.trust.recorded import FOLDER, IMAGES, entries, signature_file

DIGEST = Digest.of_hex("ab" * 32)
NAME = "registry.example.org/signed/app:1"
COSIGN = entries("cosign")


def check(
    payload: bytes, annotations: dict[str, str], key: PublicKey, digest: Digest, **more: Any
) -> Claim:
    """With the identity that the payload claims, unless told otherwise."""
    how: dict[str, Any] = {"matches": lambda _wanted, _claimed: True, "wanted": {}}
    how |= {"identity": parse_identity(NAME), **more}
    return check_signature(payload, annotations, key=key, digest=digest, **how)


@pytest.mark.parametrize("entry", COSIGN, ids=lambda entry: entry["signature"])
def test_a_recorded_signature_verifies_with_the_keys_that_openssl_says(
    entry: dict[str, Any],
) -> None:
    payload, annotations = _recorded(FOLDER, entry["signature"])
    manifest = sha256((FOLDER / entry["manifest"]).read_bytes())
    assert manifest == entry["manifest_digest"]
    assert entry["openssl"], "somebody has said which keys are good"
    for path, verdict in entry["openssl"].items():
        key = read_public_key((FOLDER / path).read_bytes(), path)
        if verdict == "bad":
            with pytest.raises(Refused, match="was not made by this key"):
                check(payload, annotations, key, manifest)
        elif not entry["digest_matches_manifest"]:
            with pytest.raises(Refused, match="is of another manifest"):
                check(payload, annotations, key, manifest)
        else:
            claim = check(payload, annotations, key, manifest)
            assert claim.reference == entry["docker_reference"]


def _recorded(folder: Path, where: str) -> tuple[bytes, dict[str, str]]:
    if " " not in where:
        media_type, payload, annotations = signature_file(folder / where)
        assert media_type == SIMPLE_SIGNING
        return payload, annotations
    layout, number = where.split(maxsplit=1)[0], int(where.rsplit(maxsplit=1)[-1])
    blobs = folder / layout / "blobs" / "sha256"
    index = json.loads((folder / layout / "index.json").read_text())
    top = index["manifests"][1]["digest"].partition(":")[2]
    layer = json.loads((blobs / top).read_text())["layers"][number]
    return (blobs / layer["digest"].partition(":")[2]).read_bytes(), layer["annotations"]


def test_the_recorded_list_speaks_of_good_and_of_bad_ones() -> None:
    verdicts = [verdict for entry in COSIGN for verdict in entry["openssl"].values()]

    assert {"good", "bad"} <= set(verdicts)


@pytest.mark.skipif(IMAGES is None, reason="CASSTORE_SHARED_IMAGES is not set")
def test_the_shared_list_has_signatures_of_cosign_itself_and_of_other_manifests() -> None:
    assert {entry["digest_matches_manifest"] for entry in COSIGN} == {True, False}
    assert sum("containers-image" in entry["signature"] for entry in COSIGN) >= 10


@pytest.mark.parametrize(
    "entry", entries("gpg simple signing"), ids=lambda entry: entry["signature"]
)
def test_a_gpg_signature_is_no_sigstore_signature(entry: dict[str, Any]) -> None:
    assert not (FOLDER / entry["signature"]).read_bytes().startswith(b"\0sigstore-json\n")


def test_the_payload_of_a_gpg_signature_is_refused_by_name() -> None:
    payload = write_payload(NAME, DIGEST, {}).replace(
        b"cosign container image", b"atomic container"
    )

    with pytest.raises(Refused, match="GPG signature, which is not supported"):
        parse_payload(payload)


# One good signature, and every way to spoil it

KEY = ec.generate_private_key(ec.SECP256R1())
PAYLOAD = write_payload(NAME, DIGEST, {"a": "b"})
LAYER = layer_of(PAYLOAD, sign(KEY, PAYLOAD))


def verify(payload: bytes = PAYLOAD, annotations: dict[str, str] | None = None,
           **more: Any) -> Claim:  # fmt: skip
    how: dict[str, Any] = {
        "key": KEY.public_key(),
        "digest": DIGEST,
        "identity": parse_identity(NAME),
        "matches": matches_exactly,
        "wanted": {"a": "b"},
    }
    return check_signature(payload, annotations or LAYER["annotations"], **{**how, **more})


def test_the_good_signature_is_good() -> None:
    assert verify().digest == DIGEST


def test_each_byte_of_the_payload_counts() -> None:
    for at in range(len(PAYLOAD)):
        changed = bytearray(PAYLOAD)
        changed[at] ^= 1
        with pytest.raises(Refused, match="was not made by this key, or its payload was changed"):
            verify(bytes(changed))


def test_each_byte_of_the_signature_counts() -> None:
    text = LAYER["annotations"][SIGNATURE]
    for at in range(len(text)):
        other = "A" if text[at] != "A" else "B"
        with pytest.raises(Refused, match=r"not made by this key|not base64"):
            verify(annotations={SIGNATURE: text[:at] + other + text[at + 1 :]})


def test_bits_of_base64_that_nobody_reads_count_too() -> None:
    signature = base64.b64encode(b"\x01").decode()  # AQ==; AR== decodes to the same
    with pytest.raises(Refused, match="not made by this key"):
        verify(annotations={SIGNATURE: signature})
    with pytest.raises(Refused, match="not base64"):
        verify(annotations={SIGNATURE: signature.replace("Q", "R")})


def nothing(_wanted: Identity, _claimed: Identity) -> bool:
    return False


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"key": ec.generate_private_key(ec.SECP256R1()).public_key()}, "not made by this key"),
        ({"digest": Digest.of_hex("ac" * 32)}, f"is of another manifest: {DIGEST}"),
        ({"identity": parse_identity("registry.example.org/signed/app:2")}, "another identity"),
        ({"matches": nothing}, f'it is for "{NAME}", not for "{NAME}"'),
        ({"wanted": {"a": "c"}}, 'does not say "a=c": "a" is "b"'),
        ({"wanted": {"x": "y"}}, 'does not say "x=y": "x" is missing'),
        ({"annotations": {"other": "x"}}, f"has no annotation {SIGNATURE}"),
        ({"annotations": {SIGNATURE: "%"}}, "is not base64"),
        ({"annotations": {SIGNATURE: "ü"}}, "is not base64"),
    ],
)
def test_a_signature_says_what_is_wrong_with_it(change: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says.replace("(", r"\(")):
        verify(**change)


def test_a_claim_that_is_no_reference_never_matches() -> None:
    payload = write_payload("NO REFERENCE", DIGEST, {})
    always: Callable[[Identity, Identity], bool] = lambda _w, _c: True  # noqa: E731

    with pytest.raises(Refused, match='it is for "NO REFERENCE"'):
        verify(payload, layer_of(payload, sign(KEY, payload))["annotations"], matches=always)


# The artifact

ONE, TWO = layer_of(b"one", b"1"), layer_of(b"two", b"22")
LAYER_TEXT = (
    '{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":3,'
    '"digest":"{}","annotations":{{"dev.cosignproject.cosign/signature":"{}"}}}}'
)
ONE_TEXT = LAYER_TEXT.format(sha256(b"one"), "MQ==")
TWO_TEXT = LAYER_TEXT.format(sha256(b"two"), "MjI=")


def test_the_artifact_is_byte_for_byte_what_cosign_pushes() -> None:
    documents = write_documents([ONE, TWO])
    time = '"0001-01-01T00:00:00Z"'
    config = (
        f'{{"architecture":"","created":{time},"history":[{{"created":{time}}},'
        f'{{"created":{time}}}],"os":"","rootfs":{{"type":"layers","diff_ids":'
        f'["{sha256(b"one")}","{sha256(b"two")}"]}},"config":{{}}}}'
    )
    assert documents.config.decode() == config
    assert documents.manifest.decode() == (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        '"config":{"mediaType":"application/vnd.oci.image.config.v1+json",'
        f'"size":{len(config)},"digest":"{sha256(config.encode())}"}},'
        f'"layers":[{ONE_TEXT},{TWO_TEXT}]}}'
    )


def test_a_referrer_has_its_own_type_and_the_subject() -> None:
    subject = Descriptor("application/vnd.oci.image.manifest.v1+json", DIGEST, 7)
    manifest = json.loads(write_documents([ONE], subject=subject).manifest)

    assert manifest["config"]["mediaType"] == "application/vnd.dev.cosign.artifact.sig.v1+json"
    assert manifest["subject"] == {
        "mediaType": subject.media_type, "size": 7, "digest": DIGEST,
    }  # fmt: skip


def test_the_tag_of_signatures_is_that_of_the_specification() -> None:
    digest = Digest.of_hex("97fc222cee7991b5b061d4d4afdb5f3428fcb0c9054e1690313786befa1e4e36")
    tag = "sha256-97fc222cee7991b5b061d4d4afdb5f3428fcb0c9054e1690313786befa1e4e36.sig"

    assert signature_tag(digest) == tag
