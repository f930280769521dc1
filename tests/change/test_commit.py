"""The order of effects of a change, and what becomes of one that cannot go on."""

from __future__ import annotations

import pytest

from casstore.change import commit
from casstore.change.commit import Change, LeasedMeanwhile
from casstore.errors import CasstoreError, Damaged, StorageError
from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.model.keys import GENERATION, ON_DEMAND, PUBLISH, SETTING
from casstore.model.lease import HardLease
from casstore.model.published import Published
from tests.change.doubles import Edited, Recorded, change_of, held, of_generation, staged

IMAGE, OTHER = sha256(b"image"), sha256(b"other")
BLOBS = [sha256(bytes([n])) for n in range(3)]
ENTRY = Published(None, Descriptor("application/x", IMAGE, 5), None)
CUT: Edited = ([(ENTRY, None)], [])
ADDED: Edited = ([], [ENTRY])
EDITS: Edited = ([(ENTRY, None)], [ENTRY])
FULL = StorageError("cannot publish index.json: no space left on device", full=True)
BROKEN = StorageError("cannot make index.json durable: input/output error")
BEGUN = ["begin", "clear_leftovers"]
ENDED = ["restore", "release"]
FORGOTTEN = ["begin", "forget", "commit"]


@pytest.fixture
def backend() -> Recorded:
    return of_generation(7)


def committed(backend: Recorded) -> Change:
    """A change that does nothing but commit."""
    with change_of(backend) as change:
        change.commit()
    return change


# The order


def test_an_addition_is_committed_and_then_published(backend: Recorded) -> None:
    backend.edited = ADDED
    committed(backend)

    assert backend.happened == [*BEGUN, "commit", "splice 8", *ENDED, "flush"]


def test_what_only_cuts_from_the_list_is_published_in_place_too(backend: Recorded) -> None:
    backend.edited = CUT
    committed(backend)

    assert backend.happened == [*BEGUN, "shut", "commit", "open", "splice 8", *ENDED, "flush"]


def test_a_removal_is_committed_behind_a_shut_door_published_and_unlinked(
    backend: Recorded,
) -> None:
    backend.edited = EDITS
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        change.commit()

    assert backend.happened == [
        *BEGUN, "shut", "commit", "open", "splice 8", "flush", "unlink 3", *FORGOTTEN, *ENDED,
    ]  # fmt: skip
    assert not change.is_unfinished


def test_a_removal_waits_alone_behind_the_door_for_as_long_as_for_the_lock(
    backend: Recorded,
) -> None:
    backend.edited = EDITS
    committed(backend)

    assert backend.doors == [(held(backend).timeout, False)]


def test_what_dooms_blobs_and_shows_nowhere_is_not_published(backend: Recorded) -> None:
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        change.commit()

    assert backend.happened == [
        *BEGUN, "shut", "commit", "open", "unlink 3", *FORGOTTEN, *ENDED,
    ]  # fmt: skip


def test_a_change_that_shows_nowhere_keeps_the_generation(backend: Recorded) -> None:
    committed(backend)

    assert backend.happened == [*BEGUN, "commit", *ENDED]
    assert backend.table[GENERATION] == 7


def test_a_change_that_shows_has_the_next_generation(backend: Recorded) -> None:
    backend.edited = EDITS
    committed(backend)

    assert backend.table[GENERATION] == 8


@pytest.mark.parametrize(("edited", "fits"), [(None, True), (EDITS, False)])
def test_where_it_cannot_be_changed_in_place_the_list_is_written_whole(
    backend: Recorded, edited: Edited | None, *, fits: bool
) -> None:
    backend.edited, backend.fits = edited, fits
    committed(backend)

    assert backend.happened == [*BEGUN, "shut", "commit", "open", "write 8", *ENDED, "flush"]


