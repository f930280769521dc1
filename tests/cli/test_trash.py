"""trash, restore, config and --keep on the command line."""

from __future__ import annotations

import json
import re

import pytest

from casstore.errors import NotFound, UsageError
from casstore.model.digest import Digest
from casstore.model.removal import Outcome, PruneResult, RemovalResult
from casstore.results.settings import SettingValue
from casstore.results.trash import EmptiedTrash, RestoreResult, TrashEntry
from casstore.store import Store
from casstore.store.settings import Settings
from casstore.store.trash import Trash
from tests.cli.fakes import ID, NOW, FakeStore, Run, deleted, ref, untagged

DAY = 86400 * 10**9
IMAGE = Digest.of_hex(ID)
PARENT = Digest.of_hex("ab" * 32)
ENTRIES = [
    TrashEntry(12, (ref("app:1"), ref("app:2")), (IMAGE, PARENT), NOW - 3 * DAY, NOW + DAY, 2500),
    TrashEntry(3, (), (PARENT,), NOW - 9 * DAY, NOW - DAY, 0),
]
SETTING = SettingValue("trash.keep", "7d", "0", is_set=True, help="how long")


def test_the_trash_is_a_table(run: Run, store: FakeStore) -> None:
    store.will(Trash.list).give(ENTRIES)

    lines = run("trash", "ls").out.splitlines()

    assert lines[0].split("  ")[0] == "ID"
    assert [re.split(r"\s{2,}", line) for line in lines] == [
        ["ID", "NAMES", "IMAGE ID", "REMOVED", "EXPIRES", "SIZE"],
        ["12", "app:1 app:2", "fd484f19954f", "3 days ago", "in 24 hours", "2.5 kB"],
        ["3", "<none>", "abababababab", "9 days ago", "expired", "0 B"],
    ]


def test_the_trash_in_json_has_all_of_an_entry(run: Run, store: FakeStore) -> None:
    store.will(Trash.list).give(ENTRIES)

    first, second = map(json.loads, run("trash", "ls", "--format", "json").out.splitlines())

    assert first == {
        "ID": 12, "Names": ["app:1", "app:2"], "Image": IMAGE.short, "Images": [IMAGE.short,
        PARENT.short], "Removed": "3 days ago", "RemovedAt": "2013-12-08T06:00:00Z",
        "Expires": "in 24 hours", "ExpiresAt": "2013-12-12T06:00:00Z", "Size": "2.5 kB",
        "SizeBytes": 2500,
    }  # fmt: skip
    assert second["Expires"] == "expired"


def test_the_numbers_alone(run: Run, store: FakeStore) -> None:
    store.will(Trash.list).give(ENTRIES)

    assert run("trash", "ls", "-q") == (0, "12\n3\n", "")


def test_a_template_for_the_trash(run: Run, store: FakeStore) -> None:
    store.will(Trash.list).give(ENTRIES)

    result = run("trash", "ls", "--no-trunc", "--format", "{{.ID}} {{.Image}}")

    assert result.out == f"12 {IMAGE.hex}\n3 {PARENT.hex}\n"


def test_emptying_says_what_it_freed(run: Run, store: FakeStore) -> None:
    store.will(Trash.empty).give(EmptiedTrash((12,), 2500))

    assert run("trash", "empty", "12", "app:1") == (0, "Total reclaimed space: 2.5 kB\n", "")
    assert store.calls == [("trash.empty", ("12", "app:1"), {})]


def test_restore_says_what_came_back(run: Run, store: FakeStore) -> None:
    store.will(Trash.restore).give(RestoreResult((PARENT, IMAGE), (ref("app:1"),)))

    result = run("restore", "app:1")

    assert result == (0, f"Restored: {PARENT.hex}\nRestored: {IMAGE.hex}\nTagged: app:1\n", "")
    assert store.calls == [("trash.restore", ("app:1",), {"name": None})]


