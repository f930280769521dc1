"""The layer cipher, against layers that skopeo encrypted, and against every kind of damage."""

from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.backends.local.backend import LocalBackend
from casstore.crypt.layercipher import (
    DecryptedLayer,
    Encrypted,
    Private,
    Public,
    encrypt_layer,
    parse_private,
    parse_public,
    write_private,
    write_public,
)
from casstore.errors import Damaged, Refused
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from tests.crypt.recorded import BLOBS, layers, opened
from tests.transfer.memoryintake import MemoryIntake

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

LAYER = "application/vnd.oci.image.layer.v1.tar"
DIGEST = Digest.of_hex("ab" * 32)


def sealed(plain: bytes) -> tuple[bytes, Encrypted]:
    draft = MemoryIntake().draft()
    result = encrypt_layer(io.BytesIO(plain), Descriptor(LAYER, sha256(plain), len(plain)), draft)
    return bytes(draft.content), result


def unsealed(data: bytes, private: Private, public: Public) -> bytes:
    found = bytearray()
    with DecryptedLayer(io.BytesIO(data), len(data), private, public, "layer 0") as stream:
        while piece := stream.read(100_000):
            found += piece
    return bytes(found)


@pytest.mark.parametrize("ref", ["jwe-rsa", "zstd-jwe", "last-layer"])
def test_a_recorded_layer_decrypts_to_the_digest_that_others_found(ref: str) -> None:
    for layer, known in zip(layers(ref), opened(ref), strict=True):
        if "enc" not in known:
            continue
        about = known["enc"]
        private = Private(
            bytes.fromhex(about["symkey_hex"]), bytes.fromhex(about["nonce_hex"]), DIGEST
        )
        data = (BLOBS / layer["digest"].partition(":")[2]).read_bytes()
        plain = unsealed(data, private, Public(bytes.fromhex(about["hmac_hex"])))

        assert sha256(plain) == about["plain_digest"]


SIZES = [0, 1, 65535, 65536, (1 << 20) - 1, 1 << 20, (3 << 20) + 7]


@pytest.mark.parametrize("size", SIZES)
def test_a_layer_of_any_size_comes_back(size: int) -> None:
    plain = os.urandom(size)
    data, result = sealed(plain)

    assert (result.digest, result.size) == (sha256(data), size)
    assert result.private.digest == sha256(plain)
    assert unsealed(data, result.private, result.public) == plain
    assert size < 16 or data != plain


@given(st.binary(max_size=2000))
def test_what_was_encrypted_is_decrypted(plain: bytes) -> None:
    data, result = sealed(plain)

    assert unsealed(data, result.private, result.public) == plain


class Endless(io.RawIOBase):
    """So many bytes of zero."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        count = min(len(view), self.left)
        view[:count] = bytes(count)
        self.left -= count
        return count


def test_the_memory_does_not_grow_with_the_layer(tmp_path: Path) -> None:
    size = 48 << 20
    digest = Digest.of_hex(hashlib.sha256(bytes(size)).hexdigest())
    backend = LocalBackend(str(tmp_path / "store"), volatile=True)
    backend.create()
    with closing(backend.begin_ingest(lambda: backend.view(0))) as ingest:
        sink = ingest.draft()
        tracemalloc.start()
        encrypt_layer(io.BufferedReader(Endless(size)), Descriptor(LAYER, digest, size), sink)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        sink.discard()

    assert peak < 16 << 20


def test_no_two_layers_have_a_key_or_a_nonce_in_common() -> None:
    results = [sealed(b"the same")[1].private for _ in range(20)]

    assert len({one.key for one in results}) == len({one.nonce for one in results}) == 20


def test_a_blob_that_is_not_what_its_digest_says_is_not_encrypted() -> None:
    for data in (b"damages", b"damage", b"damaged!"):
        with pytest.raises(Damaged, match="is corrupt"):
            encrypt_layer(
                io.BytesIO(data), Descriptor(LAYER, sha256(b"damaged"), 7), MemoryIntake().draft()
            )


PLAIN = os.urandom(200_000)
SEALED, RESULT = sealed(PLAIN)


@pytest.mark.parametrize(
    "data",
    [
        SEALED[:-1],
        SEALED[: 1 << 17],
        b"",
        SEALED + b"x",
        SEALED[1:] + SEALED[:1],
        bytes([SEALED[0] ^ 1]) + SEALED[1:],
        SEALED[:-1] + bytes([SEALED[-1] ^ 1]),
    ],
    ids=["cut", "cut early", "empty", "longer", "shifted", "first byte", "last byte"],
)
def test_ciphertext_that_was_changed_or_cut_off_is_refused_at_its_end(data: bytes) -> None:
    with pytest.raises(Refused, match=r"^layer 0 has another HMAC: it was changed or cut off"):
        unsealed(data, RESULT.private, RESULT.public)


def test_options_of_another_layer_are_refused() -> None:
    _, other = sealed(b"other")
    for private, public in (
        (other.private, RESULT.public),
        (RESULT.private, other.public),
        (RESULT.private._replace(key=other.private.key), RESULT.public),
    ):
        with pytest.raises(Refused, match="annotations are another layer's"):
            unsealed(SEALED, private, public)


def test_the_options_are_those_of_ocicrypt_byte_for_byte() -> None:
    private = Private(b"k" * 32, b"n" * 16, DIGEST)

    assert write_private(private) == (
        b'{"symkey":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=","digest":"'
        + DIGEST.encode()
        + b'","cipheroptions":{"nonce":"bm5ubm5ubm5ubm5ubm5ubg=="}}'
    )
    assert write_public(Public(b"h" * 32)) == (
        b'{"cipher":"AES_256_CTR_HMAC_SHA256",'
        b'"hmac":"aGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGg=","cipheroptions":{}}'
    )
    assert parse_private(write_private(private)) == private
    assert parse_public(write_public(Public(b"h" * 32))) == Public(b"h" * 32)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"symkey":"a2', b'"symkey":"a', "not base64|32 bytes"),
        (b'"symkey"', b'"x"', "is not 32 bytes long"),
        (b'"nonce":"bm5u', b'"nonce":"', "is not 16 bytes long"),
        (b'"sha256:ab', b'"sha256:xb', "invalid digest"),
        (b'{"nonce', b'["nonce', "is not valid JSON"),
    ],
)
def test_private_options_that_are_wrong_are_refused(old: bytes, new: bytes, says: str) -> None:
    data = write_private(Private(b"k" * 32, b"n" * 16, DIGEST))
    with pytest.raises(Refused, match=says):
        parse_private(data.replace(old, new))


def test_another_cipher_is_refused_by_name() -> None:
    data = write_public(Public(b"h" * 32)).replace(b"AES_256_CTR", b"AES_256_SIV")
    with pytest.raises(Refused, match='the cipher "AES_256_SIV_HMAC_SHA256" is not known'):
        parse_public(data)
