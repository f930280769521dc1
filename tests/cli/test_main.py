from __future__ import annotations

import errno
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from zstandard import ZstdError

from casstore.cli.helppages import STATUSES, grouped
from casstore.cli.main import COMMANDS, GLOBAL, load_command, main
from casstore.cli.options import Command
from casstore.errors import Damaged, Locked
from casstore.store import Store
from tests.cli.fakes import FakeStore, Run


def every_command() -> list[Command]:
    found = []
    for name in COMMANDS:
        module = load_command(name)
        below = getattr(module, "SUBCOMMANDS", {})
        found += [module.HELP, *(command for command, _ in below.values())]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_each_ones_own_summary(name: str) -> None:
    assert load_command(name).HELP.summary == COMMANDS[name]
    assert load_command(name).HELP.name == name


@pytest.mark.parametrize("command", every_command(), ids=lambda command: command.name)
def test_every_help_page_is_narrow_and_ends_with_the_exit_statuses(
    run: Run, command: Command
) -> None:
    result = run(*command.name.split(), "--help")
    assert (result.status, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 103
    families = {word for word, *below in (c.name.split() for c in every_command()) if below}
    if command.name not in families:  # each command of a family has its own statuses
        tail = result.out.split("\nExit status:\n")[1].splitlines()
        assert [int(line.split()[0]) for line in tail] == [code for code, _ in command.exits]
        assert 2 in [code for code, _ in command.exits]


@pytest.mark.parametrize("command", every_command(), ids=lambda command: command.name)
def test_no_command_declares_a_letter_twice(command: Command) -> None:
    letters = [option.short for option in command.options if option.short]
    names = [option.name for option in command.options]
    assert len(letters) == len(set(letters))
    assert len(names) == len(set(names))


def test_help_shows_every_command_once_in_a_group() -> None:
    shown = [name for _, pairs in grouped(COMMANDS) for name, _ in pairs]
    assert sorted(shown) == sorted(COMMANDS)


def test_help_explains_every_status_that_a_command_has_beyond_its_own_0_and_1(run: Run) -> None:
    told = {status for command in every_command() for status, _ in command.exits}
    families = {126, 127}  # of `lease run`: what the command that it ran may give
    assert told - families <= {status for status, _ in STATUSES}
    tail = run("--help").out.split("\nExit status:\n")[1]
    assert all(f"\n  {status} " in f"\n{tail}" for status, _ in STATUSES)


def test_help_lists_the_commands(run: Run) -> None:
    result = run("--help")
    assert result.status == 0
    assert result.out.startswith("Usage:  casstore [OPTIONS] COMMAND\n")
    assert "\n  rmi       Remove one or more images\n" in result.out


def test_no_command_at_all_is_wrong_usage(run: Run) -> None:
    result = run()
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("Usage:  casstore [OPTIONS] COMMAND\n")


@pytest.mark.parametrize("words", [("nosuch",), ("image", "nosuch"), ("lease", "nosuch")])
def test_an_unknown_command_is_wrong_usage(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.status == 2
    assert result.err.startswith(
        f"casstore: '{' '.join(words)}' is not a casstore command\nSee 'cass"
    )


def test_a_command_of_control_characters_is_shown_escaped(run: Run) -> None:
    assert "'\\x1b[2J' is not" in run("\x1b[2J").err


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").out.startswith("casstore ")


@pytest.mark.parametrize("words", [("image", "rm"), ("image", "remove"), ("rmi",)])
def test_the_longer_names_of_docker_are_the_same_commands(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words, "--help").out.startswith("Usage:  casstore rmi [OPTIONS]")


@pytest.mark.parametrize("words", [("image",), ("image", "--help"), ("system", "--help")])
def test_a_family_lists_its_members(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage:  casstore {words[0]} COMMAND\n")


def test_the_store_is_the_option_then_the_environment_then_the_data_directory(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/user")
    opened = []
    for setting, value in (
        (None, ""),
        ("XDG_DATA_HOME", "relative"),
        ("XDG_DATA_HOME", "/data"),
        ("CASSTORE_STORE", "/env"),
    ):
        if setting:
            monkeypatch.setenv(setting, value)
        run("tag", "a", "b")
        opened.append(store.opened)
    run("--store", "/opt", "tag", "a", "b")
    opened.append(store.opened)
    assert opened == [
        ("/home/user/.local/share/casstore", 60.0),
        ("/home/user/.local/share/casstore", 60.0),
        ("/data/casstore", 60.0),
        ("/env", 60.0),
        ("/opt", 60.0),
    ]


def test_the_lock_timeout_is_the_option_then_the_environment(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASSTORE_LOCK_TIMEOUT", "5")
    run("--store=/s", "tag", "a", "b")
    assert store.opened == ("/s", 5.0)
    run("--store=/s", "--lock-timeout", "0.5", "tag", "a", "b")
    assert store.opened == ("/s", 0.5)


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", ""])
def test_a_lock_timeout_is_a_number_of_seconds(run: Run, value: str) -> None:
    assert run("--lock-timeout", value, "tag", "a", "b") == (
        2,
        "",
        (
            f'invalid argument "{value}" for "--lock-timeout" flag: '
            "a number of seconds, 0 or more, is needed\nSee 'casstore --help'.\n"
        ),
    )


def test_an_empty_store_option_is_refused(run: Run) -> None:
    assert run("--store=", "images").status == 2


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (Locked("the store is locked"), 11, "Error: the store is locked"),
        (Damaged("blob x is gone"), 12, "Error: blob x is gone"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (KeyboardInterrupt(2), 130, "Interrupted"),
        (KeyboardInterrupt(15), 143, "Terminated"),
        (MemoryError(), 1, "Error: out of memory"),
        (RuntimeError("can't start new thread"), 1, "Error: out of memory, or of threads"),
        (
            ValueError("[digital envelope routines] malloc failure"),
            1,
            "Error: out of memory, or of threads",
        ),
        (
            OverflowError("timestamp too large to convert to C _PyTime_t"),
            1,
            "Error: the clock is set to a date after 2262, later than Python's clock can hold",
        ),
        (
            ZstdError("cannot compress: Allocation error : not enough memory"),
            1,
            "Error: out of memory, or of threads",
        ),
        (ImportError("no x"), 1, "Error: a part of casstore cannot be loaded: no x"),
        (sqlite3.OperationalError("no table x"), 1, "Error: cannot use the index: no table x"),
        (RecursionError(), 1, "Error: the input is nested too deeply"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "Error: no space left on device"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a\nb"),
            1,
            "Error: a\\nb: no such file or directory",
        ),
        (
            KeyError("x"),
            70,
            "Error: internal error, a bug in casstore; CASSTORE_DEBUG=1 shows where",
        ),
        (Damaged("two\nlines\x1b[m"), 12, "Error: two\\nlines\\x1b[m"),
    ],
)
def test_every_end_has_one_line_and_a_status(
    run: Run, store: FakeStore, error: BaseException, status: int, line: str
) -> None:
    store.will(Store.tag).give(error)
    assert run("tag", "a", "b") == (status, "", line + "\n")
    assert store.closed


@pytest.mark.parametrize("words", ["images", "tag a b", "rmi a", "df", "gc", "trash ls"])
def test_an_index_without_a_table_is_damaged(
    tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(tmp_path) as made, made.session.change(create=True) as change:
        change.commit()
    with closing(sqlite3.connect(tmp_path / "casstore.db")) as database:
        for table in ("reference", "image", "trash", "doomed"):
            database.execute(f"ALTER TABLE {table} RENAME TO lost_{table}")

    status = main(["--store", str(tmp_path), *words.split()])

    assert status == 12
    assert re.fullmatch(
        r"Error: the index \S+/casstore\.db is damaged \(no such table: \w+\);"
        r" run: casstore fsck --rebuild\n",
        capsys.readouterr().err,
    )


def test_a_reader_that_has_left_is_no_message(run: Run, store: FakeStore) -> None:
    store.will(Store.tag).give(BrokenPipeError())
    assert run("tag", "a", "b") == (1, "", "")


def test_a_traceback_is_shown_only_where_it_is_asked_for(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASSTORE_DEBUG", "1")
    store.will(Store.tag).give(KeyError("x"))
    assert "Traceback" in run("tag", "a", "b").err


def test_the_store_option_belongs_before_the_command(run: Run) -> None:
    assert run("images", "--store", "/x").status == 2


def test_the_global_options_have_a_page_of_their_own() -> None:
    assert {option.name for option in GLOBAL.options} == {"store", "lock-timeout", "version"}


def test_the_clock_is_read_in_nanoseconds() -> None:
    from casstore.cli.app import App

    assert abs(App("/x", 1.0).now() - time.time_ns()) < 60 * 10**9
