"""The writers' lock and hard leases: each is there for as long as its holder wants, or lives."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from casstore.errors import CasstoreError, Locked
from tests.contract.opening import NOW, changing
from tests.contract.records import digest_of

if TYPE_CHECKING:
    from casstore.ports.backend import Backend

IMAGE, OTHER = digest_of("image"), digest_of("other")


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


def test_no_writer_sees_half_of_what_another_does(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("count", 0)
        edits.commit()
    failures: list[BaseException] = []

    def count() -> None:
        own = backend.another()
        try:
            for _ in range(5):
                with changing(own, timeout=60) as edits:
                    edits.set_meta("count", edits.meta("count") + 1)
                    edits.commit()
        except CasstoreError as error:
            failures.append(error)
        finally:
            if own is not backend:
                own.close()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert backend.view(NOW).meta("count") == 20


def test_a_lock_says_how_long_it_is_waited_for(backend: Backend) -> None:
    assert backend.lock(7.5, "").timeout == 7.5


# From 3.12 on Python warns of every fork beside a thread, of which pytest-xdist has one.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_lock_is_of_the_process_that_has_taken_it(backend: Backend) -> None:
    lock = backend.lock(5, "")

    before = lock.is_mine
    lock.acquire()
    assert (before, lock.is_mine) == (False, True)
    child = os.fork()
    if child == 0:
        os._exit(lock.is_mine)
    assert os.waitpid(child, 0)[1] == 0
    lock.release()


def test_a_lock_that_was_not_taken_gives_nobody_s_back(backend: Backend) -> None:
    held, other = backend.lock(5, "held"), backend.another().lock(0, "other")
    held.acquire()

    with pytest.raises(Locked):
        other.acquire()
    other.release()
    with pytest.raises(Locked):
        other.acquire()
    held.release()


def test_releasing_a_lock_twice_is_harmless(backend: Backend) -> None:
    lock = backend.lock(5, "")
    lock.acquire()
    lock.release()
    lock.release()


def test_a_lock_can_be_taken_again(backend: Backend) -> None:
    lock = backend.lock(0, "")
    for _ in range(2):
        lock.acquire()
        lock.release()


def test_a_hard_lease_is_seen_until_it_is_released(backend: Backend) -> None:
    hold = backend.hold("mine", "a test", [IMAGE, OTHER])

    (lease,) = backend.another().hard_leases()
    assert (lease.name, lease.images) == ("mine", (IMAGE, OTHER))
    hold.release()
    hold.release()
    assert backend.another().hard_leases() == []


def test_several_can_hold_an_image_under_one_name(backend: Backend) -> None:
    holds = [backend.hold("job", f"runner {number}", [IMAGE]) for number in range(2)]

    assert [lease.images for lease in backend.hard_leases(to_change=True)] == [(IMAGE,)] * 2
    holds[0].release()
    assert [lease.name for lease in backend.hard_leases(to_change=True)] == ["job"]
    holds[1].release()


def test_a_hard_lease_is_taken_while_somebody_changes_the_store(backend: Backend) -> None:
    with changing(backend) as edits:
        hold = backend.another().hold("mine", "a test", [IMAGE])

        assert [lease.name for lease in backend.hard_leases(to_change=True)] == ["mine"]
        edits.commit()
    hold.release()


def test_many_take_leases_at_a_time(backend: Backend) -> None:
    with backend.door(5, shared=True), backend.another().door(0, shared=True):
        pass
