"""Copies of casstore with a bug planted in them, which the crash tests have to find."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from tests.crash.harness import ENVIRONMENT, ROOT


class Bug(NamedTuple):
    """A change of one module, and a scenario in which it does harm."""

    name: str
    module: str
    right: str
    wrong: str
    scenario: str


# Each is a mistake that a store could be made with: a sync left out, or two steps exchanged.
UNSYNCED = (
    Bug("blobs without fsync of their data", "backends/local/ingest.py",
        "durable.sync_files(path for path, _ in self._staged.values())", "pass", "load beside"),
    Bug("names without fsync of their directory", "files/durable.py",
        "    if moved:\n        sync_directory(directory)", "", "load beside"),
    Bug("index.json without fsync of its data", "files/durable.py",
        "os.fsync(self.file.fileno())", "pass", "tag"),
    Bug("SQLite without fsync at each commit", "backends/local/schema.py",
        '            connection.execute(f"PRAGMA synchronous = {connection.flushing}")',
        '            connection.execute("PRAGMA synchronous = NORMAL")',
        # Elsewhere index.json shows that a commit was lost, and the database is made anew from it.
        "rmi in a store published on demand"),
    Bug("a log that is there without fsync at each commit", "backends/local/log.py",
        "            durable.sync_data(self._descriptor)\n", "            pass\n",
        "rmi after a command in a store published on demand"),
    Bug("blobs are unlinked before index.json has its name for good", "change/commit.py",
        "            if blobs is not None:\n                self._flush()\n",
        "            if blobs is not None:\n",
        "rmi after a command"),
    Bug("a new directory without fsync of its parent", "backends/local/care/repair.py",
        "durable.sync_directory(disk.root)", "pass", "fsck --repair of a blob"),
    Bug("a log that stays while its database goes", "backends/local/creation.py",
        'for extra in ("", *_DATABASE_EXTRAS):\n            if os.path.lexists(store.database',
        'for extra in ("",):\n            if os.path.lexists(store.database',
        "fsck --rebuild after a command"),
)  # fmt: skip
EXCHANGED = (
    Bug("an upgrade is not one transaction", "backends/local/schema.py",
        'f"BEGIN IMMEDIATE; {upgrade_from(version)} COMMIT;"', "upgrade_from(version)",
        "tag in a store of version 2"),
    Bug("blobs are unlinked before the commit", "change/commit.py",
        "        if blobs is not None or changes",
        "        self._backend.blobs.discard(self.index.doomed())\n"
        "        if blobs is not None or changes", "rmi"),
    Bug("blobs get their names after the commit", "change/commit.py",
        "        ingest.publish(self.index.known_among)\n",
        "        first, known = self.commit, self.index.known_among\n"
        "        self.commit = lambda: (first(), ingest.publish(known))\n", "load beside"),
    Bug("index.json is written in place", "files/durable.py",
        "self._target, self._staging, self._flush_name = target, staging, named",
        "self._target = self._staging = staging = target; self._flush_name = named", "tag"),
    Bug("the database of a copy by links is written in place", "backends/local/openindex.py",
        "separate_database(store)\n", "pass\n", "tag beside a copy by links"),
)  # fmt: skip


def plant(bug: Bug, folder: Path) -> dict[str, str]:
    """Make a copy of casstore with the bug; returns the environment in which it runs."""
    package = folder / "planted" / "casstore"
    shutil.copytree(ROOT / "casstore", package, ignore=shutil.ignore_patterns("__pycache__"))
    path = package / bug.module
    text = path.read_text()
    assert text.count(bug.right) == 1, f"{bug.module} has changed: {bug.name}"
    path.write_text(text.replace(bug.right, bug.wrong))
    return {**ENVIRONMENT, "PYTHONPATH": str(package.parent)}