def test_a_store_that_publishes_on_demand_withdraws_its_list_and_notes_the_generation(
    backend: Recorded,
) -> None:
    backend.table[SETTING + PUBLISH] = ON_DEMAND
    backend.edited = EDITS
    committed(backend)

    assert backend.happened == [
        *BEGUN, "shut", "commit", "open", "withdraw", "note 8", *ENDED,
    ]  # fmt: skip


def test_the_leases_that_live_are_told_to_the_index_by_image(backend: Recorded) -> None:
    backend.leases = [HardLease("a", "", (IMAGE,)), HardLease("b", "", (IMAGE, OTHER))]
    committed(backend)

    assert backend.asked_to_change == [True]
    assert backend.hard == {IMAGE: ["a", "b"], OTHER: ["b"]}


# Recovery


def test_a_list_that_is_behind_is_written_first_of_all(backend: Recorded) -> None:
    backend.shown = 6
    committed(backend)

    assert backend.happened == [
        "begin", "make_durable", "write 7", "clear_leftovers", "commit", *ENDED, "flush",
    ]  # fmt: skip


def test_blobs_that_a_change_has_left_are_unlinked_after_the_list_is_right(
    backend: Recorded,
) -> None:
    backend.shown = 6
    backend.doomed_blobs = list(BLOBS)
    committed(backend)

    assert backend.happened[:6] == [
        "begin", "make_durable", "write 7", "flush", "unlink 3", "forget",
    ]  # fmt: skip


def test_blobs_are_unlinked_where_the_list_is_right_already(backend: Recorded) -> None:
    backend.doomed_blobs = list(BLOBS)
    committed(backend)

    assert backend.happened[:4] == ["begin", "make_durable", "unlink 3", "forget"]


def test_as_many_blobs_are_forgotten_as_there_was_time_for(backend: Recorded) -> None:
    backend.doomed_blobs = list(BLOBS)
    backend.left = 1
    with change_of(backend):
        assert backend.doomed_blobs == BLOBS[2:]


def test_what_goes_wrong_with_what_another_left_is_no_warning_of_this_one(
    backend: Recorded,
) -> None:
    backend.doomed_blobs = list(BLOBS)
    backend.problems = ["a problem"]

    assert committed(backend).warnings == []


def test_where_a_store_publishes_on_demand_its_list_is_withdrawn_in_recovery_too(
    backend: Recorded,
) -> None:
    backend.table[SETTING + PUBLISH] = ON_DEMAND
    backend.shown = None
    committed(backend)

    assert backend.happened[:3] == ["begin", "make_durable", "withdraw"]


@pytest.mark.parametrize("action", ["hard_leases", "begin", "make_durable", "clear_leftovers"])
def test_a_change_that_cannot_begin_gives_the_lock_back(backend: Recorded, action: str) -> None:
    backend.shown = 6
    backend.fails[action] = Damaged("broken")

    with pytest.raises(Damaged), change_of(backend):
        pass

    assert backend.happened[-1] == ("flush" if action == "clear_leftovers" else "release")
    assert "release" in backend.happened[-2:]
    assert ("rollback" in backend.happened) is (action != "hard_leases")


def test_a_full_disk_in_recovery_is_told(backend: Recorded) -> None:
    backend.fails["clear_leftovers"] = FULL

    with pytest.raises(StorageError) as caught, change_of(backend):
        pass

    assert caught.value is FULL

    assert backend.happened[-3:] == ["rollback", *ENDED]


# Taking back


def test_what_is_not_committed_is_rolled_back(backend: Recorded) -> None:
    with change_of(backend):
        pass

    assert backend.happened == [*BEGUN, "rollback", *ENDED]


def test_any_other_error_goes_on_as_it_is(backend: Recorded) -> None:
    with pytest.raises(ZeroDivisionError), change_of(backend):
        raise ZeroDivisionError


def test_a_rollback_that_fails_changes_nothing_about_that(backend: Recorded) -> None:
    backend.fails["rollback"] = StorageError("gone")

    with pytest.raises(ZeroDivisionError), change_of(backend):
        raise ZeroDivisionError
    assert backend.happened[-2:] == ENDED


