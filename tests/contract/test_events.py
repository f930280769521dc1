"""Events: written with the change that they tell of, or noted by the way; read in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.model.event import AGE, MOST, Event
from casstore.rules.removal import plan_removal
from tests.contract.opening import NOW, changing
from tests.contract.records import digest_of, image, name_of

if TYPE_CHECKING:
    from casstore.ports.backend import Backend

A = image("a", "base top")
ONE = name_of("one:1")
OTHER = digest_of("other")


def tagged(backend: Backend, *, now: int = NOW) -> None:
    """Commit an image with a name, and the event of it."""
    with changing(backend, now=now) as edits:
        edits.admit(A)
        edits.attach(ONE, A.id, A.top.digest, tagged=now)
        edits.record("tag", A.id, ONE)
        edits.commit()


def actions(backend: Backend) -> list[str]:
    return [event.action for event in backend.events.read()[0]]


def test_a_store_in_which_nothing_happened_has_no_events(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.commit()

    assert backend.events.read()[0] == []


def test_an_event_of_a_change_is_there_with_its_generation(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("generation", 7)
        edits.record("lease", A.id, ONE, lease="night", more="x=y")
        edits.record("gc", reclaimed="5")
        edits.commit()

    assert backend.events.read()[0] == [
        Event(NOW, "lease", A.id, ONE, {"lease": "night", "more": "x=y"}, 7),
        Event(NOW, "gc", None, None, {"reclaimed": "5"}, 7),
    ]


def test_a_change_that_is_rolled_back_leaves_no_event(backend: Backend) -> None:
    tagged(backend)
    with changing(backend) as edits:
        edits.set_pin(A.id, pinned=True)
        edits.record("pin", A.id)
        edits.rollback()
        edits.begin()
        edits.set_pin(A.id, pinned=True)
        edits.commit()

    assert actions(backend) == ["tag"]


def test_a_rehearsed_change_leaves_no_event(backend: Backend) -> None:
    tagged(backend)
    edits, _ = backend.rehearse(NOW, {})
    edits.begin()
    edits.apply(plan_removal(edits, "one:1"))
    edits.rollback()

    assert actions(backend) == ["tag"]


def test_a_removal_is_noted_by_what_carries_it_out(backend: Backend) -> None:
    tagged(backend)
    with changing(backend, now=NOW + 1) as edits:
        edits.apply(plan_removal(edits, "one:1"))
        edits.commit()

    assert backend.events.read()[0][1:] == [
        Event(NOW + 1, "untag", A.id, ONE, {}, 0),
        Event(NOW + 1, "delete", A.id, None, {}, 0),
    ]


def test_events_of_a_change_that_changes_nothing_else_are_left_to_the_caller(
    backend: Backend,
) -> None:
    tagged(backend)
    with changing(backend, now=NOW + 1) as edits:
        edits.attach(ONE, A.id, A.top.digest, tagged=NOW)
        edits.record("tag", A.id, ONE)
        edits.commit()
        left = edits.unwritten_events()

    assert left == [Event(NOW + 1, "tag", A.id, ONE, {}, None)]
    assert actions(backend) == ["tag"]


def test_events_that_are_written_are_not_left_to_the_caller(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.admit(A)
        edits.record("load", A.id)
        edits.commit()
        assert edits.unwritten_events() == []


def test_what_is_noted_by_the_way_is_read_with_the_rest_in_the_order_of_time(
    backend: Backend,
) -> None:
    save = Event(NOW + 5, "save", A.id, None, {}, None)
    push = Event(NOW + 1, "push", OTHER, name_of("registry.example:5000/two:1"), {"a": "b=c"}, None)
    tagged(backend)
    backend.events.note([save])
    backend.events.note([push])
    tagged(backend, now=NOW + 9)

    read = backend.events.read()[0]
    assert read[1:3] == [push, save]
    assert [event.happened for event in read] == [NOW, NOW + 1, NOW + 5]


def test_an_event_is_noted_while_somebody_has_the_lock(backend: Backend) -> None:
    lock = backend.lock(5, "")
    lock.acquire()
    backend.another().events.note([Event(NOW, "save", A.id, None, {}, None)])
    lock.release()

    tagged(backend)
    assert actions(backend) in (["save", "tag"], ["tag", "save"])


def test_reading_goes_on_where_it_ended(backend: Backend) -> None:
    tagged(backend)
    backend.events.note([Event(NOW, "save", A.id, None, {}, None)])
    _, place = backend.events.read()
    assert backend.events.read(place)[0] == []

    with changing(backend, now=NOW + 1) as edits:
        edits.set_pin(A.id, pinned=True)
        edits.record("pin", A.id)
        edits.commit()
    found, place = backend.events.read(place)
    assert [event.action for event in found] == ["pin"]

    backend.events.note([Event(NOW + 2, "push", A.id, ONE, {}, None)])
    found, place = backend.events.read(place)
    assert [event.action for event in found] == ["push"]
    assert backend.events.read(place)[0] == []


def test_reading_goes_on_from_the_place_where_there_was_nothing(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.commit()
    _, place = backend.events.read()
    backend.events.note([Event(NOW, "save", A.id, None, {}, None)])
    tagged(backend)

    assert sorted(event.action for event in backend.events.read(place)[0]) == ["save", "tag"]


@pytest.mark.parametrize("changes", [MOST + 300, 60])
def test_old_events_make_room_for_new_ones(backend: Backend, changes: int) -> None:
    a_change = changes // 20
    for number in range(20):
        with changing(backend, now=NOW + number) as edits:
            edits.set_meta("setting.x", number)
            for at in range(a_change):
                edits.record("pin", A.id, n=str(number * a_change + at))
            edits.commit()

    numbers = [int(event.attributes["n"]) for event in backend.events.read()[0]]
    count = 20 * a_change
    assert numbers == list(range(numbers[0], count))
    assert min(count, MOST) <= len(numbers) <= MOST + 250


def test_events_older_than_a_month_go_with_the_next_ones(backend: Backend) -> None:
    for when in (NOW, NOW + AGE + 1):
        with changing(backend, now=when) as edits:
            edits.set_meta("setting.x", when)
            for _ in range(250):
                edits.record("pin", A.id)
            edits.commit()

    assert {event.happened for event in backend.events.read()[0]} == {NOW + AGE + 1}


def test_a_change_with_more_events_than_are_kept_keeps_the_last(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("setting.x", 1)
        for number in range(3 * MOST):
            edits.record("pin", A.id, n=str(number))
        edits.commit()

    numbers = [int(event.attributes["n"]) for event in backend.events.read()[0]]
    assert numbers[-MOST:] == list(range(2 * MOST, 3 * MOST))
    assert len(numbers) < 2 * MOST + 250
