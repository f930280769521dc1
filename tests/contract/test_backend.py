"""Opening a store, its lock, its leases, and when its images were used."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from casstore.errors import Locked, NotAStore
from tests.contract.opening import BACKENDS, NOW, changing
from tests.contract.records import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from casstore.ports.backend import Backend

IMAGE, OTHER = digest_of("image"), digest_of("other")


@pytest.mark.parametrize("make", BACKENDS.values(), ids=BACKENDS)
def test_a_store_that_nobody_made_is_none(make: Callable[[Path], Backend], tmp_path: Path) -> None:
    backend = make(tmp_path)

    assert not backend.exists()
    with pytest.raises(NotAStore):
        backend.require()
    with pytest.raises(NotAStore):
        backend.view(NOW)


def test_a_store_that_was_made_is_one(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.commit()

    backend.require()
    assert backend.exists()
    assert backend.view(NOW).all_names() == []


def test_making_a_store_again_is_harmless(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("setting.x", "1")
        edits.commit()

    backend.create()
    with changing(backend) as edits:
        edits.commit()

    assert backend.view(NOW).meta("setting.x") == "1"


def test_one_writer_at_a_time_has_the_lock(backend: Backend) -> None:
    first, second = backend.lock(5, "first"), backend.another().lock(0.05, "second")
    first.acquire()

    with pytest.raises(Locked):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_lock_is_waited_for(backend: Backend) -> None:
    first, second = backend.lock(5, "first"), backend.another().lock(30, "second")
    first.acquire()
    threading.Timer(0.1, first.release).start()

    second.acquire()
    second.release()


def test_releasing_a_lock_twice_is_harmless(backend: Backend) -> None:
    lock = backend.lock(5, "")
    lock.acquire()
    lock.release()
    lock.release()


def test_a_hard_lease_is_seen_until_it_is_released(backend: Backend) -> None:
    hold = backend.hold("mine", "a test", [IMAGE, OTHER])

    (lease,) = backend.another().hard_leases()
    assert (lease.name, lease.images) == ("mine", (IMAGE, OTHER))
    hold.release()
    hold.release()
    assert backend.another().hard_leases() == []


def test_the_last_use_of_an_image_counts(backend: Backend) -> None:
    backend.uses.note([IMAGE], NOW)
    backend.uses.note([IMAGE, OTHER], NOW + 10)

    assert backend.uses.read(NOW + 20) == {IMAGE: NOW + 10, OTHER: NOW + 10}


def test_uses_since_a_mark_are_those_noted_after_it(backend: Backend) -> None:
    backend.uses.note([IMAGE], NOW)
    mark = backend.uses.mark()
    backend.uses.note([OTHER], NOW + 1)

    assert backend.uses.read(NOW + 2, mark) == {OTHER: NOW + 1}


def test_uses_of_images_that_are_gone_can_be_forgotten(backend: Backend) -> None:
    for second in range(5000):
        backend.uses.note([IMAGE, OTHER], NOW + second)

    backend.uses.compact([IMAGE], NOW + 5000)

    assert backend.uses.read(NOW + 5000) == {IMAGE: NOW + 4999}
