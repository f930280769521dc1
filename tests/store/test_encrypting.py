"""encrypt and decrypt on a store, beside skopeo; and that what fails changes nothing."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from casstore.errors import CasstoreError, Refused, Unsupported, UsageError
from casstore.model.digest import Digest, sha256
from casstore.store import Store
from casstore.trust.keys import public_pem
from tests.crypt.certificates import PEM, certificate
from tests.crypt.recorded import ENCRYPTED
from tests.store.test_gatekeeping import snapshot
from tests.transfer.building import config_of, docker_archive, layer, tar_of

LAYOUT = ENCRYPTED / "layout"
IMAGE = Digest.of_hex("6f1efbd518f542292c72a9e80eda4040d0aacffd71a4fd80402b144e2c261445")
PLAIN = Digest.of_hex("22fdd8539b8850b4421d268ea64dc95782aac8899a09095e44cbc469fcf16bb7")
LAYERS = [layer("base"), tar_of({"big": bytes(range(256)) * 1500}), layer("top")]
ARCHIVE = docker_archive({"layers": LAYERS, "config": config_of(*LAYERS), "tags": ["app:1"]})

Keys = list[tuple[bytes, Callable[[], bytes] | None]]


def private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> Keys:
    data = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return [(data, None)]


RSA = rsa.generate_private_key(65537, 2048)
EC, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
FOR_RSA = ("jwe", public_pem(RSA.public_key()))
FOR_EC = ("jwe", public_pem(EC.public_key()))
FOR_CERTIFICATE = ("pkcs7", certificate(RSA).public_bytes(PEM))


def recorded_key(name: str) -> Keys:
    return [((ENCRYPTED / "keys" / f"{name}.key.der").read_bytes(), None)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store
        assert store.check().clean


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Store]:
    """The layout that skopeo encrypted, as the repository `enc`."""
    shutil.copytree(LAYOUT, tmp_path / "enc")
    with Store(str(tmp_path / "recorded")) as store:
        store.load(str(tmp_path / "enc"))
        yield store
        assert store.check().clean


def layout_of(store: Store, name: str, path: Path) -> Path:
    """One image of a store alone, as a layout directory with the same tag."""
    store.save([name], str(path), format="oci-dir")
    return path


def manifest_of(store: Store, digest: Digest) -> dict[str, Any]:
    path = Path(store.path) / "blobs" / "sha256" / digest.hex
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def skopeo(*words: str | Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# What skopeo encrypted


@pytest.mark.parametrize(
    ("ref", "key"),
    [
        ("jwe-rsa", "jwe-rsa"),
        ("jwe-ec", "jwe-ec"),
        ("two-keys", "jwe-rsa"),
        ("two-keys", "jwe-ec"),
        ("last-layer", "jwe-rsa"),
        ("pkcs7", "pkcs7"),
    ],
)
def test_a_recorded_image_decrypts_to_the_one_it_was_made_from(
    recorded: Store, tmp_path: Path, ref: str, key: str
) -> None:
    alone = layout_of(recorded, f"enc:{ref}", tmp_path / "alone")
    with Store(str(tmp_path / "fresh")) as fresh:
        fresh.load(str(alone))
        assert fresh.decrypt(f"enc:{ref}", "clear:1", recorded_key(key)) == PLAIN
        assert fresh.get("clear:1").id == IMAGE
        assert fresh.check().clean
    assert recorded.decrypt(f"enc:{ref}", "clear:1", recorded_key(key)) == PLAIN


def test_a_recorded_zstd_image_decrypts(recorded: Store) -> None:
    recorded.decrypt("enc:zstd-jwe", "clear:1", recorded_key("jwe-rsa"))

    assert recorded.get("clear:1").id == IMAGE


@pytest.mark.parametrize(
    ("ref", "key", "says"),
    [
        ("jwe-rsa", "other", "layer 0 cannot be decrypted: it is not for this key"),
        ("jwe-rsa", "jwe-ec", "it is not for this key"),
        ("pkcs7", "other", "it is not for this key"),
        ("pgp", "jwe-rsa", "layer 0 is encrypted by OpenPGP, which is not supported"),
        ("plain", "jwe-rsa", '"enc:plain" has no encrypted layers'),
    ],
)
def test_what_cannot_be_decrypted_says_why_and_changes_nothing(
    recorded: Store, ref: str, key: str, says: str
) -> None:
    before = snapshot(recorded)
    with pytest.raises(Refused, match=says):
        recorded.decrypt(f"enc:{ref}", "clear:1", recorded_key(key))

    assert snapshot(recorded) == before


def test_fsck_notes_layers_that_cannot_be_read_here(recorded: Store) -> None:
    findings = [one for one in recorded.check().findings if one.code == "layer-encrypted"]

    assert findings and {one.level for one in findings} == {"note"}


# What we encrypt


@pytest.mark.parametrize(
    ("recipients", "keys"),
    [
        ([FOR_RSA], [RSA]),
        ([FOR_EC], [EC]),
        ([FOR_CERTIFICATE], [RSA]),
        ([FOR_RSA, FOR_EC, FOR_CERTIFICATE], [RSA, EC]),
    ],
    ids=["rsa", "ec", "certificate", "all"],
)
def test_each_recipient_gets_the_same_image_back(
    store: Store,
    recipients: list[tuple[str, bytes]],
    keys: list[ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey],
) -> None:
    plain = store.get("app:1").manifests[0]
    sealed = store.encrypt("app:1", "app:sealed", recipients)
    for key in keys:
        assert store.decrypt("app:sealed", "app:opened", private(key)) == plain
    with pytest.raises(Refused, match="it is not for this key"):
        store.decrypt("app:sealed", "app:opened", private(STRANGER))

    assert sealed != plain
    assert store.get("app:sealed").id == store.get("app:1").id
    for one in manifest_of(store, sealed)["layers"]:
        assert one["mediaType"].endswith(".tar+zstd+encrypted")


def test_it_decrypts_where_nothing_else_of_the_image_is(store: Store, tmp_path: Path) -> None:
    plain = store.get("app:1").manifests[0]
    store.encrypt("app:1", "app:sealed", [FOR_EC])
    alone = layout_of(store, "app:sealed", tmp_path / "alone")
    with Store(str(tmp_path / "fresh")) as fresh:
        fresh.load(str(alone))
        assert fresh.decrypt("app:sealed", "app:1", private(EC)) == plain
        fresh.save(["app:1"], str(tmp_path / "out.tar"))
        assert fresh.check().clean
    with Store(str(tmp_path / "third")) as third:
        assert third.load(str(tmp_path / "out.tar")).images[0].id == store.get("app:1").id


@pytest.mark.parametrize(
    ("layers", "sealed"),
    [
        (None, {0, 1, 2}),
        ([0], {0}),
        ([-1], {2}),
        ([1, -3, 1], {0, 1}),
    ],
)
def test_only_the_layers_asked_for_are_encrypted(
    store: Store, layers: list[int] | None, sealed: set[int]
) -> None:
    digest = store.encrypt("app:1", "app:sealed", [FOR_EC], layers=layers)
    found = manifest_of(store, digest)["layers"]

    assert {at for at, one in enumerate(found) if "+encrypted" in one["mediaType"]} == sealed
    plain = manifest_of(store, store.get("app:1").manifests[0])["layers"]
    assert all(found[at] == plain[at] for at in {0, 1, 2} - sealed)


@pytest.mark.parametrize("number", [3, -4])
def test_a_layer_that_is_not_there_is_wrong_usage(store: Store, number: int) -> None:
    with pytest.raises(UsageError, match=f'"app:1" has no layer {number}: its 3 layers count'):
        store.encrypt("app:1", "x:1", [FOR_EC], layers=[number])


def test_encrypting_twice_is_refused(store: Store) -> None:
    store.encrypt("app:1", "app:sealed", [FOR_EC], layers=[1])
    with pytest.raises(Refused, match="layer 1 is encrypted already"):
        store.encrypt("app:sealed", "app:more", [FOR_EC])


def test_a_layer_that_repeats_is_encrypted_once(tmp_path: Path) -> None:
    layers = [LAYERS[0], LAYERS[2], LAYERS[0]]
    with Store(str(tmp_path / "store")) as store:
        image = {"layers": layers, "config": config_of(*layers), "tags": ["r:1"]}
        store.load(io.BytesIO(docker_archive(image)))
        sealed = manifest_of(store, store.encrypt("r:1", "r:sealed", [FOR_EC]))["layers"]
        assert sealed[0] == sealed[2] != sealed[1]
        store.decrypt("r:sealed", "r:opened", private(EC))


def test_artifacts_and_indexes_are_not_encrypted(store: Store, tmp_path: Path) -> None:
    index = ENCRYPTED.parent / "podman" / "index-oci"
    store.load(str(index))
    name = next(n.familiar for i in store.images() for n in i.names if n.familiar != "app:1")
    with pytest.raises(Unsupported, match="is an index of several platforms"):
        store.encrypt(name, "x:1", [FOR_EC])


def test_dockers_manifests_become_ocis(store: Store, tmp_path: Path) -> None:
    """Docker's form has no encrypted layers."""
    blob = gzip.compress(LAYERS[0], mtime=0)
    config = config_of(LAYERS[0])
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(config),
                "digest": sha256(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": len(blob),
                    "digest": sha256(blob),
                }
            ],
        }
    ).encode()
    where = write_layout(tmp_path / "docker", manifest, [blob, config],
                         "application/vnd.docker.distribution.manifest.v2+json")  # fmt: skip
    store.load(str(where))
    sealed = manifest_of(store, store.encrypt("docker:1", "docker:sealed", [FOR_EC]))

    assert sealed["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert sealed["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert sealed["layers"][0]["mediaType"].endswith(".tar+gzip+encrypted")
    store.decrypt("docker:sealed", "docker:opened", private(EC))
    assert store.get("docker:opened").id == store.get("docker:1").id


def write_layout(
    where: Path,
    manifest: bytes,
    blobs: list[bytes],
    media_type: str = "application/vnd.oci.image.manifest.v1+json",
) -> Path:
    folder = where / "blobs" / "sha256"
    folder.mkdir(parents=True)
    for blob in [manifest, *blobs]:
        (folder / sha256(blob).hex).write_bytes(blob)
    entry = {
        "mediaType": media_type,
        "digest": sha256(manifest),
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "1"},
    }
    (where / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (where / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return where


# Damage


Spoil = Callable[[list[dict[str, Any]], list[bytes]], None]


def spoiled(store: Store, tmp_path: Path, spoil: Spoil) -> Path:
    """A layout of an encrypted image whose descriptors, blobs or both somebody has changed."""
    digest = store.encrypt("app:1", "app:sealed", [FOR_EC])
    blobs = Path(store.path) / "blobs" / "sha256"
    manifest = manifest_of(store, digest)
    layers = manifest["layers"]
    contents = [(blobs / one["digest"].partition(":")[2]).read_bytes() for one in layers]
    config = (blobs / manifest["config"]["digest"].partition(":")[2]).read_bytes()
    spoil(layers, contents)
    for one, content in zip(layers, contents, strict=True):
        one |= {"digest": sha256(content), "size": len(content)}
    return write_layout(tmp_path / "bad", json.dumps(manifest).encode(), [*contents, config])


def cut_off(_layers: list[dict[str, Any]], contents: list[bytes]) -> None:
    contents[1] = contents[1][:-5]


def change(_layers: list[dict[str, Any]], contents: list[bytes]) -> None:
    contents[1] = contents[1][:50] + bytes([contents[1][50] ^ 1]) + contents[1][51:]


def swap(layers: list[dict[str, Any]], _contents: list[bytes]) -> None:
    layers[0]["annotations"], layers[1]["annotations"] = (
        layers[1]["annotations"], layers[0]["annotations"],
    )  # fmt: skip


def swap_content(_layers: list[dict[str, Any]], contents: list[bytes]) -> None:
    contents[0], contents[1] = contents[1], contents[0]


def swap_whole(layers: list[dict[str, Any]], contents: list[bytes]) -> None:
    layers[0], layers[2] = layers[2], layers[0]
    contents[0], contents[2] = contents[2], contents[0]


def drop(name: str) -> Callable[[list[dict[str, Any]], list[bytes]], None]:
    return lambda layers, _: layers[0]["annotations"].pop("org.opencontainers.image.enc." + name)


def other_hmac(layers: list[dict[str, Any]], _contents: list[bytes]) -> None:
    name = "org.opencontainers.image.enc.pubopts"
    options = json.loads(base64.b64decode(layers[0]["annotations"][name]))
    options["hmac"] = base64.b64encode(bytes(32)).decode()
    layers[0]["annotations"][name] = base64.b64encode(json.dumps(options).encode()).decode()


def other_cipher(layers: list[dict[str, Any]], _contents: list[bytes]) -> None:
    name = "org.opencontainers.image.enc.pubopts"
    layers[0]["annotations"][name] = base64.b64encode(b'{"cipher":"ROT13"}').decode()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut_off, "layer 1 has another HMAC: it was changed or cut off"),
        (change, "layer 1 has another HMAC: it was changed or cut off"),
        (swap, "has another HMAC"),
        (swap_content, "has another HMAC"),
        (swap_whole, "invalid diffID for layer 0"),
        (drop("keys.jwe"), "layer 0 has no keys in its annotations"),
        (drop("pubopts"), "layer 0 has no annotation org.opencontainers.image.enc.pubopts"),
        (other_hmac, "layer 0 has another HMAC"),
        (other_cipher, 'layer 0 cannot be decrypted: the cipher "ROT13" is not known'),
    ],
)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside the clear form"])
def test_a_spoiled_image_is_refused_in_one_line_and_nothing_is_written(
    store: Store, tmp_path: Path, spoil: Spoil, says: str, *, beside: bool
) -> None:
    bad = spoiled(store, tmp_path, spoil)
    with Store(str(tmp_path / "victim")) as victim:
        if beside:
            victim.load(io.BytesIO(ARCHIVE))
        victim.load(str(bad))
        before = snapshot(victim)
        with pytest.raises(CasstoreError) as caught:
            victim.decrypt("bad:1", "clear:1", private(EC))

        assert says in str(caught.value) and "\n" not in str(caught.value)
        assert snapshot(victim) == before


