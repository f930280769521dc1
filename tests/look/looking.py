"""Small images to look into, and the command line on a store that has them."""

from __future__ import annotations

import io
from typing import Protocol

import pytest

from casstore import Store
from casstore.cli.main import main
from tests.cli.fakes import Result
from tests.look.randomimages import (
    CHARACTER,
    DIRECTORY,
    HARD_LINK,
    SYMLINK,
    Layers,
    Member,
    archive_of,
)

NAME = "look:1"
PASSWD = b"root:x:0:0::/root:/bin/sh\n"
LAYERS: Layers = [
    [
        Member(b"bin", SYMLINK, 0o777, target=b"usr/bin"),
        Member(b"dev", DIRECTORY, 0o755),
        Member(b"dev/null", CHARACTER, 0o666, device=(1, 3)),
        Member(b"etc", DIRECTORY, 0o755),
        Member(b"etc/passwd", content=PASSWD),
        Member(b"etc/old", content=b"old\n"),
        Member(b"out", SYMLINK, 0o777, target=b"../../../../etc/passwd"),
        Member(b"usr/bin/sh", mode=0o755, content=b"\x7fELF shell"),
        Member(b"usr/bin/ash", HARD_LINK, 0o755, target=b"usr/bin/sh"),
    ],
    [
        Member(b"etc/.wh.old"),
        Member(b"etc/name\n\xff\\", content=b"odd"),
        Member(b"etc/passwd", mode=0o600, uid=7, content=PASSWD + b"app:x:7:7::/:/bin/sh\n"),
    ],
]


def store_with(*images: tuple[str, Layers], store: Store | None = None) -> Store:
    """A store with these images, in memory unless one is given."""
    store = store or Store.in_memory()
    for name, layers in images:
        store.load(io.BytesIO(archive_of(layers, name)))
    return store


class Command(Protocol):
    def __call__(self, *words: str) -> Result: ...


def command_on(store: Store, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """The command line on this store."""

    def open_store(_path: str, _timeout: float) -> Store:
        return store

    def command(*words: str) -> Result:
        status = main(["--store", "any", *words], open_store)
        out, err = capfdbinary.readouterr()
        return Result(
            status,
            out.decode("utf-8", "surrogateescape"),
            err.decode("utf-8", "surrogateescape"),
        )

    return command
