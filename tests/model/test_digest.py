"""Digests of bytes, by whichever implementation."""

from __future__ import annotations

import hashlib
import sys

import pytest

from casstore.model import digest
from casstore.model.digest import sha256


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