@pytest.mark.parametrize("bad", [b"", b"junk", public_pem(EC.public_key())])
def test_a_bad_key_is_refused(store: Store, bad: bytes) -> None:
    store.encrypt("app:1", "app:sealed", [FOR_EC])
    with pytest.raises(Refused, match=r"^key 1 "):
        store.decrypt("app:sealed", "x:1", [(bad, None)])


@pytest.mark.parametrize("bad", [b"", b"junk", private(EC)[0][0]])
def test_a_bad_recipient_is_refused(store: Store, bad: bytes) -> None:
    before = snapshot(store)
    for scheme in ("jwe", "pkcs7"):
        with pytest.raises(Refused, match=r"^recipient 2 "):
            store.encrypt("app:1", "x:1", [FOR_EC, (scheme, bad)])

    assert snapshot(store) == before


# Beside other things


def test_both_forms_share_what_they_share(store: Store) -> None:
    before = store.df().blobs
    store.encrypt("app:1", "app:sealed", [FOR_EC], layers=[1])

    assert store.df().blobs == before + 2, "a manifest and a layer"
    assert len(store.images()) == 1
    store.remove(["app:sealed"])
    assert store.df().blobs == before
    assert store.gc().removed_blobs == 0


def test_the_encrypted_form_stays_when_the_clear_one_goes(store: Store) -> None:
    store.encrypt("app:1", "app:sealed", [FOR_EC])
    store.remove(["app:1"])

    assert store.get("app:sealed")
    assert store.decrypt("app:sealed", "app:1", private(EC))


