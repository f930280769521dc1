"""gc's first look: has the directory exactly the blobs that the index knows?"""

from __future__ import annotations

import functools
import hashlib
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.backends.local import blobs as blobs_
from casstore.backends.local.blobs import BlobDirectory
from casstore.backends.local.sameblobs import xor_of_digests, xor_of_names

# Real ones: the XOR of made-up ones can be that of others.
DIGESTS = [hashlib.sha256(bytes([number])).digest() for number in range(6)]
DIGIT = DIGESTS[1].hex()
ODD = [
    "", "a", DIGIT[:-1], DIGIT + "0", DIGIT.upper(), f" {DIGIT[1:]}", f"{DIGIT[:62]}  ",
    f"{DIGIT[:-1]}g", f"{DIGIT[:-1]}\u0660", f"{DIGIT[:-1]}\udcff", DIGIT + DIGIT,
]  # fmt: skip
parts = st.lists(st.lists(st.binary(min_size=32, max_size=32), max_size=9))


@settings(deadline=None)
@given(parts)
def test_the_sum_is_the_count_and_the_xor_of_all_parts(parts: list[list[bytes]]) -> None:
    whole = [digest for part in parts for digest in part]
    xor = functools.reduce(operator.xor, map(int.from_bytes, whole), 0)

    assert xor_of_digests(parts) == (len(whole), xor)
    assert xor_of_names([[digest.hex() for digest in part] for part in parts]) == (len(whole), xor)


@pytest.mark.parametrize("odd", ODD)
def test_a_name_that_is_no_digests_has_none(odd: str) -> None:
    assert xor_of_names([[DIGIT], [DIGESTS[0].hex(), odd]]) is None


def test_a_name_of_half_the_length_does_not_hide_behind_one_that_is_too_long() -> None:
    assert xor_of_names([[DIGIT[:32], DIGIT + DIGIT[32:]]]) is None


@pytest.mark.parametrize("few", [0, 1000])
@settings(deadline=None)
@given(
    names=st.sets(st.sampled_from([*(one.hex() for one in DIGESTS), "odd", DIGIT.upper()])),
    known=st.sets(st.sampled_from(DIGESTS)),
)
def test_strangers_are_the_difference_however_it_is_found(
    tmp_path_factory: pytest.TempPathFactory, few: int, names: set[str], known: set[bytes]
) -> None:
    blobs = BlobDirectory(str(tmp_path_factory.mktemp("store")))
    os.makedirs(blobs.directory)
    for name in names:
        Path(blobs.directory, name).touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs_, "_FEW", few)
        patch.setattr(blobs_, "_TOGETHER", 2)
        found = [file.name for file in blobs.strangers(list(known))]

    assert found == sorted(names - {one.hex() for one in known})


def test_where_nothing_is_strange_no_file_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = BlobDirectory(str(tmp_path))
    os.makedirs(blobs.directory)
    for one in DIGESTS:
        Path(blobs.directory, one.hex()).touch()

    def refuse(path: str) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(os, "lstat", refuse)
    assert list(blobs.strangers(DIGESTS)) == []


@pytest.mark.parametrize(
    ("few", "known", "steps"),
    [
        (1000, DIGESTS, ["listdir", "xor"]),
        (1000, DIGESTS[1:], ["listdir"]),
        (1000, [*DIGESTS[1:], b"\7" * 32], ["listdir", "xor"]),
        (len(DIGESTS), DIGESTS, ["listdir", "xor"]),
        (len(DIGESTS) - 1, DIGESTS, ["scandir", "xor"]),
        (0, DIGESTS[1:], ["scandir", "xor", "listdir"]),
    ],
    ids=["few", "few, another count", "few, others", "just few", "many", "many, others"],
)
def test_no_more_is_read_than_the_answer_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int, known: list[bytes], steps: list[str]
) -> None:
    blobs = BlobDirectory(str(tmp_path))
    os.makedirs(blobs.directory)
    for one in DIGESTS:
        Path(blobs.directory, one.hex()).touch()
    taken: list[str] = []

    def noted(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object) -> Any:
            taken.append(what)
            return function(*arguments)

        return call

    monkeypatch.setattr(blobs_, "_FEW", few)
    monkeypatch.setattr(os, "listdir", noted("listdir", os.listdir))
    monkeypatch.setattr(os, "scandir", noted("scandir", os.scandir))
    monkeypatch.setattr(
        "casstore.backends.local.sameblobs.xor_of_digests", noted("xor", xor_of_digests)
    )

    found = [file.name for file in blobs.strangers(known)]

    assert taken == steps
    assert found == sorted({one.hex() for one in DIGESTS} - {one.hex() for one in known})
