"""Digests of bytes, by whichever implementation."""

from __future__ import annotations

import hashlib
import sys

import pytest

from casstore.errors import Refused
from casstore.model import digest
from casstore.model.digest import Digest, is_hex, sha256

HEX = "0123456789abcdef" * 4


def test_a_digest_is_its_algorithm_and_64_hex_digits() -> None:
    one = Digest.parse(f"sha256:{HEX}")

    assert (one.hex, one.short, one.raw.hex()) == (HEX, "0123456789ab", HEX)


@pytest.mark.parametrize(
    "text", ["", HEX, f"sha512:{HEX}", f"sha256:{HEX[1:]}", f"sha256:{HEX}0",
             f"sha256:{HEX.upper()}", None, 7, f"sha256:{HEX}".encode()],
)  # fmt: skip
def test_what_is_no_digest_is_refused(text: object) -> None:
    with pytest.raises(Refused, match=r"^invalid digest "):
        Digest.parse(text)


def test_a_hex_number_has_a_digit() -> None:
    assert is_hex("0")
    assert not is_hex("")
    assert not is_hex("0g")


@pytest.mark.parametrize("missing", [[], ["hashlib"], ["hashlib", digest._OWN]])
@pytest.mark.parametrize("size", [0, 1, digest._SMALL, digest._SMALL + 1])
def test_the_digest_does_not_depend_on_who_computes_it(
    size: int, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    expected = "sha256:" + hashlib.sha256(data).hexdigest()
    for name in missing:
        if name == "hashlib":
            monkeypatch.delitem(sys.modules, name)
        else:
            monkeypatch.setitem(sys.modules, name, None)

    assert sha256(data) == expected
