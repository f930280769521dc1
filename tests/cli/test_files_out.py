"""export, unpack and cp: what they ask of the store, what they say, and where they refuse."""

from __future__ import annotations

import pytest

from casstore.errors import Refused
from casstore.files.treewriter import WrittenFiles
from casstore.store import Store
from tests.cli.fakes import FakeStore, Run
from tests.cli.test_commands import Stream

ALL_KEPT = WrittenFiles(3, 0, 0, 0)


# export


def test_export_writes_to_the_file_given(run: Run, store: FakeStore) -> None:
    assert run("export", "-o", "x.tar", "--platform", "linux/arm64", "app:1") == (0, "", "")
    assert store.calls == [("export", ("app:1", "x.tar"), {"platform": "linux/arm64"})]


def test_export_writes_to_stdout_otherwise(run: Run, store: FakeStore) -> None:
    assert run("export", "app:1").status == 0
    ((_, (image, out), _),) = store.calls
    assert image == "app:1" and not isinstance(out, str)


def test_export_wants_one_image(run: Run) -> None:
    assert run("export").status == 2
    assert run("export", "a", "b").status == 2
    assert run("export", "-o", "", "a").status == 2


# unpack


def test_unpack_says_nothing_where_all_was_kept(run: Run, store: FakeStore) -> None:
    store.will(Store.unpack).give(ALL_KEPT)

    assert run("unpack", "app:1", "dir") == (0, "", "")
    options = {"force": False, "rootless": False, "keep_setid": False, "platform": None}
    assert store.calls == [("unpack", ("app:1", "dir"), options)]


def test_unpack_hands_its_options_on(run: Run, store: FakeStore) -> None:
    store.will(Store.unpack).give(ALL_KEPT)

    run("unpack", "--force", "--rootless", "--keep-setid", "--platform", "linux/arm", "a", "d")

    assert store.calls[0][2] == {
        "force": True, "rootless": True, "keep_setid": True, "platform": "linux/arm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (WrittenFiles(9, 1, 0, 0), "1 device was left out: only root can make them"),
        (WrittenFiles(9, 2, 0, 0), "2 devices were left out: only root can make them"),
        (
            WrittenFiles(9, 0, 0, 3),
            "3 files were written without set-user-ID and set-group-ID (--keep-setid keeps them)",
        ),
        (
            WrittenFiles(9, 0, 1, 0),
            "1 extended attribute was not kept: not for this user, or not on this file system",
        ),
    ],
)
@pytest.mark.parametrize("command", ["unpack", "cp"])
def test_what_was_not_kept_is_told(
    run: Run, store: FakeStore, written: WrittenFiles, said: str, command: str
) -> None:
    store.will(Store.unpack).give(written)
    store.will(Store.copy_files).give(written)

    image = "app:1:/etc" if command == "cp" else "app:1"
    assert run(command, image, "dir") == (0, "", f"Warning: {said}\n")


def test_unpack_tells_a_refusal_in_one_line(run: Run, store: FakeStore) -> None:
    store.will(Store.unpack).give(Refused("no"))

    assert run("unpack", "app:1", "dir") == (1, "", "Error: no\n")


def test_unpack_wants_an_image_and_a_directory(run: Run) -> None:
    assert run("unpack", "a").status == 2
    assert run("unpack", "a", "b", "c").status == 2


# cp


def test_cp_copies_a_path_of_an_image(run: Run, store: FakeStore) -> None:
    store.will(Store.copy_files).give(ALL_KEPT)

    assert run("cp", "-a", "-L", "localhost:5000/app:1:/etc/passwd", "here") == (0, "", "")
    options = {"owners": True, "keep_setid": False, "follow_link": True, "platform": None}
    assert store.calls == [
        ("copy_files", ("localhost:5000/app:1", b"/etc/passwd", "here"), options)
    ]


def test_cp_writes_a_tar_to_stdout(run: Run, store: FakeStore) -> None:
    store.will(Store.copy_files).give(None)

    assert run("cp", "app:1:/etc", "-") == (0, "", "")
    assert not isinstance(store.calls[0][1][2], str)


def test_cp_wants_a_path_and_a_destination(run: Run) -> None:
    assert run("cp", "app:1", "here") == (
        2,
        "",
        "no path in \"app:1\": use IMAGE:/PATH\nSee 'casstore cp --help'.\n",
    )
    assert run("cp", "app:1:/etc", "").status == 2
    assert run("cp", "app:1:/etc").status == 2


@pytest.mark.parametrize("words", [("export", "app:1"), ("cp", "app:1:/etc", "-")])
def test_a_tar_does_not_fill_a_terminal(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    terminal = Stream()
    terminal.terminal = True
    monkeypatch.setattr("casstore.cli.app.App.output", lambda _app: terminal)

    result = run(*words)

    assert result.status == 1
    assert result.err.startswith("Error: cowardly refusing to write to a terminal. ")
    assert store.calls == []
