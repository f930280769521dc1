"""A change: all of it or nothing, and the lock comes back however it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.change.commit import Change
from casstore.errors import Conflict, Locked
from casstore.model.keys import GENERATION
from casstore.rules.removal import plan_removal
from tests.contract.opening import NOW
from tests.contract.records import name_of
from tests.contract.test_ingest import DOCUMENT, with_an_image

if TYPE_CHECKING:
    from casstore.ports.backend import Backend
    from casstore.ports.change import Changing


def begin(backend: Backend) -> Changing:
    """A change that will be made, with the lock held."""
    lock = backend.lock(0.05, "a test")
    lock.acquire()
    try:
        backend.prepare(create=True)
        return Change(backend, lock, NOW)
    except BaseException:
        lock.release()
        raise


def test_what_a_change_does_is_there_after_its_commit(backend: Backend) -> None:
    with begin(backend) as change:
        change.index.set_meta("setting.x", "1")
        change.commit()

    assert backend.another().view(NOW).meta("setting.x") == "1"


def test_leaving_without_a_commit_undoes_it(backend: Backend) -> None:
    with begin(backend) as change:
        change.commit()
    with begin(backend) as change:
        change.index.set_meta("setting.x", "1")

    assert backend.another().view(NOW).meta("setting.x") is None


def fail(backend: Backend) -> None:
    """A change that something goes wrong in after its edits."""
    with begin(backend) as change:
        change.index.apply(plan_removal(change.index, "one:1"))
        raise Conflict("it is in use", forceable=False)


def test_an_error_undoes_it_and_is_raised(backend: Backend) -> None:
    with_an_image(backend)
    with pytest.raises(Conflict):
        fail(backend)

    assert backend.view(NOW).image_named(name_of("one:1")) is not None


def test_nobody_else_makes_a_change_meanwhile(backend: Backend) -> None:
    with begin(backend), pytest.raises(Locked):
        begin(backend.another())


@pytest.mark.parametrize("end", ["commit", "leave", "fail"])
def test_the_lock_is_free_afterwards(backend: Backend, end: str) -> None:
    with_an_image(backend)
    if end == "fail":
        with pytest.raises(Conflict):
            fail(backend)
    else:
        with begin(backend) as change:
            if end == "commit":
                change.commit()

    with begin(backend.another()):
        pass


def test_what_a_change_lets_go_of_is_gone_afterwards(backend: Backend) -> None:
    image = with_an_image(backend)
    with begin(backend) as change:
        change.index.apply(plan_removal(change.index, "one:1"))
        change.commit()

    assert list(backend.blobs.walk()) == []
    assert list(backend.view(NOW).doomed()) == []
    assert backend.blobs.size(image.top.digest) is None


def test_what_a_change_keeps_is_there_afterwards(backend: Backend) -> None:
    image = with_an_image(backend)
    with begin(backend) as change:
        change.index.set_pin(image.id, pinned=True)
        change.commit()

    assert backend.blobs.read(image.top.digest) == DOCUMENT


def test_what_other_tools_see_is_as_new_as_the_index(backend: Backend) -> None:
    image = with_an_image(backend)
    for pinned in (True, False):
        with begin(backend) as change:
            change.index.set_pin(image.id, pinned=pinned)
            change.commit()

        assert backend.published.generation() == backend.view(NOW).meta(GENERATION)


def test_the_next_change_finishes_what_one_that_was_stopped_left(backend: Backend) -> None:
    with_an_image(backend)
    with begin(backend) as change:
        change.index.apply(plan_removal(change.index, "one:1"))
        change.index.commit()  # and not a step further
    assert list(backend.view(NOW).doomed())

    with begin(backend) as change:
        change.commit()

    assert list(backend.view(NOW).doomed()) == []
    assert list(backend.blobs.walk()) == []


@pytest.mark.parametrize("anew", [False, True])
def test_publishing_what_is_published_already_changes_nothing(
    backend: Backend, *, anew: bool
) -> None:
    with_an_image(backend)
    with begin(backend) as change:
        change.commit()
    with begin(backend) as change:
        change.publish(anew=anew)
        change.commit()

    assert backend.published.generation() == backend.view(NOW).meta(GENERATION)
    assert not backend.published.is_foreign()
