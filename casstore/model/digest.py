"""Digests: the names of blobs.

Only sha256 is a name in this store (OCI image-spec, descriptor.md, "Digests"). A digest is
checked once, when it is parsed; from then on it is safe to use in a path.
"""

from __future__ import annotations

import sys

from casstore.errors import Refused, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

PREFIX = "sha256:"
HEX_LENGTH = 64
SHORT_LENGTH = 12
_LENGTH = len(PREFIX) + HEX_LENGTH
_OWN = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
_SMALL = 64 << 10  # bytes; above it OpenSSL's speed is worth its import
_HEX = frozenset("0123456789abcdef")


class Digest(str):
    """`sha256:` and 64 lower-case hex digits; a str, so it is its own key in dicts and JSON."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        """Check `text`, which came from outside.

        Raises:
            Refused: it is anything but `sha256:` and 64 lower-case hex digits.
        """
        if (
            isinstance(text, str)
            and len(text) == _LENGTH
            and text.startswith(PREFIX)
            and _HEX.issuperset(text[len(PREFIX) :])
        ):
            return cls(text)
        raise Refused(f"invalid digest {quote(text)}")

    @classmethod
    def of_hex(cls, digits: str) -> Self:
        """The digest with these 64 hex digits, which are known to be right."""
        return cls(PREFIX + digits)

    @classmethod
    def of_bytes(cls, raw: bytes) -> Self:
        """The digest with these 32 bytes."""
        return cls(PREFIX + raw.hex())

    @property
    def hex(self) -> str:
        """The 64 hex digits."""
        return self[len(PREFIX) :]

    @property
    def short(self) -> str:
        """The first 12 hex digits, as `images` shows them."""
        return self[len(PREFIX) : len(PREFIX) + SHORT_LENGTH]

    @property
    def raw(self) -> bytes:
        """The 32 bytes."""
        return bytes.fromhex(self[len(PREFIX) :])


def is_hex64(text: str) -> bool:
    """Whether `text` is exactly 64 lower-case hex digits."""
    return len(text) == HEX_LENGTH and _HEX.issuperset(text)


def is_hex(text: str) -> bool:
    """Whether `text` is one or more lower-case hex digits."""
    return bool(text) and _HEX.issuperset(text)


def sha256(data: bytes) -> Digest:
    """The digest of `data`."""
    maker: Any = sys.modules.get("hashlib")
    if maker is None:
        # hashlib loads OpenSSL: 3 ms, more than inspect does otherwise. The interpreter's own
        # sha256, which hashlib falls back to where there is no OpenSSL, will do for a config.
        try:
            maker = __import__(_OWN if len(data) <= _SMALL else "hashlib")
        except ImportError:
            maker = __import__("hashlib")
    return Digest.of_hex(maker.sha256(data).hexdigest())