def test_save_carries_the_encrypted_form_unchanged(store: Store, tmp_path: Path) -> None:
    digest = store.encrypt("app:1", "app:sealed", [FOR_EC])
    store.save(["app:sealed"], str(tmp_path / "out.tar"), format="oci")
    with Store(str(tmp_path / "second")) as second:
        second.load(str(tmp_path / "out.tar"))
        assert second.get("app:sealed").manifests == (digest,)
        assert second.check().clean


def test_a_docker_archive_refuses_the_encrypted_form_and_takes_the_clear_one(
    store: Store, tmp_path: Path
) -> None:
    store.encrypt("app:1", "app:sealed", [FOR_EC])
    with pytest.raises(Unsupported, match="encrypted"):
        store.save(["app:sealed"], str(tmp_path / "out.tar"))
    store.save(["app:1"], str(tmp_path / "out.tar"))

    alone = layout_of(store, "app:sealed", tmp_path / "alone")
    with Store(str(tmp_path / "other")) as other:  # the encrypted form came first
        other.load(str(alone))
        other.load(str(tmp_path / "out.tar"))
        other.save(["app:1"], str(tmp_path / "again.tar"))


# skopeo


@pytest.mark.parametrize("kind", ["jwe-rsa", "jwe-ec", "pkcs7"])
def test_skopeo_decrypts_what_we_encrypted(store: Store, tmp_path: Path, kind: str) -> None:
    key = EC if kind == "jwe-ec" else RSA
    recipient = {"jwe-rsa": FOR_RSA, "jwe-ec": FOR_EC, "pkcs7": FOR_CERTIFICATE}[kind]
    store.encrypt("app:1", "app:sealed", [recipient])
    (tmp_path / "key.pem").write_bytes(private(key)[0][0])
    (tmp_path / "cert.pem").write_bytes(FOR_CERTIFICATE[1])
    keys: list[str | Path] = ["--decryption-key", tmp_path / "key.pem"]
    if kind == "pkcs7":
        keys += ["--decryption-key", tmp_path / "cert.pem"]
    skopeo("copy", *keys, f"oci:{store.path}:app:sealed", f"oci:{tmp_path}/out:x:1")

    with Store(str(tmp_path / "second")) as second:
        (image,) = second.load(str(tmp_path / "out")).images
        assert image.id == store.get("app:1").id
        assert second.get("x:1").layers == store.get("app:1").layers


@pytest.mark.parametrize("kind", ["jwe-rsa", "jwe-ec", "pkcs7"])
def test_we_decrypt_what_skopeo_encrypted(store: Store, tmp_path: Path, kind: str) -> None:
    key = EC if kind == "jwe-ec" else RSA
    scheme, data = {"jwe-rsa": FOR_RSA, "jwe-ec": FOR_EC, "pkcs7": FOR_CERTIFICATE}[kind]
    (tmp_path / "pub.pem").write_bytes(data)
    where = f"{scheme}:{tmp_path}/pub.pem"
    skopeo("copy", "--encryption-key", where, f"oci:{store.path}:app:1", f"oci:{tmp_path}/s:x:1")
    with Store(str(tmp_path / "second")) as second:
        (image,) = second.load(str(tmp_path / "s")).images
        second.decrypt("x:1", "x:clear", private(key))

        assert image.id == second.get("x:clear").id == store.get("app:1").id
        assert second.get("x:clear").manifests[-1] and second.check().clean
