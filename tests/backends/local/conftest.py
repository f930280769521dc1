"""A backend in a directory, and what it asks of the system while a test runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local.backend import LocalBackend
from tests.contract.opening import changing


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LocalBackend]:
    """A new store, after its first change."""
    with closing(LocalBackend(str(tmp_path / "store"))) as backend:
        backend.create()
        with changing(backend) as edits:
            edits.commit()
        yield backend


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files and directories that are flushed, by their paths at that moment."""
    found: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return found


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each sleep, which happens all the same."""
    found: list[float] = []
    real = time.sleep

    def sleep(seconds: float) -> None:
        found.append(seconds)
        real(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    return found
