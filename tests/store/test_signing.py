"""sign and verify on a store: where signatures go, how they grow, and what is found wrong."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from casstore.errors import NotFound, Refused, UsageError
from casstore.model.signatures import SIGNATURE
from casstore.store import Store
from casstore.trust.keys import public_pem
from tests.transfer.building import config_of, docker_archive, layer

ROOT = Path(__file__).resolve().parents[2]
SIGNED = ROOT / "fixtures" / "images" / "signed"
KEYS = SIGNED / "keys"
LAYERS = [layer("base"), layer("top")]
ARCHIVE = docker_archive(
    {"layers": LAYERS, "config": config_of(*LAYERS), "tags": ["app:1", "other/app:1"]},
    {"layers": LAYERS[:1], "config": config_of(*LAYERS[:1]), "tags": ["reg.io/x/base:2"]},
)


def pair() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, public_pem(key.public_key())


PRIVATE, PUBLIC = pair()
OTHER_PRIVATE, OTHER_PUBLIC = pair()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store
        assert store.check().clean


def names(store: Store) -> set[str]:
    return {name.familiar for image in store.images(all=True) for name in image.names}


def manifest(store: Store, name: str) -> dict[str, object]:
    path = Path(store.path) / "blobs" / "sha256" / store.get(name).manifests[0].hex
    value: dict[str, object] = json.loads(path.read_text())
    return value


def test_what_was_signed_verifies(store: Store) -> None:
    (signed,) = store.sign(["app:1"], PRIVATE)
    verified = store.verify("app:1", PUBLIC)

    assert verified.digest == signed.digest
    claim = json.loads(verified.payloads[0])["critical"]
    assert claim["identity"] == {"docker-reference": "index.docker.io/library/app"}
    assert claim["image"] == {"docker-manifest-digest": signed.digest}


def test_the_signature_is_where_cosign_looks_for_it(store: Store) -> None:
    (signed,) = store.sign(["reg.io/x/base:2"], PRIVATE)

    assert signed.artifact == f"reg.io/x/base:sha256-{signed.digest.hex}.sig"
    assert signed.artifact.familiar in names(store)


def test_openssl_agrees_with_the_signature(store: Store, tmp_path: Path) -> None:
    import base64

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (signed,) = store.sign(["app:1"], PRIVATE)
    assert signed.artifact is not None
    layers = manifest(store, signed.artifact)["layers"]
    assert isinstance(layers, list)
    blob = Path(store.path) / "blobs" / "sha256" / layers[0]["digest"].partition(":")[2]
    (tmp_path / "sig").write_bytes(base64.b64decode(layers[0]["annotations"][SIGNATURE]))
    (tmp_path / "pub").write_bytes(PUBLIC)
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", tmp_path / "pub", "-signature",
         tmp_path / "sig", blob],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout == "Verified OK\n"


def test_signing_again_appends(store: Store) -> None:
    store.sign(["app:1"], PRIVATE, annotations={"who": "one"})
    before = manifest(store, "app:" + attachments(store)[0])["layers"]
    store.sign(["app:1"], OTHER_PRIVATE, annotations={"who": "two"})
    after = manifest(store, "app:" + attachments(store)[0])["layers"]

    assert isinstance(before, list) and isinstance(after, list)
    assert after[:1] == before and len(after) == 2
    assert len(store.verify("app:1", PUBLIC).payloads) == 1
    assert len(store.verify("app:1", OTHER_PUBLIC).payloads) == 1


def attachments(store: Store) -> list[str]:
    return [name.partition(":")[2] for name in names(store) if name.endswith(".sig")]


def test_the_shorter_artifact_does_not_stay_behind(store: Store) -> None:
    store.sign(["app:1"], PRIVATE)
    images = len(store.images(all=True))
    store.sign(["app:1"], OTHER_PRIVATE)

    assert len(store.images(all=True)) == images
    assert store.gc().removed_blobs == 0


def test_a_recorded_artifact_grows_and_keeps_its_signatures(tmp_path: Path) -> None:
    shutil.copytree(SIGNED / "cosign-layout", tmp_path / "app")
    with Store(str(tmp_path / "store")) as store:
        store.load(str(tmp_path / "app"))
        store.sign(["app:1"], PRIVATE)
        where = "registry.example.org/signed/app:1"
        for key in ("cosign.pub", "other.pub"):
            assert store.verify("app:1", (KEYS / key).read_bytes(), identity=where)
        assert store.verify("app:1", PUBLIC)


def test_a_recorded_signature_of_another_repository_needs_its_identity(tmp_path: Path) -> None:
    shutil.copytree(SIGNED / "cosign-layout", tmp_path / "app")
    key = (KEYS / "cosign.pub").read_bytes()
    with Store(str(tmp_path / "store")) as store:
        store.load(str(tmp_path / "app"))
        with pytest.raises(Refused, match=r'it is for "registry.example.org/signed/app:1"'):
            store.verify("app:1", key)
        with pytest.raises(Refused, match="another identity"):
            store.verify("app:1", key, identity="registry.example.org/signed/app:2")
        assert store.verify("app:1", key, identity="registry.example.org/signed/app")


def test_a_referrer_is_an_artifact_without_a_name(store: Store) -> None:
    before = names(store)
    (signed,) = store.sign(["app:1"], PRIVATE, kind="referrer")

    assert signed.artifact is None and names(store) == before
    assert store.verify("app:1", PUBLIC).digest == signed.digest


def test_annotations_are_signed_and_can_be_asked_for(store: Store) -> None:
    store.sign(["app:1"], PRIVATE, annotations={"stage": "test"})
    store.sign(["app:1"], PRIVATE, annotations={"stage": "prod"})

    (payload,) = store.verify("app:1", PUBLIC, annotations={"stage": "prod"}).payloads
    assert json.loads(payload)["optional"] == {"stage": "prod"}
    with pytest.raises(
        Refused, match=r'signature 1 does not say "stage=x".*; signature 2 does not'
    ):
        store.verify("app:1", PUBLIC, annotations={"stage": "x"})


def test_another_key_does_not_verify(store: Store) -> None:
    store.sign(["app:1"], PRIVATE)

    with pytest.raises(Refused, match="signature 1 was not made by this key"):
        store.verify("app:1", OTHER_PUBLIC)


def test_an_image_without_signatures_does_not_verify(store: Store) -> None:
    with pytest.raises(
        Refused, match=r"^app:1 \(sha256:.*\) is not verified: it has no signatures"
    ):
        store.verify("app:1", PUBLIC)


def test_a_signature_does_not_reach_over_to_another_repository(store: Store) -> None:
    store.sign(["app:1"], PRIVATE)
    store.tag("app:sha256-" + store.verify("app:1", PUBLIC).digest.hex + ".sig",
              "other/app:sha256-" + store.verify("app:1", PUBLIC).digest.hex + ".sig")  # fmt: skip

    with pytest.raises(Refused, match="has another identity"):
        store.verify("other/app:1", PUBLIC)


def test_a_signature_of_another_image_under_this_ones_tag_is_refused(store: Store) -> None:
    (base,) = store.sign(["reg.io/x/base:2"], PRIVATE)
    assert base.artifact is not None
    digest = store.get("app:1").manifests[0]
    store.tag(base.artifact.familiar, f"app:sha256-{digest.hex}.sig")

    with pytest.raises(Refused, match=f"is of another manifest: {base.digest}"):
        store.verify("app:1", PUBLIC)


def test_an_id_stands_for_its_only_repository(store: Store) -> None:
    image = store.get("reg.io/x/base:2").id
    store.sign([image.short], PRIVATE)

    assert store.verify(image.hex, PUBLIC)
    assert store.verify("reg.io/x/base:2", PUBLIC)


def test_an_id_in_several_repositories_is_refused(store: Store) -> None:
    with pytest.raises(Refused, match="is in several repositories: give the name that is meant"):
        store.sign([store.get("app:1").id.short], PRIVATE)


def test_one_bad_argument_leaves_all_unsigned(store: Store) -> None:
    with pytest.raises(NotFound):
        store.sign(["app:1", "nosuch"], PRIVATE)

    assert attachments(store) == []


def test_an_image_under_the_tag_of_signatures_is_not_overwritten(store: Store) -> None:
    digest = store.get("app:1").manifests[0]
    store.tag("reg.io/x/base:2", f"app:sha256-{digest.hex}.sig")

    with pytest.raises(Refused, match="is there, and is not an artifact of signatures"):
        store.sign(["app:1"], PRIVATE)


def test_an_unknown_kind_is_wrong_usage(store: Store) -> None:
    with pytest.raises(UsageError, match='unknown type "x"'):
        store.sign(["app:1"], PRIVATE, kind="x")


def test_signatures_survive_save_and_load(store: Store, tmp_path: Path) -> None:
    (signed,) = store.sign(["reg.io/x/base:2"], PRIVATE)
    assert signed.artifact is not None
    out = tmp_path / "out.tar"
    store.save(["reg.io/x/base:2", signed.artifact.familiar], str(out), format="oci")
    with Store(str(tmp_path / "second")) as second:
        second.load(str(out))

        assert second.verify("reg.io/x/base:2", PUBLIC).digest == signed.digest


def test_an_index_is_signed_as_a_whole(store: Store) -> None:
    store.load(str(SIGNED.parent / "podman" / "index-oci"))
    (name,) = (n.familiar for i in store.images() for n in i.names if "index-oci" in n)
    (signed,) = store.sign([name], PRIVATE)

    assert signed.digest == store.get(name).id
    assert store.verify(name, PUBLIC).digest == signed.digest


# Removal: signatures go with their image


@pytest.mark.parametrize("kind", ["tag", "referrer"])
def test_rmi_takes_the_signatures_of_an_image_with_it(store: Store, kind: str) -> None:
    before = store.df().blobs
    store.sign(["reg.io/x/base:2"], PRIVATE, kind=kind)
    store.sign(["reg.io/x/base:2"], OTHER_PRIVATE, kind=kind)
    assert store.df().blobs > before
    store.remove(["reg.io/x/base:2"])

    assert attachments(store) == []
    store.remove(["app:1", "other/app:1"])
    assert store.df().blobs == 0 and store.gc().removed_blobs == 0


def test_signatures_stay_as_long_as_their_image_has_a_name(store: Store) -> None:
    store.sign(["app:1"], PRIVATE)
    store.remove(["other/app:1"])

    assert store.verify("app:1", PUBLIC)


def test_prune_leaves_the_signatures_of_what_stays(store: Store) -> None:
    store.sign(["app:1"], PRIVATE, kind="tag")
    store.sign(["app:1"], PRIVATE, kind="referrer")
    store.prune()

    assert len(store.verify("app:1", PUBLIC).payloads) == 2
