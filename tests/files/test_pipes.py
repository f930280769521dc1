"""Pipes that hold more."""

from __future__ import annotations

import fcntl
import io
import os
from pathlib import Path

from casstore.files.pipes import ROOM, widen


def test_a_pipe_holds_a_mebibyte() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb") as stream:
        widen(stream)

        assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) == ROOM == 1 << 20


def test_what_is_no_pipe_stays_as_it_is(tmp_path: Path) -> None:
    memory = io.BytesIO(b"here")
    with open(tmp_path / "file", "wb") as file:
        widen(memory)
        widen(file)

    assert memory.getvalue() == b"here"
    assert (tmp_path / "file").read_bytes() == b""
