"""What one change does to the index, and what others see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.errors import CasstoreError, NotFound
from casstore.model.removal import RemovalPlan
from casstore.rules.removal import plan_removal
from tests.contract.opening import NOW, changing
from tests.contract.records import digest_of, image, index_over, name_of

if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.record import ImageRecord
    from casstore.ports.backend import Backend
    from casstore.ports.edits import Edits

A = image("a", "base top")
B = image("b", "base other")
GZIP = image("a", "base top", form="gzip")
FULL = image("full", "base top", created=5, labels=(("a", "1"), ("b", "")))._replace(
    os="freebsd", architecture="arm64", variant="v8"
)
ONE, TWO = name_of("one:1"), name_of("two:1")


def put(edits: Edits, record: ImageRecord, *names: str) -> Digest:
    """Admit an image and give it names."""
    edits.admit(record)
    for name in names:
        edits.attach(name_of(name), record.id, record.top.digest, tagged=0)
    return record.id


def put_all(backend: Backend, *records: tuple[ImageRecord, str]) -> None:
    """Commit images, each with its names between blanks."""
    with changing(backend) as edits:
        for record, names in records:
            put(edits, record, *names.split())
        edits.commit()


def counts_are_right(backend: Backend) -> bool:
    """Whether each count is the number of edges and holdings."""
    view = backend.view(NOW)
    counted = dict.fromkeys((state.digest for state in view.all_blobs()), 0)
    for _, child in view.all_edges():
        counted[child] += 1
    for _, top in view.all_tops():
        counted[top.digest] += 1
    for number in view.trash.ids():
        for state in view.trash.held_by(number):
            counted[state.digest] += 1
    return counted == {state.digest: state.refcount for state in view.all_blobs()}


# Transactions


def test_what_is_committed_everyone_sees(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))

    assert backend.view(NOW).image_named(ONE) == A.id


def test_what_is_not_committed_nobody_else_sees(backend: Backend) -> None:
    with changing(backend) as edits:
        put(edits, A, "one:1")

        assert not backend.another().view(NOW).has_image(A.id)


def test_a_change_knows_its_time(backend: Backend) -> None:
    with changing(backend, now=NOW + 5) as edits:
        assert edits.now == NOW + 5


def test_a_change_sees_its_own_edits(backend: Backend) -> None:
    with changing(backend) as edits:
        put(edits, A, "one:1")

        assert edits.image_named(ONE) == A.id


def test_nothing_is_left_of_what_is_rolled_back(backend: Backend) -> None:
    with changing(backend) as edits:
        put(edits, A, "one:1")

    assert not backend.view(NOW).has_image(A.id)
    assert list(backend.view(NOW).all_blobs()) == []


def test_a_view_in_a_snapshot_is_of_one_moment(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    view = backend.another().view(NOW)

    with view.snapshot():
        before = view.all_names()
        put_all(backend, (B, "two:1"))
        assert view.all_names() == before

    assert view.all_names() == [ONE, TWO]


def test_a_snapshot_within_a_snapshot_adds_nothing(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    view = backend.another().view(NOW)

    with view.snapshot():
        with view.snapshot():
            assert view.all_names() == [ONE]
        put_all(backend, (B, "two:1"))
        assert view.all_names() == [ONE]


# Admission


def test_an_image_comes_with_the_tree_below_it(backend: Backend) -> None:
    put_all(backend, (A, ""))
    view = backend.view(NOW)

    assert [need.digest for need in view.needs_of(A.top.digest)] == [
        A.id, *(layer.digest for layer in A.layers),
    ]  # fmt: skip
    assert view.tops_of(A.id) == [A.top]
    assert view.facts_of(A.id).size == A.size


def test_an_image_is_kept_with_all_that_its_record_says_of_it(backend: Backend) -> None:
    put_all(backend, (A, ""), (FULL, ""))
    with changing(backend) as edits:
        edits.link_parent(FULL.id, A.id)
        edits.commit()

    kept = backend.view(NOW).stored_image(FULL.id)._asdict()

    assert kept == {name: getattr(FULL, name, None) for name in kept} | {"parent": A.id}


def test_what_is_to_be_kept_of_an_image_is_kept_whatever_its_documents_say(
    backend: Backend,
) -> None:
    kept = FULL.stored()._replace(size=FULL.size + 1, variant="v9")

    put_all(backend, (FULL._replace(kept=kept._replace(parent=A.id)), ""))

    assert backend.view(NOW).stored_image(FULL.id) == kept


def test_what_a_listing_says_of_an_image_is_what_is_kept_of_it(backend: Backend) -> None:
    put_all(backend, (FULL, ""))
    view = backend.view(NOW)
    kept = view.stored_image(FULL.id)

    for facts in (view.facts_of(FULL.id), *view.all_images(), *view.whole({}, NOW).facts.values()):
        assert facts == tuple(getattr(kept, name) for name in facts._fields)


def test_admitting_an_image_again_changes_nothing(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    before = list(backend.view(NOW).all_blobs())

    put_all(backend, (A, "one:1"))

    assert list(backend.view(NOW).all_blobs()) == before


def test_an_image_can_have_several_manifests_oldest_first(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (GZIP, "two:1"))

    assert backend.view(NOW).tops_of(A.id) == [A.top, GZIP.top]


def test_images_share_the_blobs_that_are_equal(backend: Backend) -> None:
    put_all(backend, (A, ""), (B, ""))
    base = A.layers[0].digest

    assert backend.view(NOW).images_needing(base) == [A.id, B.id]
    assert counts_are_right(backend)


def test_an_index_that_came_without_a_platform_gains_it_later(backend: Backend) -> None:
    put_all(backend, (index_over("i", A), ""))

    whole = index_over("i", A, B)
    put_all(backend, (whole, ""))

    needs = backend.view(NOW).needs_of(whole.top.digest)
    assert [need.digest for need in needs] == [A.top.digest, B.top.digest]
    assert counts_are_right(backend)


# Names


def test_a_name_that_moves_tells_what_it_named_before(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))

    with changing(backend) as edits:
        edits.admit(B)
        assert edits.attach(ONE, B.id, B.top.digest, tagged=0) == A.id


def test_a_name_attached_again_to_its_image_keeps_its_place(backend: Backend) -> None:
    put_all(backend, (A, "one:1 two:1"))

    put_all(backend, (A, "one:1"))

    assert [one.name for one in backend.view(NOW).references_of(A.id)] == [ONE, TWO]


def test_a_name_that_moved_is_the_newest_of_its_new_image(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))

    put_all(backend, (B, "one:1"))

    assert [one.name for one in backend.view(NOW).references_of(B.id)] == [TWO, ONE]


def test_no_name_is_given_to_a_manifest_that_the_image_does_not_hold(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))

    with changing(backend) as edits, pytest.raises(NotFound):
        edits.attach(TWO, A.id, GZIP.top.digest, tagged=0)


def test_a_manifest_goes_with_its_last_name_if_the_image_has_another(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (GZIP, "two:1"))

    put_all(backend, (B, "two:1"))

    view = backend.view(NOW)
    assert view.tops_of(A.id) == [A.top]
    assert set(view.doomed()) == {GZIP.top.digest, *(layer.digest for layer in GZIP.layers)}
    assert counts_are_right(backend)


def test_a_manifest_whose_name_moves_stays_if_another_name_comes_to_it(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (GZIP, "two:1"))

    put_all(backend, (B, "one:1"), (A, "three:1"))

    view = backend.view(NOW)
    assert view.top_named(name_of("three:1")) == A.top
    assert view.tops_of(A.id) == [A.top, GZIP.top]


def test_a_manifest_whose_name_goes_to_an_artifact_of_it_stays_with_that(backend: Backend) -> None:
    name = name_of(f"one:sha256-{A.top.digest.hex}.sig")
    put_all(backend, (A, name), (GZIP, "two:1"))

    with changing(backend) as edits:
        put(edits, B)
        edits.attach(name, B.id, B.top.digest, tagged=0)
        edits.commit()

    view = backend.view(NOW)
    assert view.image_named(name) == B.id
    assert [top.digest for top in view.manifests_of(A.id)] == [A.top.digest, GZIP.top.digest]


def test_an_image_that_loses_its_last_name_keeps_what_it_holds(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))

    put_all(backend, (B, "one:1"))

    assert backend.view(NOW).tops_of(A.id) == [A.top]


# Removal


def removed(backend: Backend, argument: str, *, force: bool = False) -> None:
    with changing(backend) as edits:
        edits.apply(plan_removal(edits, argument, force=force))
        edits.commit()


def test_what_nothing_needs_any_more_is_doomed_until_its_bytes_are_gone(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))

    removed(backend, "one:1")

    gone = {A.top.digest, A.id, A.layers[1].digest}
    assert set(backend.view(NOW).doomed()) == gone
    with changing(backend) as edits:
        edits.forget_doomed(max(gone))
        edits.commit()
    assert list(backend.view(NOW).doomed()) == []


def test_a_blob_that_comes_again_is_doomed_no_more(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    removed(backend, "one:1")

    put_all(backend, (A, "one:1"))

    assert list(backend.view(NOW).doomed()) == []


def test_a_blob_that_something_needs_is_never_let_go(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))
    base = A.layers[0].digest

    def let_go(edits: Edits) -> None:
        edits.apply(RemovalPlan((), (), (), (base,), (), 0, ()))
        edits.commit()

    with changing(backend) as edits, pytest.raises(CasstoreError):
        let_go(edits)

    assert backend.view(NOW).blob_size(base) is not None


def test_a_layer_that_goes_and_comes_again_in_one_change_is_there(backend: Backend) -> None:
    with changing(backend) as edits:
        put(edits, A, "one:1")
        edits.apply(plan_removal(edits, "one:1"))
        put(edits, B, "two:1")
        edits.commit()

    view = backend.view(NOW)
    assert {one.digest for one in view.all_blobs()} == {one.digest for one in B.blobs}
    needs = [one.digest for one in view.needs_of(B.top.digest)]
    assert needs == list(B.blobs[0].children)
    assert counts_are_right(backend)


def test_what_belongs_to_an_image_goes_with_it(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))
    with changing(backend) as edits:
        edits.link_parent(B.id, A.id)
        edits.set_pin(A.id, pinned=True)
        edits.set_lease("keep", A.id, None)
        edits.commit()

    with changing(backend) as edits:
        plan = RemovalPlan((ONE,), (), (A.id,), (), (), 0, ())
        edits.apply(plan)
        edits.free_unneeded([A.top.digest])
        edits.commit()

    view = backend.view(NOW)
    assert (view.all_pins(), view.all_leases(), view.parent_of(B.id)) == (set(), [], None)
    assert counts_are_right(backend)


# Leases, pins, settings


def test_a_soft_lease_lives_until_it_expires(backend: Backend) -> None:
    put_all(backend, (A, ""))
    with changing(backend) as edits:
        edits.set_lease("short", A.id, NOW + 1)
        edits.set_lease("long", A.id, None)
        edits.commit()

    assert [lease.name for lease in backend.view(NOW).leases_on(A.id)] == ["long", "short"]
    assert [lease.name for lease in backend.view(NOW + 1).leases_on(A.id)] == ["long"]


def test_hard_leases_come_before_soft_ones(backend: Backend) -> None:
    put_all(backend, (A, ""))
    with changing(backend, hard={A.id: ["held"]}) as edits:
        edits.set_lease("a soft one", A.id, None)

        assert [lease.name for lease in edits.leases_on(A.id)] == ["held", "a soft one"]


def test_expired_leases_can_be_removed(backend: Backend) -> None:
    put_all(backend, (A, ""))
    with changing(backend) as edits:
        edits.set_lease("short", A.id, NOW)
        edits.set_lease("long", A.id, NOW + 1)

        assert edits.drop_expired(NOW) == 1
        assert [name for name, _, _ in edits.all_leases()] == ["long"]


def test_only_a_lease_that_is_there_can_be_ended(backend: Backend) -> None:
    put_all(backend, (A, ""))
    with changing(backend) as edits:
        edits.set_lease("keep", A.id, None)

        assert [edits.drop_lease("keep"), edits.drop_lease("keep")] == [True, False]


def test_a_pin_holds_until_it_is_taken_away(backend: Backend) -> None:
    put_all(backend, (A, ""))
    with changing(backend) as edits:
        edits.set_pin(A.id, pinned=True)
        edits.set_pin(A.id, pinned=True)
        assert edits.is_pinned(A.id)
        edits.set_pin(A.id, pinned=False)
        assert not edits.is_pinned(A.id)


def test_a_setting_is_there_until_it_is_dropped(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.set_meta("setting.x", "1")
        assert edits.meta("setting.x") == "1"
        edits.drop_meta("setting.x")
        edits.drop_meta("setting.x")
        assert edits.meta("setting.x") is None


# The trash


def trashed(
    backend: Backend, argument: str, *, expires: int = NOW + 10, force: bool = False
) -> int:
    from casstore.rules.removal import without_freeing

    with changing(backend) as edits:
        plan = without_freeing(plan_removal(edits, argument, force=force))
        number = edits.bin(removed=NOW, expires=expires).keep(plan)
        edits.apply(plan)
        edits.commit()
    assert number is not None
    return number


def test_what_is_kept_in_the_trash_frees_nothing(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))

    trashed(backend, "one:1")

    assert list(backend.view(NOW).doomed()) == []
    assert not backend.view(NOW).has_image(A.id)
    assert counts_are_right(backend)


def test_an_entry_has_all_that_brings_the_image_back(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    with changing(backend) as edits:
        edits.set_pin(A.id, pinned=True)
        edits.set_pin(A.id, pinned=False)
        edits.commit()

    entry = backend.view(NOW).trash.entry(trashed(backend, "one:1"))

    assert entry is not None
    (kept,) = entry.images
    assert (kept.id, [one.name for one in kept.names]) == (A.id, [ONE])
    assert [record.top for record in kept.records] == [A.top]
    assert (entry.removed, entry.expires) == (NOW, NOW + 10)


def test_an_image_that_comes_back_is_as_it_was(backend: Backend) -> None:
    put_all(backend, (A, "two:1"), (FULL, "one:1"))
    with changing(backend) as edits:
        edits.link_parent(FULL.id, A.id)
        edits.commit()
    before = backend.view(NOW).stored_image(FULL.id)

    entry = backend.view(NOW).trash.entry(trashed(backend, "one:1"))
    assert entry is not None
    with changing(backend, now=NOW + 1) as edits:
        for record in entry.images[0].records:
            edits.admit(record)
        edits.link_parent(FULL.id, A.id)
        edits.commit()

    assert backend.view(NOW).stored_image(FULL.id) == before


def test_an_entry_that_is_written_is_read_as_it_was(backend: Backend) -> None:
    put_all(backend, (A, "two:1"), (FULL, "one:1"))
    with changing(backend) as edits:
        edits.attach(name_of("three:1"), FULL.id, FULL.top.digest, tagged=NOW - 1)
        edits.link_parent(FULL.id, A.id)
        edits.set_pin(FULL.id, pinned=True)
        edits.commit()
    trashed(backend, "one:1")
    entry = backend.view(NOW).trash.entry(trashed(backend, "three:1", force=True))
    assert entry is not None

    again = entry._replace(id=entry.id + 5)
    with changing(backend) as edits:
        edits.trash.put(again)
        edits.commit()

    assert backend.view(NOW).trash.entry(again.id) == again
    assert again.images[0].pinned and again.images[0].names[0].tagged == NOW - 1


def test_entries_are_found_by_name_and_by_image(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    number = trashed(backend, "one:1")
    trash = backend.view(NOW).trash

    assert (trash.find_name(ONE), trash.find_image(A.id.hex[:12])) == (number, number)
    assert (trash.find_name(TWO), trash.find_image(digest_of("x").hex[:12])) == (None, None)


def test_the_newest_entry_of_a_name_is_found(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    trashed(backend, "one:1")
    put_all(backend, (B, "one:1"))

    newest = trashed(backend, "one:1")

    trash = backend.view(NOW).trash
    assert trash.find_name(ONE) == newest
    assert trash.ids()[0] == newest


def test_dropping_an_entry_frees_what_it_alone_held(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))
    number = trashed(backend, "one:1")

    with changing(backend) as edits:
        freed = edits.trash.drop(number)
        edits.commit()

    assert freed == A.top.size + 100 + A.layers[1].size
    assert backend.view(NOW).trash.ids() == []
    assert counts_are_right(backend)


def test_no_number_of_the_trash_is_used_again(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    first = trashed(backend, "one:1")
    with changing(backend) as edits:
        edits.trash.drop(first)
        edits.commit()
    put_all(backend, (A, "one:1"))

    assert trashed(backend, "one:1") != first


def test_a_change_empties_what_has_expired_and_nothing_else(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))
    trashed(backend, "one:1", expires=NOW + 2)
    later = trashed(backend, "two:1", expires=NOW + 9)

    with changing(backend, now=NOW + 5) as edits:
        assert edits.drop_expired_trash(NOW + 5) == 1
        assert edits.drop_expired_trash(NOW + 5) == 0
        edits.commit()
    assert backend.view(NOW).trash.ids() == [later]
    assert counts_are_right(backend)


def test_expired_entries_go_oldest_first(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))
    trashed(backend, "one:1", expires=NOW + 2)
    later = trashed(backend, "two:1", expires=NOW + 3)

    with changing(backend, now=NOW + 5) as edits:
        assert edits.trash.drop_expired(NOW + 5, most=1) == 1
        assert edits.trash.ids() == [later]
        assert edits.trash.drop_expired(NOW + 5) == 1
        assert edits.trash.ids() == []


def test_no_lease_has_a_name_that_is_no_text(backend: Backend) -> None:
    with changing(backend) as edits:
        assert edits.drop_lease("\udcff") is False
