"""Opening a store, rehearsing a change of it, and what it says of itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from casstore.errors import NotAStore
from tests.contract.opening import BACKENDS, NOW, changing
from tests.contract.records import digest_of, image, name_of
from tests.contract.test_ingest import another_ingest, with_an_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from casstore.ports.backend import Backend


@pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
def test_a_store_that_nobody_made_is_none(make: Callable[[Path], Backend], tmp_path: Path) -> None:
    backend = make(tmp_path)

    assert not backend.exists()
    with pytest.raises(NotAStore):
        backend.require()
    with pytest.raises(NotAStore):
        backend.view(NOW)
    with pytest.raises(NotAStore):
        backend.listed_ids(digits=12, everything=True)


def test_a_store_that_was_made_is_one(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.commit()

    backend.require()
    assert backend.exists()
    assert backend.view(NOW).all_names() == []


def test_a_quick_list_has_an_id_for_each_name_or_there_is_none(backend: Backend) -> None:
    record = image("a", "base")
    with changing(backend) as edits:
        edits.admit(record)
        for name in ("a:1", "a:2"):
            edits.attach(name_of(name), record.id, record.top.digest, tagged=0)
        edits.commit()

    found = backend.listed_ids(digits=12, everything=False)

    ids = [one for some in found for one in some] if found is not None else None
    assert ids in (None, [record.id.short] * 2)


def test_making_a_store_again_is_harmless(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("setting.x", "1")
        edits.commit()

    backend.create()
    with changing(backend) as edits:
        edits.commit()

    assert backend.view(NOW).meta("setting.x") == "1"


def test_a_rehearsal_sees_its_own_edits_and_nobody_else_does(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("setting.x", "1")
        edits.commit()

    rehearsal, _ = backend.rehearse(NOW, {})
    rehearsal.begin()
    rehearsal.set_meta("setting.x", "2")

    assert rehearsal.meta("setting.x") == "2"
    rehearsal.rollback()
    assert backend.another().view(NOW).meta("setting.x") == "1"


def test_a_rehearsal_needs_no_lock(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("setting.x", "1")
        edits.commit()
    lock = backend.another().lock(5, "another")
    lock.acquire()

    rehearsal, notices = backend.rehearse(NOW, {digest_of("image"): ["job"]})

    assert (rehearsal.meta("setting.x"), notices) == ("1", [])
    lock.release()


def test_a_look_after_a_rehearsal_is_of_the_store(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.commit()
    rehearsal, _ = backend.rehearse(NOW, {})
    rehearsal.begin()
    rehearsal.set_meta("setting.x", "1")
    rehearsal.rollback()
    with changing(backend.another()) as edits:
        edits.set_meta("setting.x", "2")
        edits.commit()

    backend.refresh()

    assert backend.view(NOW).meta("setting.x") == "2"


def test_a_view_is_usable_after_the_index_was_let_go(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("setting.x", "1")
        edits.commit()
    view = backend.view(NOW)

    backend.let_go()

    assert view.meta("setting.x") == "1"


@pytest.mark.parametrize("end", ["close", "leave", "let_go"])
def test_a_backend_can_be_used_again_after_its_end(backend: Backend, end: str) -> None:
    for value in ("1", "2"):
        with changing(backend) as edits:
            edits.set_meta("setting.x", value)
            edits.commit()
        getattr(backend, end)()
        getattr(backend, end)()

        assert backend.view(NOW).meta("setting.x") == value


def test_another_thread_sees_the_same_store(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("setting.x", "1")
        edits.commit()
    seen = []

    def look() -> None:
        other = backend.another()
        seen.append(other.view(NOW).meta("setting.x"))
        if other is not backend:
            other.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == ["1"]


def test_a_new_store_can_be_changed_and_has_nothing_to_be_told(backend: Backend) -> None:
    assert backend.is_writable()
    assert backend.cautions() == []
    assert backend.trust_policy() is None
    with changing(backend) as edits:
        edits.commit()
    lock = backend.lock(5, "a test")
    lock.acquire()
    assert backend.prepare(create=False) == []
    lock.release()


def test_a_tidy_store_has_nothing_left_to_do(backend: Backend) -> None:
    with_an_image(backend)

    unfinished = backend.unfinished()
    assert unfinished.would_go() == unfinished.gone() == (0, 0, 0)
    assert backend.old_copies(NOW) == backend.remove_copies([]) == []
    assert backend.arriving_bytes() == 0
    lock = backend.lock(5, "a test")
    lock.acquire()
    backend.clear_leftovers()
    assert backend.remove_leftovers() == (0, 0)
    backend.make_durable()
    lock.release()


def test_what_is_staged_is_nobody_s_leftover(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.commit()
    backend.prepare_ingest()
    ingest = another_ingest(backend)
    digest = ingest.add(b"a document")

    backend.clear_leftovers()

    assert ingest.read(digest) == b"a document"
    assert ingest.close() == []


def test_no_more_is_free_than_there_is(backend: Backend) -> None:
    disk = backend.space()

    assert 0 <= disk.free <= disk.total
    assert backend.lacking_bytes() >= 0
