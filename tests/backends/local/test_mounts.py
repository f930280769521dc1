"""A network file system is known by its name in the kernel's list of mounts."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from casstore.files.mounts import network_file_system
from casstore.store import Store, store_of
from casstore.store.session import Session
from tests.transfer.building import docker_archive, layer

LINES = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:28 / /run rw,nosuid - tmpfs tmpfs rw
41 22 0:51 /export /mnt/with\\040blank rw,relatime shared:7 master:2 - {kind} server:/export rw
"""


STATUS = os.stat_result((0, 0, os.makedev(0, 51), 0, 0, 0, 0, 0, 0, 0))


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    seen = os.stat  # which pytest needs as well

    def status(
        path: str | os.PathLike[str] | int,
        *,
        dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> os.stat_result:
        if path == "/store":
            return STATUS
        return seen(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "stat", status)
    return tmp_path / "mountinfo"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs", "9p", "ceph"])
def test_a_network_file_system_is_named(mounts: Path, kind: str) -> None:
    mounts.write_text(LINES.format(kind=kind))

    assert network_file_system("/store", str(mounts)) == kind


@pytest.mark.parametrize("kind", ["btrfs", "overlay", "tmpfs", "zfs", "fuse.bindfs"])
def test_a_local_file_system_is_none(mounts: Path, kind: str) -> None:
    mounts.write_text(LINES.format(kind=kind))

    assert network_file_system("/store", str(mounts)) is None


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 0:51\n", "1 2 0:5 / / - nfs x\n"])
def test_a_list_that_does_not_say_is_no_network(mounts: Path, text: str) -> None:
    mounts.write_text(text)

    assert network_file_system("/store", str(mounts)) is None


def test_without_a_list_nothing_is_known(mounts: Path) -> None:
    assert network_file_system("/store", str(mounts)) is None


def test_a_change_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casstore.backends.local.backend.os.major", lambda _: 0)
    monkeypatch.setattr("casstore.files.mounts.network_file_system", lambda _: "nfs4")
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        store.gc()
        (notice,) = store.notices
    assert "network file system (nfs4)" in notice


def test_a_warning_that_is_not_wanted_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casstore.backends.local.backend.os.major", lambda _: 0)
    monkeypatch.setattr("casstore.files.mounts.network_file_system", lambda _: "nfs4")
    session = Session.of_directory(str(tmp_path / "store"), cautious=False)
    with store_of(session, Store) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("a")], "tags": ["a:1"]})))
        assert store.notices == []
