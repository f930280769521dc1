"""A command line on a fake store, at a fixed time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from casstore.cli import main as main_module
from casstore.cli.app import App
from tests.cli.fakes import NOW, FakeStore, Result, Run


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC, wherever the test runs."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def run(
    store: FakeStore,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    utc: None,
) -> Run:
    """Run a command line in this process, at a fixed time in UTC."""
    monkeypatch.setattr(App, "now", lambda _self: NOW)
    for name in ("CASSTORE_STORE", "CASSTORE_LOCK_TIMEOUT", "CASSTORE_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def opener(path: str, lock_timeout: float) -> FakeStore:
        store.opened = (path, lock_timeout)
        return store

    def command(*words: str) -> Result:
        status = main_module.main(words, opener)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return command
