"""The backend of a directory: what it says beyond the ports' contracts."""

from __future__ import annotations

import errno
import os
import pickle
from contextlib import closing
from pathlib import Path

import pytest

from casstore.backends.local import leftovers
from casstore.backends.local.backend import LocalBackend
from casstore.backends.local.openindex import OpenIndex
from casstore.backends.local.reserve import LOW_SPACE
from casstore.errors import StorageError
from casstore.files import durable
from casstore.model.lease import HardLease
from tests.backends.local.filesystem import file_system
from tests.contract.opening import NOW, changing
from tests.contract.records import image, name_of

A = image("a", "base top")


def test_what_is_used_and_free_is_as_df_counts_it(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.statvfs_result((4096, 512, 1000, 300, 250, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: status if path == backend.where else None)

    space = backend.space()

    assert (space.total, space.free) == ((700 + 250) * 512, 250 * 512)


def test_a_disk_that_does_not_answer_is_an_error_of_the_store(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving = Path(backend.directory.ingest, "arriving")
    arriving.write_bytes(b"some")
    look = os.lstat

    def refuse(path: str | Path) -> os.stat_result:
        if str(path) in (backend.where, str(arriving)):
            raise OSError(errno.EIO, "Input/output error")
        return look(path)

    monkeypatch.setattr(os, "statvfs", refuse)
    monkeypatch.setattr(os, "lstat", refuse)

    with pytest.raises(StorageError, match=r"^cannot see how full the disk is: input/output"):
        backend.space()
    with pytest.raises(StorageError, match=r"^cannot see what is arriving: input/output"):
        backend.arriving_bytes()


def test_a_disk_that_is_nearly_full_lacks_what_is_to_be_freed(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, lacking in ((LOW_SPACE, 0), (LOW_SPACE - 4096, 4096)):
        monkeypatch.setattr(os, "statvfs", lambda _, free=free: file_system(free))

        assert backend.lacking_bytes() == lacking


def test_leftovers_that_the_system_does_not_let_go_are_an_error_of_the_store(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> tuple[int, int]:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(leftovers, "remove_leftovers", refuse)

    with pytest.raises(StorageError, match=r"^cannot remove temporary files: operation not"):
        backend.remove_leftovers()


def test_what_staging_and_leases_need_is_made_where_it_is_missing(backend: LocalBackend) -> None:
    os.rmdir(backend.directory.ingest)

    backend.prepare_ingest()

    backend.hold("mine", "a test", [A.id]).release()


def test_staging_on_a_full_disk_ends_where_nobody_makes_room(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        closing(backend.begin_ingest(lambda: backend.view(NOW))) as ingest,
        pytest.raises(StorageError, match="no space left on device"),
    ):
        ingest.try_writing(full)


def test_what_arrives_is_what_has_no_other_name(backend: LocalBackend) -> None:
    folder = Path(backend.directory.ingest, "load-1")
    folder.mkdir(parents=True)
    (folder / "new").write_bytes(bytes(100))
    (folder / "more").write_bytes(bytes(11))
    (folder / "pinned").write_bytes(bytes(1000))
    os.link(folder / "pinned", os.path.join(backend.blobs.directory, A.id.hex))

    assert backend.arriving_bytes() == 111


def test_what_arrives_and_goes_is_not_counted(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(backend.directory.ingest, "load-1")
    folder.mkdir(parents=True)
    (folder / "new").write_bytes(bytes(100))
    walked: list[object] = [(str(folder), [], ["gone", "new"])]
    monkeypatch.setattr(os, "walk", lambda _: walked)

    assert backend.arriving_bytes() == 100


def test_another_process_gets_another_backend_of_the_same_directory(backend: LocalBackend) -> None:
    other = pickle.loads(pickle.dumps(backend))  # noqa: S301 - its own

    assert isinstance(other, LocalBackend) and other.where == backend.where


def test_the_index_is_opened_again_after_it_was_let_go(backend: LocalBackend) -> None:
    backend.let_go()  # harmless while nothing is open
    first = backend.view(NOW).connection
    assert backend.view(NOW).connection is first

    backend.let_go()

    assert backend.view(NOW).connection is not first
    assert first.execute("SELECT 1").fetchone() == (1,)  # for the view that had it


def test_closing_closes_the_index_whoever_has_a_view(backend: LocalBackend) -> None:
    connection = backend.view(NOW).connection

    backend.close()

    with pytest.raises(Exception, match="closed"):
        connection.execute("SELECT 1")
    assert backend.view(NOW).connection is not connection


@pytest.mark.parametrize("now", [False, True])
def test_letting_go_at_once_is_passed_on(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, *, now: bool
) -> None:
    said: list[str] = []
    backend.view(NOW)
    for name in ("let_go", "let_go_now"):
        monkeypatch.setattr(OpenIndex, name, lambda _, name=name: said.append(name))

    backend.let_go(at_once=now)

    assert said == ["let_go_now" if now else "let_go"]


def test_nothing_is_given_up_that_was_not_asked_for(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []

    def leases(_: object, *, to_change: bool) -> list[HardLease]:
        said.append(to_change)
        return []

    backend.view(NOW)
    monkeypatch.setattr(OpenIndex, "let_go", lambda _: said.append("when it can be"))
    monkeypatch.setattr(OpenIndex, "let_go_now", lambda _: said.append("at once"))
    monkeypatch.setattr(type(backend.directory), "hard_leases", leases)

    backend.let_go()
    assert backend.hard_leases() == []

    assert said == ["when it can be", False]
    assert not durable.is_volatile(backend.where)


def test_the_database_is_flushed_where_it_is_asked_for(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(type(backend.directory), "sync_database", lambda _: said.append("database"))

    backend.make_durable()

    assert said == ["database"]


def test_a_trust_policy_is_told_by_its_path(backend: LocalBackend) -> None:
    assert backend.trust_policy() is None
    Path(backend.directory.policy).symlink_to("nowhere")

    assert backend.trust_policy() == backend.directory.policy


def test_a_disk_of_this_machine_is_no_reason_for_caution(backend: LocalBackend) -> None:
    assert backend.cautions() == []


@pytest.mark.parametrize(("kind", "said"), [("nfs4", True), (None, False)])
def test_a_network_file_system_is(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, kind: str | None, *, said: bool
) -> None:
    monkeypatch.setattr(os, "major", lambda _: 0)
    monkeypatch.setattr("casstore.files.mounts.network_file_system", lambda _: kind)

    found = backend.cautions()

    assert [f"({kind})" in text for text in found] == ([True] if said else [])


def test_who_may_write_is_asked_of_the_directory(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in (False, True):
        monkeypatch.setattr(type(backend.directory), "is_writable", lambda _, said=answer: said)

        assert backend.is_writable() is answer


@pytest.mark.parametrize(("database", "foreign"), [(True, True), (True, False), (False, True)])
def test_a_dry_run_says_what_it_does_not_see(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, *, database: bool, foreign: bool
) -> None:
    with changing(backend) as edits:
        edits.admit(A)
        edits.attach(name_of("a:1"), A.id, A.top.digest, tagged=0)
        edits.commit()
    monkeypatch.setattr(type(backend.published), "is_foreign", lambda _: foreign)
    backend.view(NOW)
    exists = os.path.exists
    monkeypatch.setattr(
        os.path, "exists",
        lambda path: exists(path) and (database or path != backend.directory.database),
    )  # fmt: skip

    index, unseen = backend.rehearse(NOW, {})

    assert index.image_named(name_of("a:1")) == A.id
    assert len(unseen) == (1 if database and foreign else 0)


def test_a_look_is_refreshed_through_the_index(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(OpenIndex, "refresh", lambda _: said.append("refreshed"))

    backend.refresh()

    assert said == ["refreshed"]


def test_what_the_system_refuses_is_told_as_an_error_of_the_store(
    backend: LocalBackend, tmp_path: Path
) -> None:
    backend.directory.root = str(tmp_path / "gone")

    with pytest.raises(StorageError, match=r"^cannot make the index durable: no such file"):
        backend.make_durable()
