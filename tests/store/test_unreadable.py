"""A blob that the operating system cannot read just now is no corrupt blob."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from casstore import Store
from casstore.disk.blobdir import BlobDirectory
from tests.transfer.building import docker_archive, layer


class Failing(io.BytesIO):
    """A file on a disk that fails."""

    def fileno(self) -> int:
        return 0

    def readinto(self, buffer: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")


def fail(*_: Any) -> bytes:
    raise OSError(errno.EIO, "Input/output error")


def test_a_repair_leaves_a_blob_that_cannot_be_read_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        with monkeypatch.context() as patched:
            patched.setattr(BlobDirectory, "open", lambda *_: Failing())
            patched.setattr(os, "read", fail)
            found = store.check(repair=True)

        assert {finding.code for finding in found.findings} >= {"blob-unreadable"}
        assert not (tmp_path / "store" / "quarantine").exists()
        assert store.check().clean