def test_restore_under_another_name(run: Run, store: FakeStore) -> None:
    store.will(Trash.restore).give(RestoreResult((), (ref("app:3"),)))

    assert run("restore", "--as", "app:3", "12").out == "Tagged: app:3\n"
    assert run("restore", "--as", "app:3", "12", "13").status == 2
    assert run("restore").status == 2


def test_what_cannot_be_restored_is_an_error(run: Run, store: FakeStore) -> None:
    store.will(Trash.restore).give(NotFound('"x" is not in the trash'))

    assert run("restore", "x") == (1, "", 'Error: "x" is not in the trash\n')


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400.0), ("0", 0.0), ("1h30m", 5400.0)])
def test_keep_reaches_the_store(run: Run, store: FakeStore, text: str, seconds: float) -> None:
    store.will(Store.remove).give(RemovalResult((), 0, 0))
    store.will(Store.prune).give(PruneResult((), 0, 0))

    run("rmi", "--keep", text, "app:1")
    run("prune", "-f", f"--keep={text}")

    assert [call[2]["keep"] for call in store.calls] == [seconds, seconds]


@pytest.mark.parametrize("command", [("rmi", "app:1"), ("prune", "-f")])
def test_a_keep_that_is_no_duration_is_wrong_usage(
    run: Run, store: FakeStore, command: tuple[str, ...]
) -> None:
    result = run(*command, "--keep", "always")

    assert result.status == 2
    assert result.err.startswith('invalid argument "always" for "--keep" flag: expected a duration')
    assert store.calls == []


def test_rmi_in_json_names_the_entry_of_the_trash(run: Run, store: FakeStore) -> None:
    lines = (untagged("app:1"), deleted(ID, size=0))
    store.will(Store.remove).give(RemovalResult((Outcome("app:1", lines, None, (), 12),), 0, 0))

    out = run("rmi", "--format", "json", "app:1").out.splitlines()

    assert [json.loads(line) for line in out] == [
        {"Untagged": "app:1"}, {"Deleted": ID, "Role": "image", "Size": 0}, {"Trash": 12},
        {"Freed": 0},
    ]  # fmt: skip


def test_gc_can_empty_the_trash(run: Run, store: FakeStore) -> None:
    from casstore.results.upkeep import GcResult

    store.will(Store.gc).give(GcResult(1, 0, 10, ("2 entries of the trash removed",)))

    assert run("gc", "--empty-trash").out.startswith("2 entries of the trash removed\n")
    assert store.calls == [("gc", (), {"dry_run": False, "empty_trash": True})]


def test_settings_are_listed_and_read(run: Run, store: FakeStore) -> None:
    store.will(Settings.list).give([SETTING], [SETTING], [SETTING], [SETTING])

    assert run("config", "ls").out.splitlines()[1].split() == ["trash.keep", "7d", "0", "how",
                                                               "long"]  # fmt: skip
    assert json.loads(run("config", "ls", "--format", "json").out) == {
        "Name": "trash.keep", "Value": "7d", "Default": "0", "IsSet": True, "Help": "how long",
    }  # fmt: skip
    assert run("config", "get", "trash.keep").out == "7d\n"
    assert run("config", "get", "nosuch") == (1, "", 'Error: No such setting: "nosuch"\n')


def test_settings_are_set_and_unset(run: Run, store: FakeStore) -> None:
    assert run("config", "set", "trash.keep", "24h") == (0, "", "")
    assert run("config", "unset", "trash.keep") == (0, "", "")
    assert store.calls == [
        ("settings.set", ("trash.keep", "24h"), {}), ("settings.unset", ("trash.keep",), {}),
    ]  # fmt: skip


def test_a_value_that_a_setting_does_not_take_is_wrong_usage(run: Run, store: FakeStore) -> None:
    store.will(Settings.set).give(UsageError("invalid value"))

    assert run("config", "set", "trash.keep", "x").status == 2
