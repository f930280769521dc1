"""index.json as anybody may have written it, and what is kept of it aside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local.care import listed
from casstore.backends.local.directory import LocalStore
from casstore.backends.local.published import LayoutFile
from casstore.errors import Refused
from casstore.model.digest import Digest, sha256
from casstore.model.keys import CONTAINERD_NAME, REF_NAME
from casstore.model.reference import parse_name

DIGEST = sha256(b"manifest")
FULL = "docker.io/library/a:1"


def entry(digest: Digest = DIGEST) -> dict[str, Any]:
    kind = "application/vnd.oci.image.manifest.v1+json"
    return {"mediaType": kind, "digest": digest, "size": 8}


@pytest.fixture
def disk(tmp_path: Path) -> LocalStore:
    (tmp_path / "store" / "ingest").mkdir(parents=True)
    return LocalStore(str(tmp_path / "store"))


# Names


@pytest.mark.parametrize(
    ("short", "full", "name"),
    [
        ("a:1", None, "a:1"),
        ("a:1", FULL, "a:1"),
        ("b:1", FULL, "b:1"),  # umoci copies containerd's name from another descriptor
        (None, FULL, "a:1"),
        ("", FULL, "a:1"),
        ("web", None, "web:latest"),
        (f"a@{DIGEST}", None, f"a@{DIGEST}"),
        (f"a@{sha256(b'another')}", None, None),
        ("No/Name:1", None, None),
        (None, "No/Name:1", None),
        (None, None, None),
    ],
)
def test_a_name_is_the_one_that_tools_set_and_containerds_where_there_is_no_other(
    short: str | None, full: str | None, name: str | None
) -> None:
    given = {REF_NAME: short, CONTAINERD_NAME: full}
    annotations = {key: value for key, value in given.items() if value is not None}

    found = listed.given_name(annotations, DIGEST)

    assert (found and found.familiar) == name


@pytest.mark.parametrize(
    ("written", "kept"), [("web", "web"), ("web:latest", None), ("", None), (None, None)]
)
def test_how_a_name_is_written_is_kept_where_it_is_not_its_familiar_form(
    written: str | None, kept: str | None
) -> None:
    name = parse_name("web").reference
    annotations = {} if written is None else {REF_NAME: written}

    assert listed.written_as(annotations, name) == kept


# The file


def test_what_is_wrong_with_a_record_is_told_with_its_place() -> None:
    data = json.dumps({"manifests": [entry(), {**entry(), "size": -1}]}).encode()

    with pytest.raises(Refused, match=r"manifest 2 of index\.json"):
        listed.listed(data)


def test_a_record_of_our_own_form_is_told_with_its_place(tmp_path: Path) -> None:
    layout = LayoutFile(str(tmp_path), str(tmp_path / "staging"))
    layout.write([], 1)
    head, _, tail = Path(layout.path).read_bytes().partition(b"[\n")
    lines = [json.dumps(one).encode() for one in (entry(), {**entry(), "size": -1})]
    Path(layout.path).write_bytes(head + b"[\n" + b",\n".join(lines) + tail)

    with pytest.raises(Refused, match=r"manifest 2 of index\.json"):
        list(listed.each_listed(layout.path))


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert listed.read_file(str(tmp_path / "none")) == b""


def test_no_link_is_followed_and_nothing_but_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"outside")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(OSError, match="symbolic links"):
        listed.read_file(str(tmp_path / "link"))
    with pytest.raises(Refused, match=r"fifo.* is not a regular file"):
        listed.read_file(str(tmp_path / "fifo"))


# What is kept aside


def test_what_is_kept_aside_is_kept_once_under_the_name_that_is_told(disk: LocalStore) -> None:
    first = listed.keep_aside(disk, b"one")

    assert listed.keep_aside(disk, b"one") == first
    assert Path(disk.root, first).read_bytes() == b"one"
    assert os.listdir(disk.ingest) == []
    second = listed.keep_aside(disk, b"two", listed.DAMAGED)
    assert listed.kept_files(disk) == sorted([first, second])


def test_kept_files_come_by_name(disk: LocalStore) -> None:
    names = sorted(listed.keep_aside(disk, b"%d" % number) for number in range(20))
    Path(disk.root, "index.json").touch()

    assert listed.kept_files(disk) == names


def test_a_kept_file_that_cannot_be_read_hides_no_other(disk: LocalStore) -> None:
    digests = [sha256(b"%d" % number) for number in range(3)]
    for number, data in enumerate((b"{", listed.layout_of([entry(digests[1])]), b"[]")):
        Path(disk.root, f"{listed.FOREIGN}{number}").write_bytes(data)
    Path(disk.root, f"{listed.FOREIGN}3").symlink_to("nowhere")
    Path(disk.root, f"{listed.FOREIGN}4").write_bytes(listed.layout_of([entry(digests[2])]))

    found = [descriptor.digest for descriptor in listed.kept_descriptors(disk)]

    assert found == digests[1:]
