"""Attestations and SBOMs: where they are found, what they are of, and what of them is proved."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from casstore.errors import NotFound, Refused
from casstore.model.digest import Digest
from casstore.model.platform import normal, this_machine
from casstore.store import Store
from casstore.trust.keys import PrivateKey, public_pem, sign
from tests.store.attesting import (
    BUNDLE,
    CYCLONEDX,
    EMPTY,
    ENVELOPE,
    IN_TOTO,
    PROVENANCE,
    SPDX,
    Attested,
    envelope,
    statement,
)
from tests.transfer.building import config_of, layer

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = public_pem(KEY.public_key())
ELSEWHERE = "sha256:" + "5a" * 32
PLAIN_SBOM = b'{"spdxVersion":"SPDX-2.2","x":1.0}'

Loaded = Callable[[Attested], Store]


@pytest.fixture
def attested() -> Attested:
    return Attested()


@pytest.fixture(params=["directory", "memory"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Loaded]:
    stores = []

    def load(attested: Attested) -> Store:
        made = Store(tmp_path / "store") if request.param == "directory" else Store.in_memory()
        stores.append(made)
        made.load(attested.finished().write(str(tmp_path / "a layout")))
        return made

    yield load
    for store in stores:
        assert store.check().clean
        store.close()


def signed(payload: bytes, *keys: PrivateKey) -> bytes:
    return json.dumps(envelope(payload, *keys)).encode()


def bundle(**content: Any) -> bytes:
    material = {"publicKey": {"hint": "x"}, "tlogEntries": []}
    return json.dumps({"mediaType": BUNDLE, "verificationMaterial": material, **content}).encode()


# Where they are


def test_what_buildkit_puts_into_the_index_is_found(loaded: Loaded, attested: Attested) -> None:
    attested.buildkit(
        (statement(attested.image), SPDX), (statement(attested.image, kind=PROVENANCE), PROVENANCE)
    )

    found = loaded(attested).attestations("app:1")

    assert [(a.found, a.predicate_type, a.media_type) for a in found] == [
        ("index", SPDX, IN_TOTO),
        ("index", PROVENANCE, IN_TOTO),
    ]
    assert {(a.attached, a.of_image, a.signed, a.verified) for a in found} == {
        (attested.image, True, False, None)
    }


@pytest.mark.parametrize("version", ["v0.1", "v1"])
def test_both_versions_of_the_statement_are_read(
    version: str, loaded: Loaded, attested: Attested
) -> None:
    attested.buildkit((statement(attested.image, version=version), SPDX))

    (one,) = loaded(attested).attestations("app:1")

    assert (one.problem, one.subjects) == ("", (attested.image,))


def test_what_refers_to_the_image_is_found(loaded: Loaded, attested: Attested) -> None:
    artifact = attested.referrer(PLAIN_SBOM, "application/spdx+json")

    (one,) = loaded(attested).attestations("app:1")

    assert (one.found, one.manifest, one.attached) == ("referrer", artifact, attested.image)
    assert (one.predicate_type, one.of_image, one.name) == (SPDX, True, None)


def test_what_refers_to_the_index_is_found(loaded: Loaded, attested: Attested) -> None:
    attested.buildkit((statement(attested.image), SPDX))
    own = {**attested.top, "platform": {"architecture": "amd64", "os": "linux"}}
    index = attested.layout.index(own, *attested.children)
    attested.referrer(PLAIN_SBOM, "application/spdx+json", about=index)

    found = loaded(attested).attestations("app:1")

    assert [(a.found, a.attached) for a in found] == [
        ("index", attested.image),
        ("referrer", index["digest"]),
    ]


@pytest.mark.parametrize(
    ("layer_type", "artifact_type", "predicate_type"),
    [
        ("text/spdx", "", SPDX),
        ("text/spdx+json", "", SPDX),
        ("application/vnd.cyclonedx+json", "", CYCLONEDX),
        ("application/vnd.cyclonedx+json;version=1.5", "", CYCLONEDX),
        ("application/vnd.oci.image.layer.v1.tar", "application/spdx+json", SPDX),
    ],
)
def test_a_plain_sbom_is_known_by_its_type_or_its_artifacts(
    layer_type: str, artifact_type: str, predicate_type: str, loaded: Loaded, attested: Attested
) -> None:
    attested.referrer(b"{}\n", layer_type, artifact_type=artifact_type)

    (one,) = loaded(attested).attestations("app:1")

    assert one.predicate_type == predicate_type


def test_what_cosign_tags_is_found_with_its_tag(loaded: Loaded, attested: Attested) -> None:
    attested.cosign(signed(statement(attested.image), KEY))
    attested.cosign(PLAIN_SBOM, suffix=".sbom", media_type="text/spdx+json")

    found = loaded(attested).attestations("app:1")

    assert [(a.found, a.name and a.name.familiar, a.signed) for a in found] == [
        ("tag", f"app:sha256-{attested.image.hex}.att", True),
        ("tag", f"app:sha256-{attested.image.hex}.sbom", False),
    ]


def test_an_index_of_referrers_under_their_tag_is_looked_into(
    loaded: Loaded, attested: Attested
) -> None:
    layout = attested.layout
    artifact = layout.manifest(
        layout.blob(b"{}", EMPTY),
        [layout.blob(PLAIN_SBOM, "application/spdx+json")],
        artifactType="application/spdx+json",
        subject=attested.top,
    )
    layout.publish(layout.index(artifact), f"app:sha256-{attested.image.hex}")

    (one,) = loaded(attested).attestations("app:1")

    assert (one.found, one.manifest) == ("referrer", artifact["digest"])


def test_signatures_and_other_artifacts_are_no_attestations(
    loaded: Loaded, attested: Attested
) -> None:
    attested.referrer(b"hello", "text/plain")

    assert loaded(attested).attestations("app:1") == []


def test_a_platform_has_its_own(loaded: Loaded, attested: Attested) -> None:
    layers = [layer("arm")]
    config = config_of(*layers, architecture="arm64")
    arm = attested.layout.image("arm", config=config)
    attested.buildkit((statement(attested.image), SPDX))
    attested.buildkit((statement(arm["digest"]), SPDX), about=arm)
    attested.children.append({**arm, "platform": {"architecture": "arm64", "os": "linux"}})
    store = loaded(attested)

    by_platform = {
        platform: [a.subjects for a in store.attestations("app:1", platform=platform)]
        for platform in ("linux/amd64", "linux/arm64")
    }

    assert by_platform == {
        "linux/amd64": [(attested.image,)],
        "linux/arm64": [(arm["digest"],)],
    }
    assert len(store.attestations("app:1")) == 2
    assert store.sbom("app:1", platform="linux/arm64").subjects == (arm["digest"],)


def test_without_a_platform_the_sbom_is_that_for_this_machine(
    loaded: Loaded, attested: Attested
) -> None:
    mine = normal(this_machine())
    images = {"amd64": attested.top}
    for architecture in {"arm64", "s390x", mine.architecture} - images.keys():
        layers = [layer(architecture)]
        config = config_of(*layers, architecture=architecture)
        image = images[architecture] = attested.layout.image(architecture, config=config)
        platform = {"architecture": architecture, "os": "linux", "variant": mine.variant}
        attested.children.append({**image, "platform": platform})
    for image in images.values():
        attested.buildkit((statement(image["digest"]), SPDX), about=image)

    sbom = loaded(attested).sbom("app:1")

    assert sbom.subjects == (images[mine.architecture]["digest"],)


def test_an_image_that_is_not_there_for_a_platform_has_no_attestations(
    loaded: Loaded, attested: Attested
) -> None:
    with pytest.raises(NotFound, match="not there for the platform linux/s390x"):
        loaded(attested).attestations("app:1", platform="linux/s390x")


# What they are of


def test_a_statement_about_something_else_is_told_and_not_taken(
    loaded: Loaded, attested: Attested
) -> None:
    attested.referrer(statement(ELSEWHERE), IN_TOTO)
    store = loaded(attested)

    (one,) = store.attestations("app:1")

    assert (one.subjects, one.of_image) == ((Digest(ELSEWHERE),), False)
    with pytest.raises(NotFound, match=f"app:1 has no SBOM: that in {one.digest} is of something"):
        store.sbom("app:1")


def test_a_statement_without_subjects_counts_only_in_the_images_own_index(
    loaded: Loaded, attested: Attested
) -> None:
    attested.buildkit((statement(), SPDX))  # as BuildKit writes it for an image without a name
    attested.referrer(statement(), IN_TOTO)

    found = loaded(attested).attestations("app:1")

    assert [(a.found, a.of_image) for a in found] == [("index", True), ("referrer", False)]


# What is proved


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "Ed25519", "RSA"],
)
def test_an_envelope_is_verified_by_the_key_that_signed_it(
    key: PrivateKey, loaded: Loaded, attested: Attested
) -> None:
    attested.cosign(signed(statement(attested.image), OTHER_KEY, key))

    (one,) = loaded(attested).attestations("app:1", key=public_pem(key.public_key()))

    assert one.verified is True


def test_pre_authentication_encoding_is_that_of_dsse(loaded: Loaded, attested: Attested) -> None:
    payload = statement(attested.image)
    bare = {**envelope(payload), "signatures": [{"sig": _text(sign(KEY, payload))}]}
    attested.cosign(json.dumps(bare).encode())

    (one,) = loaded(attested).attestations("app:1", key=PUBLIC)

    assert (one.signed, one.verified) == (True, False)


def test_without_a_key_nothing_is_said_of_signatures(loaded: Loaded, attested: Attested) -> None:
    attested.cosign(signed(statement(attested.image), KEY))

    (one,) = loaded(attested).attestations("app:1")

    assert (one.signed, one.verified) == (True, None)


@pytest.mark.parametrize("what", ["another key", "no signature", "another payload", "unsigned"])
def test_what_the_key_has_not_signed_is_not_verified(
    what: str, loaded: Loaded, attested: Attested
) -> None:
    payload = statement(attested.image)
    whole = envelope(payload, KEY)
    if what == "another key":
        whole = envelope(payload, OTHER_KEY)
    elif what == "no signature":
        whole["signatures"] = []
    elif what == "another payload":
        whole["payload"] = _text(statement(attested.image, kind=CYCLONEDX))
    if what == "unsigned":
        attested.referrer(payload, IN_TOTO)
    else:
        attested.cosign(json.dumps(whole).encode())

    (one,) = loaded(attested).attestations("app:1", key=PUBLIC)

    assert (one.of_image, one.verified) == (True, False)


def test_a_good_signature_on_something_else_does_not_verify_the_image(
    loaded: Loaded, attested: Attested
) -> None:
    attested.cosign(signed(statement(ELSEWHERE), KEY))

    (one,) = loaded(attested).attestations("app:1", key=PUBLIC)

    assert (one.signed, one.of_image, one.verified) == (True, False, False)


def test_a_signed_statement_without_subjects_is_of_no_image(
    loaded: Loaded, attested: Attested
) -> None:
    attested.buildkit((signed(statement(), KEY), SPDX), media_type=ENVELOPE)

    (one,) = loaded(attested).attestations("app:1", key=PUBLIC)

    assert (one.signed, one.of_image, one.verified) == (True, False, False)


def test_a_signature_of_a_manifest_that_is_not_there_verifies_nothing(
    loaded: Loaded, attested: Attested
) -> None:
    digest = {"algorithm": "SHA2_256", "digest": _text(bytes.fromhex(ELSEWHERE[7:]))}
    message = {"messageDigest": digest, "signature": _text(sign(KEY, b""))}
    attested.buildkit(
        (bundle(messageSignature=message), ""), about={"digest": ELSEWHERE}, media_type=BUNDLE
    )

    (one,) = loaded(attested).attestations("app:1", key=PUBLIC)

    assert (one.attached, one.of_image, one.verified) == (ELSEWHERE, False, False)


def test_a_bundle_has_an_envelope(loaded: Loaded, attested: Attested) -> None:
    attested.referrer(bundle(dsseEnvelope=envelope(statement(attested.image), KEY)), BUNDLE)

    (one,) = loaded(attested).attestations("app:1", key=PUBLIC)

    assert (one.predicate_type, one.media_type, one.verified) == (SPDX, BUNDLE, True)


@pytest.mark.parametrize("good", [True, False])
def test_a_bundle_can_have_a_signature_of_the_manifest(
    good: object, loaded: Loaded, attested: Attested
) -> None:
    manifest = attested.layout.of(attested.top)
    digest = {"algorithm": "SHA2_256", "digest": _text(hashlib.sha256(manifest).digest())}
    signature = _text(sign(KEY, manifest if good else b"else"))
    attested.referrer(
        bundle(messageSignature={"messageDigest": digest, "signature": signature}), BUNDLE
    )

    (one,) = loaded(attested).attestations("app:1", key=PUBLIC)

    assert (one.predicate_type, one.statement, one.of_image) == ("", b"", True)
    assert (one.signed, one.verified) == (True, good)


def test_an_sbom_can_be_asked_for_that_a_key_has_signed(loaded: Loaded, attested: Attested) -> None:
    attested.referrer(PLAIN_SBOM, "application/spdx+json")
    attested.cosign(signed(statement(attested.image), KEY))
    store = loaded(attested)

    assert store.sbom("app:1", key=PUBLIC).found == "tag"
    with pytest.raises(NotFound, match="is not signed by this key"):
        store.sbom("app:1", key=public_pem(OTHER_KEY.public_key()))


# The SBOM


def test_a_predicate_is_handed_on_as_it_is_written(loaded: Loaded, attested: Attested) -> None:
    written = '{ "a" : 1.0, "b":12345678901234567890123.50,\n "c": "\\u00e9\\/", "d": [1e3] }'
    attested.cosign(signed(statement(attested.image, predicate=written), KEY))

    sbom = loaded(attested).sbom("app:1")

    assert sbom.predicate_bytes == written.encode()
    assert sbom.predicate["c"] == "é/"


def test_a_plain_sbom_is_its_own_predicate(loaded: Loaded, attested: Attested) -> None:
    attested.referrer(PLAIN_SBOM, "application/spdx+json")

    sbom = loaded(attested).sbom("app:1")

    assert (sbom.predicate_bytes, sbom.is_statement) == (PLAIN_SBOM, False)
    assert sbom.predicate == {"spdxVersion": "SPDX-2.2", "x": 1.0}


def test_an_sbom_that_is_no_object_has_no_parsed_predicate(
    loaded: Loaded, attested: Attested
) -> None:
    attested.referrer(b"SPDXVersion: SPDX-2.3\n", "text/spdx")
    sbom = loaded(attested).sbom("app:1")

    assert sbom.predicate_bytes == b"SPDXVersion: SPDX-2.3\n"
    with pytest.raises(Refused, match="is not valid JSON"):
        _ = sbom.predicate


def test_the_type_chooses(loaded: Loaded, attested: Attested) -> None:
    attested.buildkit(
        (statement(attested.image), SPDX),
        (statement(attested.image, kind=CYCLONEDX + "/v1.4"), CYCLONEDX),
        (statement(attested.image, kind=PROVENANCE), PROVENANCE),
    )
    store = loaded(attested)

    assert store.sbom("app:1", type="spdx").predicate_type == SPDX
    assert store.sbom("app:1", type="cyclonedx").predicate_type == CYCLONEDX + "/v1.4"
    assert store.sbom("app:1", type=PROVENANCE).predicate_type == PROVENANCE
    with pytest.raises(NotFound, match="no attestation of the type"):
        store.sbom("app:1", type="https://slsa.dev/prov")


def test_several_are_listed_and_a_digest_chooses(loaded: Loaded, attested: Attested) -> None:
    attested.buildkit(
        (statement(attested.image), SPDX), (statement(attested.image, predicate="{}"), SPDX)
    )
    store = loaded(attested)
    first, second = (a.digest for a in store.attestations("app:1"))

    with pytest.raises(Refused) as refusal:
        store.sbom("app:1")

    assert str(refusal.value) == (
        f'app:1 has several: choose one by its type or digest: "{SPDX}" {first}, "{SPDX}" {second}'
    )
    assert store.sbom("app:1", digest=second).digest == second
    assert store.sbom("app:1", digest=first.short).digest == first


def test_the_same_statement_in_two_places_is_one(loaded: Loaded, attested: Attested) -> None:
    whole = envelope(statement(attested.image), KEY)
    attested.cosign(json.dumps(whole).encode())
    attested.referrer(bundle(dsseEnvelope=whole), BUNDLE)
    store = loaded(attested)

    assert len(store.attestations("app:1")) == 2
    assert store.sbom("app:1").predicate_type == SPDX


def test_where_there_is_none_the_message_says_where_one_may_be(
    loaded: Loaded, attested: Attested
) -> None:
    with pytest.raises(NotFound) as refusal:
        loaded(attested).sbom("app:1")

    assert str(refusal.value) == (
        "app:1 has no SBOM in the store; pull --referrers brings what refers to the image, "
        "pull --all-platforms what is in its index"
    )


# Hostile documents


def broken(**fields: object) -> bytes:
    return json.dumps({**json.loads(statement(ELSEWHERE)), **fields}).encode()


HOSTILE = {
    "is not valid JSON": (b"{", IN_TOTO),
    "is not UTF-8": (b'{"_type":"\xff"}', IN_TOTO),
    "is not a JSON object": (b"[]", IN_TOTO),
    "is nested more than 100 deep": (b"[" * 102 + b"]" * 102, IN_TOTO),
    'has the key "subject" twice in one object': (b'{"subject":[],"subject":[]}', IN_TOTO),
    '"_type" of attestation': (broken(_type="https://in-toto.io/Statement/v9"), IN_TOTO),
    "has no predicateType": (broken(predicateType=""), IN_TOTO),
    '"predicateType" of attestation': (broken(predicateType=1), IN_TOTO),
    '"subject" of attestation': (broken(subject={}), IN_TOTO),
    "subject 1 of attestation": (broken(subject=["x"]), IN_TOTO),
    "exceeds the limit of 10000 subjects": (broken(subject=[{}] * 10_001), IN_TOTO),
    '"payloadType" of attestation': (b'{"payloadType":"text/plain"}', ENVELOPE),
    '"payload" of attestation': (
        json.dumps({"payloadType": IN_TOTO, "payload": "a"}).encode(), ENVELOPE,
    ),
    "statement in attestation": (signed(b"{}"), ENVELOPE),
    "exceeds the limit of 100 signatures": (
        json.dumps({"payloadType": IN_TOTO, "signatures": [{}] * 101}).encode(), ENVELOPE,
    ),
    "does not have either dsseEnvelope or messageSignature": (b"{}", BUNDLE),
    "is not SHA2_256": (
        b'{"messageSignature":{"messageDigest":{"algorithm":"SHA2_512"}}}', BUNDLE,
    ),
    '"digest" of "messageDigest"': (
        b'{"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AA=="}}}', BUNDLE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", HOSTILE)
def test_a_hostile_document_is_told_in_one_line_and_hides_no_other(
    message: str, loaded: Loaded, attested: Attested
) -> None:
    data, media_type = HOSTILE[message]
    attested.referrer(data, media_type)
    attested.referrer(PLAIN_SBOM, "application/spdx+json")
    store = loaded(attested)

    bad, good = sorted(store.attestations("app:1", key=PUBLIC), key=lambda a: not a.problem)

    assert message in bad.problem
    assert "\n" not in bad.problem
    assert (bad.of_image, bad.verified, bad.statement) == (False, False, b"")
    assert store.sbom("app:1").digest == good.digest


def test_an_sbom_that_is_not_the_json_that_it_is_called_is_told(
    loaded: Loaded, attested: Attested
) -> None:
    attested.referrer(b"\x1b[2J", "application/spdx+json")

    with pytest.raises(NotFound, match=r"app:1 has no SBOM: attestation .* is not valid JSON"):
        loaded(attested).sbom("app:1")


def test_an_sbom_may_begin_with_a_byte_order_mark(loaded: Loaded, attested: Attested) -> None:
    attested.referrer(b"\xef\xbb\xbf{}", "application/vnd.cyclonedx+json")

    sbom = loaded(attested).sbom("app:1")

    assert (sbom.predicate_bytes, sbom.predicate) == (b"\xef\xbb\xbf{}", {})


def test_a_document_that_is_too_large_is_not_read(loaded: Loaded, attested: Attested) -> None:
    attested.referrer(bytes((32 << 20) + 1), "text/spdx")

    (one,) = loaded(attested).attestations("app:1")

    assert one.problem == f"attestation {one.digest} exceeds the limit of {32 << 20} bytes"
    assert (one.of_image, one.statement) == (False, b"")


def test_there_is_a_limit_to_how_many_are_read(loaded: Loaded, attested: Attested) -> None:
    for kind in (SPDX, CYCLONEDX):
        attested.buildkit(*[(statement(attested.image, kind=kind), kind)] * 501)
    store = loaded(attested)

    with pytest.raises(Refused, match="more than 1000 attestations"):
        store.attestations("app:1")


def test_what_cannot_be_read_is_the_reason_why_there_is_no_sbom(
    loaded: Loaded, attested: Attested
) -> None:
    attested.referrer(b"{", IN_TOTO)

    with pytest.raises(NotFound, match=r"app:1 has no SBOM: attestation .* is not valid JSON"):
        loaded(attested).sbom("app:1")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
