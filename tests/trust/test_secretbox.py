"""XSalsa20 and Poly1305 against the vectors that their authors published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casstore.trust.secretbox import WrongBox, hsalsa20, open_box, salsa20_block, seal

# "Cryptography in NaCl": the keys of section 8, the nonce, message and box of sections 9 and 10.
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
FIRST = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
SECOND = bytes.fromhex("dc908dda0b9344a953629b733820778880f3ceb421bb61b91cbd4c3e66256ce4")
NONCE = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
MESSAGE = bytes.fromhex(
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc"
    "e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31"
    "0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde"
    "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864"
    "5e0705"
)
BOX = bytes.fromhex(
    "f3ffc7703f9400e52a7dfb4b3d3305d9"
    "8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a"
    "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738"
    "b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da"
    "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74"
    "e355a5"
)


def test_the_first_key_of_nacl_is_hsalsa20_of_the_shared_one() -> None:
    assert hsalsa20(bytes(16), SHARED) == FIRST


def test_the_second_key_of_nacl_is_hsalsa20_of_the_first() -> None:
    assert hsalsa20(NONCE[:16], FIRST) == SECOND


def test_a_block_of_salsa20_is_that_of_the_ecrypt_vectors() -> None:
    # eSTREAM's verified vectors, 256-bit key, set 1, vector 0: key 80 00 .., IV 0, stream 0..63
    block = salsa20_block(bytes(8), 0, b"\x80" + bytes(31))

    assert block.hex() == (
        "e3be8fdd8beca2e3ea8ef9475b29a6e7003951e1097a5c38d23b7a5fad9f6844"
        "b22c97559e2723c7cbbd3fe4fc8d9a0744652a83e72a9c461876af4d7ef1a117"
    )


def test_a_later_block_is_that_of_the_ecrypt_vectors() -> None:
    # the same vector, stream 192..255
    block = salsa20_block(bytes(8), 3, b"\x80" + bytes(31))

    assert block.hex() == (
        "57be81f47b17d9ae7c4ff15429a73e10acf250ed3a90a93c711308a74c6216a9"
        "ed84cd126da7f28e8abf8bb63517e1ca98e712f4fb2e1a6aed9fdc73291faa17"
    )


def test_the_box_of_nacl_is_sealed() -> None:
    assert seal(MESSAGE, NONCE, FIRST) == BOX


def test_the_box_of_nacl_is_opened() -> None:
    assert open_box(BOX, NONCE, FIRST) == MESSAGE


@pytest.mark.parametrize("at", range(0, len(BOX), 7))
def test_a_box_with_another_byte_is_not_opened(at: int) -> None:
    changed = bytearray(BOX)
    changed[at] ^= 1

    with pytest.raises(WrongBox):
        open_box(bytes(changed), NONCE, FIRST)


@pytest.mark.parametrize("length", [0, 15, len(BOX) - 1])
def test_a_box_that_is_cut_off_is_not_opened(length: int) -> None:
    with pytest.raises(WrongBox):
        open_box(BOX[:length], NONCE, FIRST)


NONCES = st.binary(min_size=24, max_size=24)
KEYS = st.binary(min_size=32, max_size=32)


@given(st.binary(max_size=300), NONCES, KEYS)
def test_what_was_sealed_is_opened(message: bytes, nonce: bytes, key: bytes) -> None:
    assert open_box(seal(message, nonce, key), nonce, key) == message
