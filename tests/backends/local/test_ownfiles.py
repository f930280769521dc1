"""The files of a store that are no blobs: what is said of each, and whose rights are given back."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local.care import ownfiles
from casstore.backends.local.care.ownfiles import give_rights_back, root_findings
from casstore.backends.local.directory import LocalStore
from casstore.files import rights
from casstore.model.findings import Finding
from casstore.store import Store
from tests.backends.local.behind import directory_of, view_of
from tests.transfer.building import docker_archive, layer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        store.close()
        yield store


@pytest.fixture
def disk(store: Store) -> LocalStore:
    return directory_of(store)


def told(disk: LocalStore) -> list[tuple[str, str, str]]:
    return [(one.level, one.code, one.object) for one in root_findings(disk)]


# The store's directory


def test_of_a_store_as_casstore_makes_it_there_is_nothing_to_say(disk: LocalStore) -> None:
    assert told(disk) == []
    os.unlink(disk.lock)  # the next change makes it
    assert told(disk) == []


def test_a_directory_that_everybody_can_write_is_told(disk: LocalStore) -> None:
    Path(disk.root).chmod(0o2777)

    (one,) = root_findings(disk)
    text = "mode 2777: everybody can change or remove what is in it"
    assert one == Finding("note", "store-mode", ".", text)


def test_what_is_not_of_the_store_is_told_by_name_and_a_persons_own_is_not(
    disk: LocalStore,
) -> None:
    names = [f"stranger {number:02}" for number in range(20)]
    for name in names:
        Path(disk.root, name).touch()
    Path(disk.root, "a link elsewhere").symlink_to("nowhere")
    Path(disk.policy).symlink_to("nowhere")
    for name in ("quarantine", "casstore.db.damaged-01234567", "casstore.uses"):
        Path(disk.root, name).touch()

    assert told(disk) == [
        ("note", "foreign-file", name) for name in ["a link elsewhere", *names]
    ]  # fmt: skip


def test_links_among_the_parts_are_told_by_name(disk: LocalStore) -> None:
    for number in range(20):
        Path(disk.root, f"casstore.db-{number:02}").symlink_to("nowhere")

    assert told(disk) == [
        ("error", "part-link", f"casstore.db-{number:02}") for number in range(20)
    ]


def test_a_lock_that_is_no_file_is_told_once(disk: LocalStore) -> None:
    os.unlink(disk.lock)
    os.symlink("nowhere", disk.lock)

    (one,) = root_findings(disk)
    text = "not a regular file: no change can be made until it is removed"
    assert one == Finding("error", "lock-bad", "casstore.lock", text)


# Rights


@pytest.mark.parametrize(
    ("part", "mode", "back"),
    [
        (".", 0o500, 0o700), ("blobs", 0o600, 0o700), ("blobs/sha256", 0o070, 0o770),
        ("ingest", 0o000, 0o700), ("oci-layout", 0o044, 0o444), ("index.json", 0o200, 0o600),
        ("casstore.db", 0o444, 0o644), ("casstore.lock", 0o044, 0o644),
    ],
)  # fmt: skip
def test_the_owner_gets_back_what_a_change_needs_and_no_more(
    disk: LocalStore, part: str, mode: int, back: int
) -> None:
    path = Path(disk.root, part)
    path.chmod(mode)

    (one,) = root_findings(disk)
    assert (one.level, one.code, one.object) == ("note", "part-mode", part)
    assert one.text == f"mode {mode:04o}: its owner needs more for a change; fsck --repair"
    assert give_rights_back(disk) == [f"{part} had mode {mode:04o}: its owner can change it again"]
    assert path.stat().st_mode & 0o777 == back
    assert told(disk) == []


def test_what_is_missing_or_no_file_has_no_rights_to_be_given_back(disk: LocalStore) -> None:
    os.unlink(disk.layout.path)
    os.mkfifo(disk.layout.path, 0o000)
    os.unlink(Path(disk.root, "oci-layout"))
    Path(disk.lock).chmod(0o444)  # behind both

    assert give_rights_back(disk) == [
        "casstore.lock had mode 0444: its owner can change it again"
    ]  # fmt: skip
    assert os.lstat(disk.layout.path).st_mode & 0o777 == 0


def test_what_another_user_owns_hides_nothing(
    disk: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_mode = rights.change_mode

    def but_one(path: str, mode: int) -> bool:
        if path.endswith("index.json"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return change_mode(path, mode)

    monkeypatch.setattr(rights, "change_mode", but_one)
    Path(disk.layout.path).chmod(0o000)
    Path(disk.lock).chmod(0o444)

    assert give_rights_back(disk) == [
        "casstore.lock had mode 0444: its owner can change it again"
    ]  # fmt: skip


# index.json


def published(store: Store) -> list[tuple[str, str, str]]:
    return [
        (one.level, one.code, one.text)
        for one in store.check().findings
        if one.object == "index.json"
    ]


def set_generation(store: Store, number: int) -> None:
    view_of(store).connection.execute(
        "UPDATE meta SET value = ? WHERE key = 'generation'", (number,)
    )


AGAIN = "the next change writes it again"
OLD = "newer than casstore.db, as if an old copy of that had been put back; the next change"


def withdraw(store: Store) -> None:
    directory_of(store).layout.withdraw()


def rename(store: Store) -> None:
    path = Path(directory_of(store).layout.path)
    path.write_bytes(path.read_bytes().replace(b"a:1", b"q:1"))


@pytest.mark.parametrize(
    ("spoil", "level", "code", "text"),
    [
        (lambda store: os.unlink(directory_of(store).layout.path), "warn", "index-missing", AGAIN),
        (withdraw, "warn", "index-stale", AGAIN),
        (lambda store: set_generation(store, 99), "warn", "index-stale", AGAIN),
        (lambda store: set_generation(store, 0), "error", "db-outdated",
         f"{OLD} makes casstore.db again"),
        (rename, "error", "index-bad", "differs from the database"),
    ],
    ids=["missing", "withdrawn", "older", "newer", "other"],
)  # fmt: skip
def test_what_is_wrong_with_index_json_is_told(
    store: Store,
    spoil: Callable[[Store], object],
    level: str,
    code: str,
    text: str,
) -> None:
    assert published(store) == []
    spoil(store)

    assert published(store) == [(level, code, text)]


def test_what_cannot_be_parsed_is_told_with_the_reason(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownfiles, "_PAUSE", 0)
    Path(directory_of(store).layout.path).write_bytes(b"{")

    ((level, code, text),) = published(store)
    assert (level, code) == ("error", "index-bad")
    assert text.startswith("not as casstore wrote it (") and text.endswith(f"); {AGAIN}")


def test_what_is_published_on_demand_is_a_note(store: Store) -> None:
    store.publish(on_demand=True)
    store.tag("a:1", "b:1")

    assert published(store) == [("note", "index-withdrawn", "published on demand")]


def test_an_index_json_that_the_disk_does_not_give_is_no_bad_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def failing(path: str, *rest: int, **more: int) -> int:
        if path == directory_of(store).layout.path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", failing)
    ((level, code, text),) = published(store)

    assert (level, code) == ("error", "index-unreadable")
    assert text.startswith("cannot be read: input/output error; nothing is changed until it can be")


def test_an_index_json_that_is_behind_is_looked_at_until_it_is_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others commit, and publish milliseconds later; and they go on with that while it looks."""
    slept: list[float] = []
    path = Path(directory_of(store).layout.path)
    now = view_of(store).meta("generation")
    assert isinstance(now, int)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            with Store(store.path) as other:
                other.tag("a:1", "b:1")

    monkeypatch.setattr("casstore.backends.local.care.ownfiles.time.sleep", sleep)
    old = path.read_bytes()
    path.write_bytes(old.replace(b"%020d" % now, b"%020d" % (now - 1)))

    assert published(store) == []
    assert slept == [ownfiles._PAUSE] * 2


def test_an_index_json_that_stays_behind_is_looked_at_some_times_and_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[Any] = []
    monkeypatch.setattr("casstore.backends.local.care.ownfiles.time.sleep", slept.append)
    set_generation(store, 99)

    assert [code for _, code, _ in published(store)] == ["index-stale"]
    assert slept == [ownfiles._PAUSE] * (ownfiles._LOOKS - 1)
