"""casstore.events and the table of events: what is read back, whatever became of either."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local import events as module
from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.removals import EVENTS_KEPT
from casstore.errors import Damaged
from casstore.model.digest import sha256
from casstore.model.event import MOST, Event
from tests.contract.opening import NOW, changing

IMAGE = sha256(b"image")


def saved(number: int = 0) -> Event:
    return Event(NOW + number, "save", IMAGE, None, {"n": str(number)}, None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "a store"


@pytest.fixture
def backend(root: Path) -> Iterator[LocalBackend]:
    made = LocalBackend(str(root))
    made.create()
    with changing(made) as edits:
        edits.commit()
    yield made
    made.close()


def pin(backend: LocalBackend, number: int = 0) -> None:
    """A change with an event."""
    with changing(backend, now=NOW + number) as edits:
        edits.set_meta("setting.x", number)
        edits.record("pin", IMAGE, n=str(number))
        edits.commit()


def numbers(events: list[Event]) -> list[str]:
    return [event.attributes["n"] for event in events]


def without_table(root: Path) -> None:
    """The database as an older casstore made it."""
    with closing(sqlite3.connect(root / "casstore.db")) as database:
        database.execute("DROP TABLE event")


def test_a_line_is_an_event(backend: LocalBackend, root: Path) -> None:
    backend.events.note([saved(3)])

    assert (root / "casstore.events").read_text() == f"{NOW + 3:020d}\tsave\t{IMAGE}\t\tn=3\n"


@pytest.mark.parametrize(
    "junk",
    [b"\0" * 90 + b"\n", b"no event\n", b"\n\n", b"12\tsave\t\t\n", b"\xff\xfe\n",
     f"{NOW:020d}\tsave\tsha256:00\t\n".encode(), f"{NOW:020d}\tsave\t\t\tno-pair\n".encode(),
     f"{NOW:020d}\t\x1b[2J\t\t\n".encode()],
)  # fmt: skip
def test_a_line_that_is_none_is_passed_over(backend: LocalBackend, root: Path, junk: bytes) -> None:
    backend.events.note([saved(1)])
    with open(root / "casstore.events", "ab") as file:
        file.write(junk)
    backend.events.note([saved(2)])

    assert numbers(backend.events.read()[0]) == ["1", "2"]


def test_a_torn_line_costs_itself_and_no_other(backend: LocalBackend, root: Path) -> None:
    backend.events.note([saved(1)])
    with open(root / "casstore.events", "r+b") as file:
        file.truncate(60)
    backend.events.note([saved(2)])

    assert numbers(backend.events.read()[0]) == ["2"]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(
    backend: LocalBackend, root: Path
) -> None:
    backend.events.note([saved(1)])
    whole = (root / "casstore.events").read_bytes()
    (root / "casstore.events").write_bytes(whole[:30])
    found, place = backend.events.read()
    assert found == []

    (root / "casstore.events").write_bytes(whole)
    assert numbers(backend.events.read(place)[0]) == ["1"]


def test_a_file_that_has_grown_large_is_put_aside_and_read_on(
    backend: LocalBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    place = backend.events.read()[1]
    found: list[Event] = []
    for number in range(40):
        backend.events.note([saved(number)])
        if number % 3 == 0:
            more, place = backend.events.read(place)
            found += more

    assert numbers(found) == [str(number) for number in range(40)]
    assert (root / "casstore.events").stat().st_size < 1500
    assert (root / "casstore.events.old").stat().st_size < 1500
    kept = numbers(backend.events.read()[0])
    assert kept == [str(number) for number in range(40 - len(kept), 40)]
    assert 10 <= len(kept) < 40


def test_what_is_no_regular_file_is_left_alone(backend: LocalBackend, root: Path) -> None:
    os.mkfifo(root / "casstore.events")
    backend.events.note([saved(1)])

    assert backend.events.read()[0] == []


def test_a_link_is_not_followed(backend: LocalBackend, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine\n")
    (root / "casstore.events").symlink_to(tmp_path / "elsewhere")
    backend.events.note([saved(1)])

    assert backend.events.read()[0] == []
    assert (tmp_path / "elsewhere").read_text() == "mine\n"


# A database without the table


def test_a_store_of_before_there_were_events_has_none(backend: LocalBackend, root: Path) -> None:
    without_table(root)

    assert backend.events.read()[0] == []


def test_the_first_event_makes_the_table(backend: LocalBackend, root: Path) -> None:
    without_table(root)
    place = backend.events.read()[1]
    pin(backend, 1)
    pin(backend, 2)

    assert numbers(backend.events.read(place)[0]) == ["1", "2"]


def test_a_table_that_is_made_goes_with_the_change_that_fails(
    backend: LocalBackend, root: Path
) -> None:
    without_table(root)
    with changing(backend) as edits:
        edits.set_meta("setting.x", 1)
        edits.record("pin", IMAGE)
        edits.rollback()

    with closing(sqlite3.connect(root / "casstore.db")) as database:
        tables = database.execute("SELECT name FROM sqlite_schema WHERE name = 'event'")
        assert tables.fetchall() == []


def test_what_is_wrong_with_the_table_is_told(backend: LocalBackend, root: Path) -> None:
    with closing(sqlite3.connect(root / "casstore.db")) as database:
        database.execute("DROP TABLE event")
        database.execute("CREATE TABLE event (id INTEGER PRIMARY KEY)")
    with pytest.raises(Damaged):
        pin(backend)


def test_events_of_another_database_in_its_place_are_all_new(
    backend: LocalBackend, root: Path
) -> None:
    for number in range(5):
        pin(backend, number)
    place = backend.events.read()[1]
    with closing(sqlite3.connect(root / "casstore.db")) as database:
        database.execute("DELETE FROM event")
        database.commit()
    pin(backend, 9)

    assert numbers(backend.events.read(place)[0]) == ["9"]


# One who may only read


def test_who_reads_a_copy_of_the_index_sees_what_comes_later(
    backend: LocalBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(backend, 1)
    backend.close()
    reader = LocalBackend(str(root))
    monkeypatch.setattr(reader.directory, "is_writable", bool)
    found, place = reader.events.read()
    assert numbers(found) == ["1"]
    assert not (root / "casstore.db-shm").exists()

    pin(backend, 2)
    backend.close()
    found, place = reader.events.read(place)
    assert numbers(found) == ["2"]
    assert reader.events.read(place)[0] == []
    reader.close()


def test_as_many_events_of_a_change_wait_as_are_kept_of_all() -> None:
    assert EVENTS_KEPT >= MOST
