"""What may be handed in from Python: several values, paths, files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from casstore.model.arguments import path_of, path_or_file, several


@pytest.mark.parametrize(
    "given", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}, iter(("a", "b")), {"a": 1, "b": 2}.keys()]
)
def test_several_values_are_anything_that_gives_them(given: Any) -> None:
    assert several(given, "images") == ("a", "b")


@pytest.mark.parametrize("given", ["ab", b"ab", bytearray(b"ab"), memoryview(b"ab")])
def test_a_single_text_is_not_several(given: Any) -> None:
    kind = type(given).__name__
    with pytest.raises(TypeError, match=f"^images takes several values, .* and not one {kind}$"):
        several(given, "images")


def test_each_of_several_is_of_the_kind_that_is_wanted() -> None:
    assert several([1, 2], "numbers", int) == (1, 2)
    with pytest.raises(TypeError, match=r"^images takes values of type str, not int$"):
        several(["a", 1], "images")
    with pytest.raises(TypeError, match=r"^images takes values of type str or bytes, not int$"):
        several(["a", b"b", 1], "images", (str, bytes))


@pytest.mark.parametrize(
    ("given", "path"),
    [("a/b", "a/b"), (Path("a/b"), "a/b"), ("-", "-"), (Path("-"), "./-"), ("", "")],
)
def test_a_path_is_a_text_and_only_a_word_is_a_standard_stream(given: Any, path: str) -> None:
    assert path_of(given) == path
    assert path_or_file(given) == path


def test_a_path_of_bytes_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^expected a str or a path of str, not bytes$"):
        path_of(b"a")  # type: ignore[arg-type]  # mypy refuses it too


class Reading:
    def read(self) -> bytes:
        return b""


class Writing:
    def write(self, data: bytes) -> None: ...


@pytest.mark.parametrize("file", [io.BytesIO(), Reading(), Writing()])
def test_a_file_is_what_reads_or_writes(file: object) -> None:
    assert path_or_file(file) is file


def test_a_file_of_text_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"^expected a binary file: open it with mode 'rb' or 'wb'$"
    ):
        path_or_file(io.StringIO())


@pytest.mark.parametrize("given", [7, None, object()])
def test_what_is_neither_a_path_nor_a_file_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match=r"^expected a path or a binary file, not "):
        path_or_file(given)