def test_a_forked_child_leaves_the_change_to_its_parent(backend: Recorded) -> None:
    with change_of(backend):
        backend.is_mine = False

    assert backend.happened == BEGUN


def test_blobs_that_got_their_names_for_nothing_are_removed(backend: Recorded) -> None:
    with change_of(backend) as change:
        change.publish_blobs(staged(backend, b"\0", b"\1"))
        backend.known = {BLOBS[1]: 5}

    assert backend.happened[-4:] == ["rollback", f"discard {BLOBS[0].short}", *ENDED]


def test_blobs_that_are_committed_keep_their_names(backend: Recorded) -> None:
    with change_of(backend) as change:
        change.publish_blobs(staged(backend, b"\0", b"\1", b"\2"))
        change.commit()

    assert not [one for one in backend.happened if one.startswith("discard")]


# Leases


def test_a_lease_taken_meanwhile_on_what_goes_stops_the_change(backend: Recorded) -> None:
    backend.edited = EDITS
    backend.images = {OTHER}
    with change_of(backend) as change:
        backend.leases = [HardLease("job", "", (OTHER, IMAGE))]
        with pytest.raises(LeasedMeanwhile, match=r"is held by hard lease job$") as caught:
            change.commit()

    assert not caught.value.forceable
    assert "commit" not in backend.happened


def test_a_lease_taken_meanwhile_on_what_stays_is_no_hindrance(backend: Recorded) -> None:
    backend.edited = EDITS
    with change_of(backend) as change:
        backend.leases = [HardLease("job", "", (IMAGE,))]
        backend.images = {IMAGE}
        change.commit()

    assert "commit" in backend.happened
    assert backend.asked_to_change == [True, True]


def test_a_lease_that_was_there_before_has_been_asked(backend: Recorded) -> None:
    backend.edited = EDITS
    old = HardLease("old", "", (IMAGE,))
    backend.leases = [old]  # of an image that is gone by force, say
    with change_of(backend) as change:
        change.commit()
    assert "commit" in backend.happened

    with change_of(backend) as change:
        backend.leases = [old, HardLease("new", "", (OTHER,))]
        with pytest.raises(LeasedMeanwhile):
            change.commit()


def test_a_change_that_takes_nothing_away_looks_at_no_leases(backend: Recorded) -> None:
    backend.edited = ADDED
    with change_of(backend) as change:
        backend.leases = [HardLease("job", "", (IMAGE,))]
        change.commit()

    assert "shut" not in backend.happened


# After the commit


def test_a_full_disk_gives_up_the_reserve_and_writes_the_list_again(backend: Recorded) -> None:
    backend.edited = EDITS
    backend.fails["splice"] = FULL

    assert committed(backend).warnings == []
    assert backend.happened[-6:] == ["splice 8", "give_up", "write 8", *ENDED, "flush"]


def test_a_full_disk_gives_up_the_reserve_and_withdraws_the_list_again(backend: Recorded) -> None:
    backend.table[SETTING + PUBLISH] = ON_DEMAND
    backend.edited = EDITS
    backend.fails["withdraw"] = FULL

    assert committed(backend).warnings == []
    assert backend.happened[-6:] == ["withdraw", "give_up", "withdraw", "note 8", *ENDED]


@pytest.mark.parametrize(("error", "has_reserve"), [(FULL, False), (Damaged("broken"), True)])
def test_a_list_that_cannot_be_published_is_a_warning_and_the_blobs_stay(
    backend: Recorded, error: CasstoreError, *, has_reserve: bool
) -> None:
    backend.edited = EDITS
    backend.fails["splice"] = error
    backend.has_reserve = has_reserve
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        change.commit()

    (warning,) = change.warnings
    assert warning.startswith("cannot publish index.json: ")
    assert warning.endswith("; the next change will")
    assert "unlink 3" not in backend.happened
    assert not change.is_unfinished


