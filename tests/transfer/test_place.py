"""The ends of a copy, and the other words for where something is."""

from __future__ import annotations

from pathlib import Path

import pytest

from casstore.errors import UsageError
from casstore.transfer.place import Place, parse_place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("app:1", Place("casstore", "app:1", "")),
        ("casstore", Place("casstore", "casstore", "")),
        ("casstore:app:1", Place("casstore", "app:1", "")),
        ("docker://host/app:1", Place("docker", "host/app:1", "")),
        ("oci:some/directory", Place("oci", "some/directory", "")),
        ("oci:directory:app:1", Place("oci", "directory", "app:1")),
        ("oci-archive:a.tar:x", Place("oci-archive", "a.tar", "x")),
        ("docker-archive:a.tar:@0", Place("docker-archive", "a.tar", "@0")),
        ("dir:some/directory:x", Place("dir", "some/directory:x", "")),
        ("dir", Place("casstore", "dir", "")),
        ("oci", Place("casstore", "oci", "")),
        ("docker", Place("casstore", "docker", "")),
    ],
)
def test_a_place_is_a_transport_and_what_it_leads_to(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["sif:x", "docker-daemon:x", "containers-storage:x", "ostree:x"])
def test_a_transport_that_casstore_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not known$"):
        parse_place(text)


@pytest.mark.parametrize("text", ["docker:app", "docker:/app", "docker:"])
def test_a_registry_has_two_slashes(text: str) -> None:
    with pytest.raises(UsageError, match=r"a registry is docker://NAME$"):
        parse_place(text)


@pytest.mark.parametrize("text", ["", "casstore:", "docker://", "oci:", "oci::app"])
def test_a_transport_alone_names_nothing(text: str) -> None:
    with pytest.raises(UsageError, match=r"names nothing$"):
        parse_place(text)


def test_a_place_made_in_python_can_have_a_path_object() -> None:
    assert Place("oci", Path("some/directory"), "").where == "some/directory"
