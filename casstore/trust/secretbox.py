"""NaCl's secretbox (XSalsa20 and Poly1305), in which cosign's key files keep the private key.

`cryptography` has Poly1305 and not Salsa20. The one other well-kept library with it (PyNaCl) would
bring a second copy of all cryptography for the 200 bytes of a key file, so the Salsa20 core is
here: additions, rotations and exclusive ors on 32-bit words, held against the published vectors
of its papers and of NaCl by tests/trust/test_secretbox.py. Nothing but key files goes through it:
it is slow, and as Python it does not run in constant time.

Sources: D. J. Bernstein, "The Salsa20 family of stream ciphers"; "Extending the Salsa20 nonce";
"Cryptography in NaCl", sections 7 to 10.
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

KEY_SIZE = 32  # bytes
NONCE_SIZE = 24
TAG_SIZE = 16
_BLOCK = 64
_MASK = 0xFFFFFFFF
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
# What each quarter-round works on: the columns, then the rows of the 4 x 4 matrix.
_QUARTERS = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip


class WrongBox(ValueError):
    """The box was not sealed under this key and nonce, or is not whole."""


def seal(message: bytes, nonce: bytes, key: bytes) -> bytes:
    """The box of `message`: its 16-byte tag, then as many bytes as the message has."""
    first, stream = _keystream(nonce, key, len(message))
    sealed = _xor(message, stream)
    return Poly1305.generate_tag(first, sealed) + sealed


def open_box(box: bytes, nonce: bytes, key: bytes) -> bytes:
    """The message in `box`.

    Raises:
        WrongBox: the key or the nonce is another, or a byte of the box is.
    """
    if len(box) < TAG_SIZE or len(nonce) != NONCE_SIZE or len(key) != KEY_SIZE:
        raise WrongBox
    tag, sealed = box[:TAG_SIZE], box[TAG_SIZE:]
    first, stream = _keystream(nonce, key, len(sealed))
    try:
        Poly1305.verify_tag(first, sealed, tag)
    except InvalidSignature:
        raise WrongBox from None
    return _xor(sealed, stream)


def hsalsa20(nonce: bytes, key: bytes) -> bytes:
    """The 32-byte subkey of a key and the first 16 bytes of a long nonce."""
    words = _rounds(_state(struct.unpack("<4I", nonce), struct.unpack("<8I", key)))
    return struct.pack("<8I", *(words[at] for at in (0, 5, 10, 15, 6, 7, 8, 9)))


def salsa20_block(nonce: bytes, counter: int, key: bytes) -> bytes:
    """64 bytes of Salsa20's key stream: of an 8-byte nonce, at a block number."""
    middle = (*struct.unpack("<2I", nonce), counter & _MASK, counter >> 32)
    start = _state(middle, struct.unpack("<8I", key))
    words = (one + other & _MASK for one, other in zip(start, _rounds(start), strict=True))
    return struct.pack("<16I", *words)


def _keystream(nonce: bytes, key: bytes, size: int) -> tuple[bytes, bytes]:
    """The Poly1305 key, which is the stream's first 32 bytes, and `size` bytes after them."""
    subkey = hsalsa20(nonce[:16], key)
    blocks = range((size + 32 + _BLOCK - 1) // _BLOCK)
    stream = b"".join(salsa20_block(nonce[16:], number, subkey) for number in blocks)
    return stream[:32], stream[32 : 32 + size]


def _state(middle: tuple[int, ...], key: tuple[int, ...]) -> list[int]:
    a, b, c, d = _SIGMA
    return [a, *key[:4], b, *middle, c, *key[4:], d]


def _rounds(start: list[int]) -> list[int]:
    x = list(start)
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            x[b] ^= _rotated(x[a] + x[d], 7)
            x[c] ^= _rotated(x[b] + x[a], 9)
            x[d] ^= _rotated(x[c] + x[b], 13)
            x[a] ^= _rotated(x[d] + x[c], 18)
    return x


def _rotated(word: int, by: int) -> int:
    word &= _MASK
    return (word << by | word >> 32 - by) & _MASK


def _xor(data: bytes, stream: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(data, stream, strict=True))
