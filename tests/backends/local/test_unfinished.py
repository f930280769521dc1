"""What gc says that a stopped change left: counted before it goes, and again when it has gone."""

from __future__ import annotations

import os
from pathlib import Path

from casstore.backends.local.backend import LocalBackend
from casstore.model.digest import Digest, sha256
from tests.contract.opening import NOW


def doom(backend: LocalBackend, *digests: Digest) -> None:
    connection = backend.view(NOW).connection
    connection.executemany("INSERT INTO doomed VALUES (?)", [(digest.raw,) for digest in digests])


def path_of(backend: LocalBackend, digest: Digest) -> Path:
    return Path(backend.blobs.path(digest))


def test_a_doomed_blob_counts_once_its_file_has_gone(backend: LocalBackend) -> None:
    there = sorted(sha256(b"%d" % number) for number in range(4))
    missing, linked, stays, last = there  # doomed blobs come by digest
    for size, digest in enumerate((linked, stays, last), 1):
        path_of(backend, digest).write_bytes(bytes(10**size))
    os.link(path_of(backend, linked), Path(backend.where, "other name"))
    doom(backend, *there)

    unfinished = backend.unfinished()

    assert unfinished.would_go() == (0, 0, 0)  # a dry run counts them with the orphans
    assert unfinished.gone() == (0, 0, 0)
    path_of(backend, linked).unlink()
    assert unfinished.gone() == (1, 0, 0)  # its bytes are somebody else's, too
    path_of(backend, last).unlink()
    assert unfinished.gone() == (2, 0, 1000)
    assert missing not in os.listdir(backend.blobs.directory) and path_of(backend, stays).exists()


def test_staging_of_the_dead_counts_beforehand_and_once_it_has_gone(backend: LocalBackend) -> None:
    area = Path(backend.directory.ingest)
    for name, size in (("load-1", 10), ("load-2", 200)):
        (area / name).mkdir()
        (area / name / "draft").write_bytes(bytes(size))

    unfinished = backend.unfinished()

    assert unfinished.would_go() == (0, 2, 210)
    (area / "load-2" / "draft").unlink()
    (area / "load-2").rmdir()
    assert unfinished.gone() == (0, 1, 200)
