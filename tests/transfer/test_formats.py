"""What an input is told to be, and which format a word stands for."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from casstore.errors import Refused, UsageError
from casstore.transfer import formats
from casstore.transfer.archive import open_archive
from casstore.transfer.compress import DEFAULT
from casstore.transfer.formats import FOLDER, FORMATS, format_named, format_of, is_transport
from casstore.transfer.source import fitting, read_images
from tests.transfer.building import tar_of
from tests.transfer.intake import FakeIntake

LAYOUT = {"index.json": b"{}", "oci-layout": b"{}"}
DOCKER = {"manifest.json": b"[]"}
LEGACY = {"repositories": b"{}"}
DIR = {"manifest.json": b"{}", "version": b""}

INPUTS = [
    (LAYOUT, ["oci", "oci-dir"]),
    (DOCKER, ["docker"]),
    (DOCKER | LEGACY, ["docker"]),
    (LAYOUT | DOCKER, ["oci", "oci-dir", "docker"]),  # as Docker 25 writes
    (LAYOUT | LEGACY, ["oci", "oci-dir"]),
    (LEGACY, ["docker"]),
    ({"index.json": b"", **DOCKER}, ["docker"]),
    ({"index.json": b"", **LEGACY}, ["oci-dir", "oci", "docker"]),
    ({"oci-layout": b"", **LEGACY}, ["oci-dir", "oci", "docker"]),
    ({"etc/passwd": b""}, []),
    (DIR, ["dir", "docker"]),
    (DIR | {"manifest.json": b" \r\n\t{}"}, ["dir", "docker"]),
    (DIR | DOCKER, ["docker"]),
    (LAYOUT | DIR, ["oci", "oci-dir", "dir", "docker"]),  # refused: one or the other
    ({"manifest.json": b"{}"}, ["docker"]),
    ({"version": b"x"}, []),
]


def folder(path: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return str(path)


@pytest.mark.parametrize(("files", "names"), INPUTS)
def test_an_input_is_of_the_formats_whose_files_it_has(
    files: dict[str, bytes], names: list[str]
) -> None:
    with open_archive(io.BytesIO(tar_of(files)), FakeIntake()) as archive:
        assert [form.name for form in fitting(archive)] == names


def test_of_two_formats_with_the_same_files_a_folder_is_the_one_that_is_a_folder(
    tmp_path: Path,
) -> None:
    with open_archive(folder(tmp_path / "in", LAYOUT), FakeIntake()) as archive:
        assert [form.name for form in fitting(archive)] == ["oci-dir", "oci"]


def test_a_folder_in_place_of_a_file_tells_nothing(tmp_path: Path) -> None:
    os.makedirs(tmp_path / "in" / "manifest.json")

    with open_archive(str(tmp_path / "in"), FakeIntake()) as archive:
        assert fitting(archive) == []


def test_what_lacks_half_of_a_layout_is_refused_though_it_hints_at_another_format() -> None:
    data = tar_of({"oci-layout": b"{}", **LEGACY})

    with pytest.raises(Refused, match=r"has an oci-layout file but no index\.json"):
        read_images(io.BytesIO(data), FakeIntake(), compression=DEFAULT)


def test_the_refusal_of_anything_else_names_the_files_that_were_looked_for() -> None:
    with pytest.raises(Refused) as caught:
        read_images(io.BytesIO(tar_of({"x": b""})), FakeIntake(), compression=DEFAULT)

    assert str(caught.value) == (
        '"archive" holds no images: it has neither manifest.json nor repositories nor index.json'
    )


def test_a_format_is_found_by_its_name_and_by_its_transport() -> None:
    for form in FORMATS:
        assert format_named(form.name) is format_of(form.transport) is form


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    names = ", ".join(form.name for form in FORMATS)

    with pytest.raises(UsageError, match=f'^unknown format "zip": use one of {names}$'):
        format_named("zip")


def test_a_transport_of_other_tools_is_one_though_there_is_no_format_for_it() -> None:
    assert is_transport("docker-daemon") and is_transport("oci")
    assert not is_transport("busybox")
    with pytest.raises(UsageError, match=r'^"sif:x": the transport sif: is not known$'):
        format_of("sif", "sif:x")


def test_a_format_of_one_s_own_is_found_without_a_word_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = FORMATS[0]._replace(name="own", transport="own", shape=FOLDER)
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, own))

    assert is_transport("own") and format_named("own") is format_of("own") is own
