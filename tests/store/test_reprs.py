"""What a debugger or a notebook shows of the public objects."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from inspect import getattr_static
from pathlib import Path

import pytest

from casstore import (
    Access,
    Digest,
    Place,
    ProgressUpdate,
    Reference,
    Removed,
    Stop,
    Store,
    Transport,
    parse_place,
)
from casstore.model import removedlines
from casstore.model.removedlines import RemovedLines
from tests.architecture.signatures import shown_types
from tests.store.test_store import ARCHIVE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def test_a_store_and_its_groups_name_the_directory(store: Store) -> None:
    path = repr(store.path)

    assert repr(store) == f"<casstore.Store {path}>"
    assert repr(store.leases) == f"<casstore.Leases of {path}>"
    assert repr(store.trash) == f"<casstore.Trash of {path}>"
    assert repr(store.settings) == f"<casstore.Settings of {path}>"
    assert repr(store.session) == f"<casstore session of {path}>"


def test_a_store_that_is_not_made_yet_is_not_made_to_be_shown(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    assert repr(store) == f"<casstore.Store '{tmp_path}/store'>"
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_says_so() -> None:
    assert repr(Store.in_memory()) == "<casstore.Store 'memory'>"


def test_a_lease_names_what_it_holds(store: Store) -> None:
    with store.leases.hold("app:1", "base:1", name="mine") as lease:
        app, base = store.get("app:1").id.short, store.get("base:1").id.short

        assert repr(lease) == f"<casstore.Lease 'mine' on {app}, {base}>"


def test_a_place_is_written_as_it_is_made() -> None:
    place = parse_place("oci:layout:v1")

    assert repr(place) == "Place(transport='oci', path='layout', reference='v1')"
    assert eval(repr(place), {"Place": Place}) == place  # noqa: S307 - our own words


def test_a_result_names_its_fields(store: Store) -> None:
    image = store.get("app:1")

    assert repr(image).startswith(f"Image(id='{image.id}', names=('docker.io/library/app:1', ")
    assert repr(ProgressUpdate("Loading", "", "bytes", 1, None, finished=False)) == (
        "ProgressUpdate(name='Loading', item='', unit='bytes', done=1, total=None, finished=False)"
    )


def test_names_and_ids_are_shown_as_the_strings_that_they_are() -> None:
    assert repr(Reference("docker.io/library/app:1")) == "'docker.io/library/app:1'"
    assert repr(Digest.of_hex("0" * 64)) == f"'sha256:{'0' * 64}'"


def test_an_error_in_a_result_is_shown(store: Store) -> None:
    outcome = store.remove(["nosuch"]).outcomes[0]

    assert "error=NotFound('No such image: nosuch:latest')" in repr(outcome)


def test_the_lines_of_a_large_prune_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removedlines, "SHOWN", 2)
    lines = [Removed("untagged", f"app:{number}", None, "reference", 0, 0) for number in range(5)]

    assert repr(RemovedLines(lines[:2])) == repr(tuple(lines[:2]))
    assert repr(RemovedLines(lines)) == f"({lines[0]!r}, {lines[1]!r}, ... and 3 more)"


def test_connections_show_no_password() -> None:
    with Transport(Access(https_proxy="http://user:secret@proxy:1")) as transport:
        assert repr(transport) == "<casstore.Transport Access(…)>"


def test_a_stop_says_whether_it_was_asked_for() -> None:
    stop = Stop()
    assert repr(stop) == "<casstore.Stop, not asked for>"
    stop.asked = True
    assert repr(stop) == "<casstore.Stop, asked for>"


def test_no_public_object_is_shown_by_its_address() -> None:
    """All have a repr of their own, or that of a str, a record or an error."""
    by_address = getattr_static(object, "__repr__")
    plain = {k.__name__ for k in shown_types() if getattr_static(k, "__repr__") is by_address}

    assert plain == {"ProgressCallback"}  # which is the caller's


def test_a_store_is_shown_after_it_was_pickled(store: Store) -> None:
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - what we have just written

    assert repr(again) == repr(store)
