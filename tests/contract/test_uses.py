"""When images were last used: noted without a lock, and the latest counts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.contract.opening import NOW
from tests.contract.records import digest_of

if TYPE_CHECKING:
    from casstore.ports.backend import Backend

IMAGE, OTHER = digest_of("image"), digest_of("other")
MINUTE, YEAR = 60 * 10**9, 365 * 24 * 3600 * 10**9


def test_an_image_that_nobody_used_has_no_last_use(backend: Backend) -> None:
    assert backend.uses.read(NOW) == {}


def test_the_last_use_of_an_image_counts(backend: Backend) -> None:
    backend.uses.note([IMAGE], NOW)
    backend.uses.note([IMAGE, OTHER], NOW + 10)
    backend.uses.note([IMAGE], NOW + 5)

    assert backend.uses.read(NOW + 20) == {IMAGE: NOW + 10, OTHER: NOW + 10}


def test_a_use_is_noted_while_somebody_has_the_lock(backend: Backend) -> None:
    lock = backend.lock(5, "")
    lock.acquire()
    backend.another().uses.note([IMAGE], NOW)
    lock.release()

    assert backend.uses.read(NOW) == {IMAGE: NOW}


def test_no_use_is_lost_where_many_note_theirs(backend: Backend) -> None:
    images = [digest_of(f"image {number}") for number in range(40)]

    def note(some: int) -> None:
        for image in images[some::4]:
            backend.uses.note([image], NOW + some)

    threads = [threading.Thread(target=note, args=(some,)) for some in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert backend.uses.read(NOW + 9) == {
        image: NOW + number % 4 for number, image in enumerate(images)
    }


def test_a_use_well_after_now_is_none(backend: Backend) -> None:
    backend.uses.note([IMAGE], NOW - 1)
    backend.uses.note([IMAGE], NOW + YEAR)

    assert backend.uses.read(NOW) == {IMAGE: NOW - 1}


def test_a_use_by_a_clock_that_is_a_little_ahead_counts(backend: Backend) -> None:
    backend.uses.note([IMAGE], NOW + MINUTE)

    assert backend.uses.read(NOW) == {IMAGE: NOW + MINUTE}


def test_uses_since_a_mark_are_those_noted_after_it(backend: Backend) -> None:
    backend.uses.note([IMAGE], NOW)
    mark = backend.uses.mark()
    backend.uses.note([OTHER], NOW + 1)

    assert backend.uses.read(NOW + 2, mark) == {OTHER: NOW + 1}


def test_a_mark_that_was_made_before_any_use_is_before_all(backend: Backend) -> None:
    mark = backend.uses.mark()
    backend.uses.note([IMAGE], NOW)

    assert backend.uses.read(NOW + 2, mark) == {IMAGE: NOW}


def test_uses_of_images_that_are_gone_can_be_forgotten(backend: Backend) -> None:
    for second in range(5000):
        backend.uses.note([IMAGE, OTHER], NOW + second)

    backend.uses.compact([IMAGE], NOW + 5000)

    assert backend.uses.read(NOW + 5000) == {IMAGE: NOW + 4999}
