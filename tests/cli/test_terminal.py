"""What a stream is taken to be able to show, and the tree that is drawn for it."""

from __future__ import annotations

import io

import pytest

from casstore.cli.main import main
from casstore.cli.terminal import BOLD, Terminal, terminal_of
from casstore.store import Store
from tests.cli.fakes import FakeStore, ref
from tests.cli.test_commands import IMAGE, row


class Stream(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = True) -> None:
        self.written = io.BytesIO()
        super().__init__(self.written, encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_terminal_of_today_can_do_all() -> None:
    assert terminal_of(Stream()) == Terminal(is_terminal=True, colour=True, box=True)


def test_a_pipe_can_do_nothing() -> None:
    assert not any(terminal_of(Stream(terminal=False)))


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_can_do_nothing(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)

    assert not any(terminal_of(Stream()))


@pytest.mark.parametrize(("value", "colour"), [("1", False), ("0", False), ("", True)])
def test_no_color_counts_when_it_is_not_empty(
    monkeypatch: pytest.MonkeyPatch, value: str, *, colour: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", value)

    assert terminal_of(Stream()) == Terminal(is_terminal=True, colour=colour, box=True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r"])
def test_box_drawing_needs_an_encoding_that_has_it(encoding: str) -> None:
    assert terminal_of(Stream(encoding)).box == (encoding == "koi8-r")


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    stream.close()

    assert not terminal_of(stream).is_terminal


def test_a_tree_on_a_terminal_has_lines_and_colours(
    monkeypatch: pytest.MonkeyPatch, store: FakeStore
) -> None:
    stream = Stream()
    monkeypatch.setattr("sys.stdout", stream)
    store.will(Store.tree).give([
        row(0, IMAGE, "base:1", own=7, size=7, stored=3),
        row(1, IMAGE, "app:1", last=True, own=1, size=8, stored=1),
    ])  # fmt: skip
    main(["tree"], lambda _path, _timeout: store)
    stream.flush()
    lines = stream.written.getvalue().decode().splitlines()

    assert lines[0].startswith(f"{BOLD}base:1\x1b[0m  fd484f19954f  ")
    assert lines[1].startswith("\x1b[2m└── \x1b[0m")
    assert ref("app:1").familiar in lines[1]