@pytest.mark.parametrize("text", ["a blob is a directory", "broken"])
def test_blobs_that_cannot_be_removed_are_a_warning(backend: Recorded, text: str) -> None:
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        backend.fails["unlink"] = Damaged(text)
        change.commit()

    (warning,) = change.warnings
    assert warning.startswith("cannot remove the blobs that nothing needs any more: ")
    assert warning.endswith("; the next change will")


def test_what_goes_wrong_with_single_blobs_is_a_warning(backend: Recorded) -> None:
    backend.problems = ["a problem"]
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        change.commit()

    assert change.warnings == ["a problem"]


def test_where_the_time_is_over_the_change_is_unfinished_and_what_is_done_is_forgotten(
    backend: Recorded,
) -> None:
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        backend.left = 1
        change.commit()

    assert change.is_unfinished
    assert backend.happened[-6:] == ["unlink 3", *FORGOTTEN, *ENDED]
    assert backend.doomed_blobs == BLOBS[2:]


def test_as_many_as_are_looked_up_at_once_may_not_be_all(
    backend: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "AT_ONCE", 2)
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        change.commit()

    assert "unlink 2" in backend.happened
    assert change.is_unfinished


def test_blobs_are_looked_at_again_where_something_went_wrong_with_one(backend: Recorded) -> None:
    backend.problems = ["a problem"]
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        change.commit()

    assert "forget" not in backend.happened


def test_forgetting_that_fails_is_rolled_back_and_left_to_the_next(backend: Recorded) -> None:
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        backend.left = 1
        backend.fails["forget"] = StorageError("full")
        change.commit()

    assert backend.happened[-4:] == ["forget", "rollback", *ENDED]
    assert change.warnings == []


# When index.json has its name for good


def test_where_that_cannot_be_flushed_nothing_is_unlinked(backend: Recorded) -> None:
    backend.edited = EDITS
    backend.fails["flush"] = BROKEN
    with change_of(backend) as change:
        backend.doomed_blobs = list(BLOBS)
        change.commit()

    (warning,) = change.warnings
    assert warning == f"{BROKEN}; the next change will"
    assert backend.happened[-3:] == ["flush", *ENDED]


def test_where_it_cannot_be_flushed_when_the_lock_is_free_that_is_told_late(
    backend: Recorded,
) -> None:
    backend.edited = ADDED
    backend.fails["flush"] = BROKEN
    late: list[str] = []
    with Change(backend, held(backend), 1000, late) as change:
        change.commit()

    assert change.warnings == []
    assert late == ["cannot make index.json durable: input/output error; the next change will"]


def test_a_list_that_is_withdrawn_in_a_store_that_publishes_on_demand_is_not_stale(
    backend: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.table[SETTING + PUBLISH] = ON_DEMAND
    backend.shown = None
    monkeypatch.setattr(backend.published, "is_withdrawn", lambda: True)
    committed(backend)

    assert backend.happened == [*BEGUN, "commit", *ENDED]


# Publishing on its own


@pytest.mark.parametrize(
    ("shown", "anew", "written"), [(7, False, False), (7, True, True), (6, False, True)]
)
def test_the_list_is_published_where_it_is_behind_or_to_be_made_anew(
    backend: Recorded, shown: int, *, anew: bool, written: bool
) -> None:
    backend.table[SETTING + PUBLISH] = ON_DEMAND
    with change_of(backend) as change:
        backend.shown = shown
        backend.happened.clear()
        change.publish(anew=anew)

        assert backend.happened == (["write 7", "flush"] if written else [])


def test_a_store_that_publishes_always_needs_no_copy_of_what_was_withdrawn(
    backend: Recorded,
) -> None:
    with change_of(backend) as change:
        backend.happened.clear()
        change.publish()

        assert backend.happened == ["forget_last"]
