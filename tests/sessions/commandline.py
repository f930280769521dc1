"""casstore's command line, run in this process: fast enough to replay hundreds of commands."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import NamedTuple

from casstore.cli.main import main


class Result(NamedTuple):
    status: int
    out: str
    err: str


def casstore(store: str, words: Sequence[str], stdin: bytes = b"") -> Result:
    """`casstore --store STORE WORDS...` with these bytes on its standard input."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _stdin(io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
    ):
        status = main(["--store", store, *words])
    return Result(status, *(_text(stream) for stream in (out, err)))


class _stdin(contextlib._RedirectStream[io.TextIOWrapper]):  # noqa: N801 - as its siblings
    _stream = "stdin"


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()
