"""The files of a folder as one value: to put them back, and to tell whether two states are alike.

A sweep stops one command at thousands of points and finds the same few states again and again.
What is wrong with a state does not depend on how it came about, so each is looked at once. Two
states are the same here only if every file of theirs is: its name, kind, rights and bytes. What
differs from run to run, and means nothing, is left out: the process in the name of a staging
folder, the text in the lock file, the very nanosecond of a time. A database is compared by what
SQLite reads from it, log included, after SQLite's own check of it; one that fails it by its bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

CHANCE = re.compile(r"(?<=[-.])(\d+-)?[0-9a-f]{8,12}(?=\.|/|$)|(?<=^out\.)[^/]+(?=\.part$)")
TIMES = re.compile(rb"\b\d{20}\b")
DATABASE = "casstore.db"
BESIDE = ("", "-wal")  # of a database: what SQLite reads; the -shm is built anew from the log
HOUR = 3_600_000_000_000  # nanoseconds
YEAR = 366 * 24 * HOUR
T = TypeVar("T")


class File(NamedTuple):
    """A file as it is on the disk."""

    mode: int
    data: bytes  # of a file; the target of a symbolic link; nothing of anything else


Tree = dict[str, File]  # by path below the folder, folders before what is in them


def read_tree(path: Path) -> Tree:
    """All that is below a path: nothing if there is nothing."""
    return dict(_walk(str(path), "")) if os.path.lexists(path) else {}


def _walk(path: str, name: str) -> Iterator[tuple[str, File]]:
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        yield name, File(mode, b"")
        for child in sorted(os.listdir(path)):
            yield from _walk(f"{path}/{child}", f"{name}/{child}" if name else child)
    elif stat.S_ISLNK(mode):
        yield name, File(mode, os.fsencode(os.readlink(path)))
    else:
        with open(path, "rb") if stat.S_ISREG(mode) else open(os.devnull, "rb") as file:
            yield name, File(mode, file.read())


def write_tree(tree: Tree, path: Path) -> None:
    """Make a path hold these files and no others, with their rights; no links, no sockets."""
    if os.path.lexists(path):
        shutil.rmtree(path)
    for name, (mode, data) in tree.items():
        where = f"{path}/{name}" if name else str(path)
        if stat.S_ISDIR(mode):
            os.mkdir(where)
        else:
            with open(where, "wb") as file:
                file.write(data)
        os.chmod(where, stat.S_IMODE(mode))


def fingerprint(*paths: Path) -> bytes:
    """What is below the paths, as a hash that two states share only if they are the same."""
    hashed = hashlib.blake2b(digest_size=16)
    for path in paths:
        tree = read_tree(path)
        known = from_database(tree, _content, b"")
        for name, (mode, data) in tree.items():
            if name.endswith(f"{DATABASE}-shm"):
                continue
            if known and name in (DATABASE, f"{DATABASE}-wal"):
                data = known + bytes([not data])  # noqa: PLW2901 - its bytes mean no more
            elif name.endswith("casstore.lock"):
                data = b""  # noqa: PLW2901
            elif name in ("casstore.uses", "casstore.events"):
                data = TIMES.sub(b"time", data)  # noqa: PLW2901
            hashed.update(f"{CHANCE.sub('*', name)}\0{mode}\0{len(data)}\0".encode())
            hashed.update(data)
        hashed.update(b"\0\0")
    return hashed.digest()


def from_database(tree: Tree, look: Callable[[sqlite3.Connection], T], nothing: T) -> T:
    """What a look finds in the database of a store; `nothing` where none can be read."""
    files = {extra: tree[DATABASE + extra] for extra in BESIDE if DATABASE + extra in tree}
    if "" not in files:
        return nothing
    with tempfile.TemporaryDirectory() as folder:  # reading a log changes files
        for extra, file in files.items():
            Path(folder, DATABASE + extra).write_bytes(file.data)
        try:
            with closing(sqlite3.connect(os.path.join(folder, DATABASE))) as connection:
                return look(connection)
        except sqlite3.Error:
            return nothing


def _content(connection: sqlite3.Connection) -> bytes:
    """What SQLite reads from it; nothing if it is not sound."""
    if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        return b""
    hashed = hashlib.blake2b()
    for pragma in ("user_version", "application_id", "journal_mode", "page_size"):
        hashed.update(repr(connection.execute(f"PRAGMA {pragma}").fetchall()).encode())
    schema = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
    for kind, name, sql in schema.fetchall():
        hashed.update(f"{kind} {name} {sql}".encode())
        if kind == "table":
            for row in sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr):  # noqa: S608
                hashed.update(repr([_rounded(value) for value in row]).encode())
    return hashed.digest()


def _rounded(value: object) -> object:
    """A time near ours as hours from now: the commands of a sweep run within an hour."""
    if isinstance(value, int) and abs(value - time.time_ns()) < YEAR:
        return f"now and {round((value - time.time_ns()) / HOUR)} h"
    return value
