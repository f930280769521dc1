"""PKCS#7 envelopes: opens those of Go and of openssl, and our own; survives any bytes."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from casstore.crypt.jwe import NotForKey
from casstore.crypt.pkcs7 import decrypt, encrypt, read_certificate
from casstore.errors import Refused
from tests.crypt.certificates import PEM, certificate
from tests.crypt.recorded import ENCRYPTED, key, layers

ONE, TWO, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(3))
CERTIFICATES = [certificate(ONE, "one"), certificate(TWO, "two")]
ENVELOPE = encrypt(b"secret", CERTIFICATES)
ANNOTATION = "org.opencontainers.image.enc.keys.pkcs7"


@pytest.mark.parametrize("at", [0, 1])
def test_what_go_wrote_is_opened_without_the_certificate(at: int) -> None:
    data = base64.b64decode(layers("pkcs7")[at]["annotations"][ANNOTATION])
    value = json.loads(decrypt(data, key("pkcs7")))

    assert len(base64.b64decode(value["symkey"])) == 32
    with pytest.raises(NotForKey):
        decrypt(data, key("other"))


@pytest.mark.parametrize("cipher", ["-aes-128-cbc", "-aes-192-cbc", "-aes-256-cbc"])
def test_what_openssl_wrote_is_opened(tmp_path: Path, cipher: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "plain").write_bytes(b"secret")
    subprocess.run(
        ["openssl", "smime", "-encrypt", "-binary", cipher, "-outform", "DER", "-in",
         tmp_path / "plain", "-out", tmp_path / "sealed", ENCRYPTED / "keys" / "pkcs7.cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip

    assert decrypt((tmp_path / "sealed").read_bytes(), key("pkcs7")) == b"secret"


def test_openssl_reads_the_frame_of_ours() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    done = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER"],
        input=ENVELOPE, capture_output=True, check=True,
    )  # fmt: skip

    assert b"pkcs7-envelopedData" in done.stdout and b"aes-256-gcm" in done.stdout


def test_each_recipient_can_open_it_and_nobody_else() -> None:
    assert decrypt(ENVELOPE, ONE) == decrypt(ENVELOPE, TWO) == b"secret"
    for stranger in (OTHER, ec.generate_private_key(ec.SECP256R1())):
        with pytest.raises(NotForKey):
            decrypt(ENVELOPE, stranger)


@given(st.binary(max_size=300))
def test_what_was_encrypted_is_decrypted(plain: bytes) -> None:
    assert decrypt(encrypt(plain, CERTIFICATES[:1]), ONE) == plain


@pytest.mark.parametrize("at", range(0, len(ENVELOPE), 5))
def test_a_changed_byte_gives_no_other_plain_text(at: int) -> None:
    changed = bytearray(ENVELOPE)
    changed[at] ^= 1
    try:
        assert decrypt(bytes(changed), ONE) == b"secret"  # a byte that says nothing of our part
    except (NotForKey, Refused):
        pass


@pytest.mark.parametrize("length", range(0, len(ENVELOPE), 37))
def test_an_envelope_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(Refused):
        decrypt(ENVELOPE[:length], ONE)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_nothing_worse(data: bytes) -> None:
    with pytest.raises((NotForKey, Refused)):
        decrypt(data, ONE)


@given(st.data())
def test_an_envelope_with_bytes_changed_is_never_worse_than_refused(data: st.DataObject) -> None:
    changed = bytearray(ENVELOPE)
    for at in data.draw(st.lists(st.integers(0, len(ENVELOPE) - 1), min_size=1, max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    try:
        assert decrypt(bytes(changed), ONE) == b"secret"
    except (NotForKey, Refused):
        pass


def test_an_endless_envelope_is_refused() -> None:
    with pytest.raises(Refused, match="exceeds the limit"):
        decrypt(bytes(2 << 20), ONE)


@pytest.mark.parametrize("encoding", [PEM, serialization.Encoding.DER])
def test_a_certificate_is_read_as_pem_and_as_der(encoding: serialization.Encoding) -> None:
    data = CERTIFICATES[0].public_bytes(encoding)

    assert read_certificate(data, "c") == CERTIFICATES[0]


def test_what_is_no_certificate_of_an_rsa_key_is_refused() -> None:
    with pytest.raises(Refused, match=r"^c holds no certificate"):
        read_certificate(b"junk", "c")
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
    with pytest.raises(Refused, match="RSA key of 1024 bits"):
        read_certificate(certificate(weak).public_bytes(PEM), "c")
