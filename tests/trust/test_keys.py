"""Keys of every kind and form: read, signed with, verified with; and what is no key."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from casstore.errors import Refused
from casstore.trust.keyfile import PEM_TYPES, armour
from casstore.trust.keys import (
    PrivateKey,
    generate_pair,
    is_signed,
    public_pem,
    read_private_key,
    read_public_key,
    sign,
)

ROOT = Path(__file__).resolve().parents[2]
KEYS = ROOT / "fixtures" / "images" / "signed" / "keys"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
NO_PASSWORD = serialization.NoEncryption()
KINDS: dict[str, Callable[[], PrivateKey]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}  # fmt: skip


def pem(kind: str, body: str) -> bytes:
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n".encode()


def no_password() -> bytes:
    raise AssertionError("no password is needed")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", [PEM, DER])
@pytest.mark.parametrize("password", [None, b"pw"])
def test_a_pkcs8_key_signs_and_its_public_key_verifies(
    kind: str, encoding: serialization.Encoding, password: bytes | None
) -> None:
    key = KINDS[kind]()
    protection = serialization.BestAvailableEncryption(password) if password else NO_PASSWORD
    data = key.private_bytes(encoding, PKCS8, protection)
    read = read_private_key(data, "k", (lambda: b"pw") if password else no_password)
    public = read_public_key(public_pem(key.public_key()), "p")
    signature = sign(read, b"payload")

    assert is_signed(public, b"payload", signature)
    assert not is_signed(public, b"payloae", signature)
    assert not is_signed(public, b"payload", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not is_signed(public, b"payload", b"")


@pytest.mark.parametrize("kind", ["P-256", "RSA"])
@pytest.mark.parametrize("encoding", [PEM, DER])
def test_a_key_in_openssls_old_forms_is_read(kind: str, encoding: serialization.Encoding) -> None:
    key = KINDS[kind]()
    assert not isinstance(key, ed25519.Ed25519PrivateKey)
    data = key.private_bytes(encoding, TRADITIONAL, NO_PASSWORD)

    assert read_private_key(data, "k", no_password).public_key() == key.public_key()


@pytest.mark.parametrize("head", PEM_TYPES)
def test_a_cosign_key_is_read_under_both_its_names(head: str) -> None:
    data = armour((KEYS / "cosign.key.json").read_bytes(), head)
    key = read_private_key(data, "k", lambda: b"fixture")

    assert public_pem(key.public_key()) == (KEYS / "cosign.pub").read_bytes()


def test_another_kind_of_key_does_not_verify() -> None:
    signature = sign(KINDS["P-256"](), b"payload")

    for make in KINDS.values():
        assert not is_signed(make().public_key(), b"payload", signature)


def test_a_p384_signature_over_its_own_hash_verifies() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    signature = key.sign(b"payload", ec.ECDSA(hashes.SHA384()))

    assert is_signed(key.public_key(), b"payload", signature)


def test_a_new_pair_fits_together_and_its_private_key_needs_the_password() -> None:
    private, public = generate_pair(b"pw")
    key = read_private_key(private, "k", lambda: b"pw")

    assert public_pem(key.public_key()) == public
    with pytest.raises(Refused, match="wrong password"):
        read_private_key(private, "k", lambda: b"other")


def test_openssl_reads_the_public_key_of_a_new_pair(tmp_path: Path) -> None:
    (tmp_path / "p.pem").write_bytes(generate_pair(b"")[1])
    done = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", tmp_path / "p.pem", "-noout", "-text"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "NIST CURVE: P-256" in done.stdout


def test_the_wrong_password_of_a_pkcs8_key_is_told() -> None:
    data = KINDS["P-256"]().private_bytes(
        PEM, PKCS8, serialization.BestAvailableEncryption(b"right")
    )
    with pytest.raises(Refused, match="wrong password"):
        read_private_key(data, "k", lambda: b"wrong")


WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
OTHER_CURVE = ec.generate_private_key(ec.SECP256K1())
OTHER_KIND = x25519.X25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "neither PEM nor DER"),
        (b"hello", "neither PEM nor DER"),
        (b"0" * 100, "no private key"),
        (b"0" * 70000, "exceeds the limit"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n", "its PEM is not whole"),
        (pem("ENCRYPTED SIGSTORE PRIVATE KEY", "%"), "its PEM is not whole"),
        (pem("OPENSSH PRIVATE KEY", "AAAA"), "no private key"),
        ((KEYS / "cosign.pub").read_bytes(), "is not a private key but a public key"),
        (WEAK.private_bytes(PEM, PKCS8, NO_PASSWORD), "RSA key of 1024 bits"),
        (OTHER_CURVE.private_bytes(PEM, PKCS8, NO_PASSWORD), "on the curve"),
        (OTHER_KIND.private_bytes(PEM, PKCS8, NO_PASSWORD), "of a kind that is not known"),
    ],
)  # fmt: skip
def test_what_is_no_private_key_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        read_private_key(data, "k", lambda: b"")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"0" * 100, "no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        (generate_pair(b"")[0], "is a private key"),
        (public_pem(WEAK.public_key()), "1024 bits"),
    ],
)  # fmt: skip
def test_what_is_no_public_key_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        read_public_key(data, "p")
