"""Checks: what is wrong is told, what is right is not, and a repair loses nothing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from casstore.errors import CasstoreError, NotAStore
from casstore.model.digest import Digest
from casstore.progress import Progress
from casstore.store import Store, store_of
from casstore.store.session import Session
from tests.contract.opening import BACKENDS, NOW, changing
from tests.contract.test_change import begin
from tests.transfer.building import docker_archive, layer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from casstore.ports.backend import Backend
    from casstore.ports.locks import WritersLock

TAR = layer("some content" * 100)
ARCHIVE = docker_archive({"layers": [TAR], "tags": ["app:1"]})


@pytest.fixture
def sound(backend: Backend) -> Backend:
    """A store with an image that really is one."""
    with store_of(Session(backend.another()), Store) as store:
        store.load(io.BytesIO(ARCHIVE))
    return backend


def layer_of(backend: Backend) -> Digest:
    (record,) = backend.view(NOW).all_layers()
    return record.digest


@pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
def test_what_is_no_store_is_not_checked(make: Callable[[Path], Backend], tmp_path: Path) -> None:
    with pytest.raises(NotAStore):
        make(tmp_path).checks.check([], content=True)


@pytest.mark.parametrize("content", [False, True])
def test_a_sound_store_is_clean(sound: Backend, *, content: bool) -> None:
    result = sound.checks.check([], content=content)

    assert (result.clean, result.damaged) == (True, False)


def test_every_blob_is_read_and_counted(sound: Backend) -> None:
    files = list(sound.blobs.walk())

    result = sound.checks.check([], content=True)

    assert (result.blobs, result.bytes) == (len(files), sum(file.size for file in files))


def test_a_check_tells_how_far_it_is(sound: Backend) -> None:
    progress = Progress()
    sound.checks.check([], content=True, progress=progress)

    for task in progress.tasks:
        assert task.finished
        assert task.total is None or task.done <= task.total


def test_what_was_repaired_is_told_again(sound: Backend) -> None:
    assert sound.checks.check(["a line"], content=False).repaired == ("a line",)


@pytest.mark.parametrize("content", [False, True])
def test_a_blob_that_is_missing_is_damage(sound: Backend, *, content: bool) -> None:
    lost = layer_of(sound)
    sound.blobs.discard([lost])

    result = sound.checks.check([], content=content)

    assert result.damaged
    assert [(one.level, one.code, one.object) for one in result.findings] == [
        ("error", "blob-missing", lost)
    ]


def test_a_check_changes_nothing(sound: Backend) -> None:
    sound.blobs.discard([layer_of(sound)])
    before = sound.checks.check([], content=True)

    assert sound.checks.check([], content=True) == before
    assert not sound.checks.is_damaged()  # the index is as it was
    sound.checks.require_sound()


def test_a_store_is_checked_while_somebody_changes_it(sound: Backend) -> None:
    with changing(sound) as edits:
        edits.set_meta("setting.x", "1")

        assert sound.another().checks.check([], content=True).clean


def test_there_is_nothing_to_mend_in_a_sound_store(sound: Backend) -> None:
    with begin(sound) as change:
        assert sound.checks.repair(change, content=True) == ([], False)

    assert sound.checks.kept_aside() == []
    assert sound.checks.give_rights_back() == []
    assert sound.checks.check([], content=True).clean


def test_what_a_new_casstore_wrote_has_nothing_to_be_found_out_later(sound: Backend) -> None:
    def turn(*_: object) -> None:
        raise AssertionError("there is nothing to change")

    assert sound.checks.recount(lambda: sound.view(NOW), turn) == []


def test_a_lost_blob_comes_back_from_elsewhere_or_it_is_said_that_it_cannot(
    sound: Backend, tmp_path: Path
) -> None:
    lost, archive = layer_of(sound), tmp_path / "archive.tar"
    archive.write_bytes(ARCHIVE)
    sound.blobs.discard([lost])

    try:
        mended, doubts = sound.checks.mend_from(lambda: begin(sound), [str(archive)], content=False)
    except CasstoreError:
        assert sound.blobs.size(lost) is None
    else:
        assert (len(mended), doubts) == (1, [])
        assert sound.checks.check([], content=True).clean


def test_a_rebuilt_index_is_the_one_before_or_it_is_said_that_there_is_none(
    sound: Backend,
) -> None:
    before = sound.view(NOW).all_names(), sorted(sound.view(NOW).all_edges())

    def locked() -> WritersLock:
        lock = sound.lock(5, "a test")
        lock.acquire()
        return lock

    try:
        sound.checks.rebuild(lambda: begin(sound), locked)
    except CasstoreError:
        pass
    view = sound.another().view(NOW)
    assert (view.all_names(), sorted(view.all_edges())) == before
    assert sound.another().checks.check([], content=True).clean
