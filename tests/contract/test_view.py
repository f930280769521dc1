"""What a look at a store says: subjects, names, blobs, the trash, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.errors import NotFound
from casstore.rules.removal import plan_removal, without_freeing
from tests.contract.opening import NOW, changing
from tests.contract.records import digest_of, image, index_over, name_of
from tests.contract.test_edits import GZIP, ONE, TWO, A, B, counts_are_right, put_all, trashed

if TYPE_CHECKING:
    from casstore.ports.backend import Backend

SECOND = 10**9
SIGNATURE = image("signature", "payload", subject=A.top.digest)
BY_TAG = f"host.x/app:sha256-{A.top.digest.hex}.sig"


# What refers to what


def test_an_image_refers_to_the_subject_of_its_manifest(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"), (SIGNATURE, ""))
    view = backend.view(NOW)

    assert list(view.referrers_of(A.top.digest)) == [SIGNATURE.id]
    assert list(view.subjects_of(SIGNATURE.id)) == [A.top.digest]
    assert set(view.all_referrers()) == {SIGNATURE.id}
    assert (view.refers(SIGNATURE.id), view.refers(B.id)) == (True, False)
    assert (list(view.subjects_of(B.id)), list(view.referrers_of(B.top.digest))) == ([], [])


def test_an_image_refers_to_what_its_tag_says(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, BY_TAG))

    assert list(backend.view(NOW).subjects_of(B.id)) == [A.top.digest]


def test_a_subject_that_is_told_twice_is_one(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (SIGNATURE, BY_TAG))

    assert list(backend.view(NOW).subjects_of(SIGNATURE.id)) == [A.top.digest]
    assert list(backend.view(NOW).referrers_of(A.top.digest)) == [SIGNATURE.id]


def test_a_subject_that_is_not_there_is_none(backend: Backend) -> None:
    put_all(backend, (SIGNATURE, ""))
    view = backend.view(NOW)

    assert list(view.subjects_of(SIGNATURE.id)) == []
    assert not view.refers(SIGNATURE.id)
    assert set(view.all_referrers()) == set()


def test_an_image_of_several_manifests_refers_by_one_of_them(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"), (image("b", "base", form="gzip"), BY_TAG))

    assert list(backend.view(NOW).referrers_of(A.top.digest)) == [B.id]


def test_subjects_are_told_in_the_order_in_which_they_came(backend: Backend) -> None:
    other = f"host.x/app:sha256-{B.top.digest.hex}.sig"
    put_all(backend, (A, "one:1"), (B, "two:1"), (image("c"), f"{other} {BY_TAG}"))

    assert list(backend.view(NOW).subjects_of(digest_of("c"))) == [A.top.digest, B.top.digest]


def test_what_is_gone_refers_to_nothing_when_it_comes_again(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, BY_TAG))
    with changing(backend) as edits:
        edits.apply(plan_removal(edits, BY_TAG))
        edits.commit()
    put_all(backend, (B, "two:1"))

    assert list(backend.view(NOW).subjects_of(B.id)) == []


# Images that come in parts and in forms


def test_an_image_that_gains_a_platform_has_the_larger_size(backend: Backend) -> None:
    part, whole = index_over("i", A), index_over("i", A, B)
    for record in (part, whole, part):
        put_all(backend, (record, ""))

    assert backend.view(NOW).facts_of(whole.id).size == whole.size > part.size


def test_an_image_that_gains_what_is_there_already_has_the_larger_size(backend: Backend) -> None:
    part, whole = index_over("i", A), index_over("i", A, B)
    put_all(backend, (B, "two:1"), (part, ""), (whole, ""))

    assert backend.view(NOW).facts_of(whole.id).size == whole.size


def test_an_index_that_came_in_parts_has_its_children_in_the_order_in_which_they_came(
    backend: Backend,
) -> None:
    put_all(backend, (index_over("i", B), ""), (index_over("i", A), ""))
    needs = backend.view(NOW).needs_of(index_over("i", A).top.digest)

    assert [one.digest for one in needs] == [B.top.digest, A.top.digest]


def test_an_index_that_is_whole_has_its_children_in_its_own_order(backend: Backend) -> None:
    put_all(backend, (index_over("i", B), ""), (index_over("i", A, B), ""))
    needs = backend.view(NOW).needs_of(index_over("i", A).top.digest)

    assert [one.digest for one in needs] == [A.top.digest, B.top.digest]
    assert counts_are_right(backend)


def test_what_a_layer_says_can_come_later_than_its_bytes(backend: Backend) -> None:
    put_all(backend, (A._replace(layers=()), "one:1"))
    assert backend.view(NOW).layer(A.layers[0].digest) is None
    put_all(backend, (A, "one:1"))

    assert backend.view(NOW).layer(A.layers[0].digest) == A.layers[0]


def test_a_name_can_move_between_the_manifests_of_an_image(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (GZIP, "two:1"))
    with changing(backend) as edits:
        assert edits.attach(ONE, A.id, GZIP.top.digest, tagged=0) is None
        edits.commit()
    view = backend.view(NOW)

    assert view.top_named(ONE) == GZIP.top
    assert view.all_names() == [ONE, TWO]
    assert list(view.tops_of(A.id)) == [GZIP.top]


# Names


def test_names_between_two_are_told_by_text_the_first_included(backend: Backend) -> None:
    put_all(backend, (A, "h.x/c:1 h.x/a:1 h.x/b:1 h.x/d:1"))
    view = backend.view(NOW)

    assert view.names_between("h.x/a:1", "h.x/d:1", 9) == ["h.x/a:1", "h.x/b:1", "h.x/c:1"]
    assert view.names_between("h.x/a:1", "h.x/d:1", 2) == ["h.x/a:1", "h.x/b:1"]


def test_an_image_was_last_tagged_when_its_newest_name_was_made(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.admit(A)
        for name, tagged in (("one:1", 5), ("two:1", 9), ("three:1", 7)):
            edits.attach(name_of(name), A.id, A.top.digest, tagged=tagged)
        edits.commit()

    assert backend.view(NOW).last_tagged(A.id) == 9


def test_of_the_images_and_blobs_with_a_prefix_two_are_told_by_text(backend: Backend) -> None:
    records = [image(f"image {number}") for number in range(40)]
    put_all(backend, *((record, "") for record in records))
    view = backend.view(NOW)
    ids = sorted(record.id for record in records)
    prefix = next(
        one.hex[0] for one, other in zip(ids, ids[2:], strict=False) if one[7] == other[7]
    )

    assert list(view.images_with_prefix(prefix)) == [i for i in ids if i.hex[0] == prefix][:2]
    blobs = sorted({blob.digest for record in records for blob in record.blobs})
    assert list(view.blobs_with_prefix(prefix)) == [b for b in blobs if b.hex[0] == prefix][:2]


def test_parents_are_told(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))
    with changing(backend) as edits:
        edits.link_parent(B.id, A.id)
        edits.commit()

    assert set(backend.view(NOW).all_parents()) == {A.id}


# Listings


def test_images_are_told_newest_first_by_the_second_and_then_by_id(backend: Backend) -> None:
    # Of the first two, which are of one second, the one with the lesser ID is the older.
    lesser, greater = sorted(("old", "new"), key=digest_of)
    dated = {lesser: 1, greater: 5, "newer": 5 * SECOND, "newest": 9 * SECOND + 7, "none": None}
    records = {name: image(name, created=created) for name, created in dated.items()}
    put_all(backend, *((record, "") for record in records.values()))
    same = sorted((records["old"].id, records["new"].id))

    assert [one.id for one in backend.view(NOW).all_images()] == [
        records["newest"].id, records["newer"].id, *same, records["none"].id,
    ]  # fmt: skip


def test_a_list_tells_what_an_image_has_beyond_its_parent(backend: Backend) -> None:
    base, child = image("base", "a"), image("child", "a b")
    twin = image("twin", "a")
    put_all(backend, (base, ""), (child, "child:1"), (twin, ""))
    with changing(backend) as edits:
        edits.link_parent(child.id, base.id)
        edits.link_parent(twin.id, base.id)
        edits.set_pin(twin.id, pinned=True)
        edits.commit()
    listed = {one[0].id: one[1:] for one in backend.view(NOW).listed_images()}

    assert listed == {
        base.id: ((), 7, 2, False, True),
        child.id: ((name_of("child:1"),), 7, 0, False, True),
        twin.id: ((), 0, 0, True, True),
    }


# Blobs


def test_a_blob_is_told_with_its_files_only_where_it_is_a_layer(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    states = {one.digest: one for one in backend.view(NOW).all_blobs()}

    assert states[A.top.digest].file_bytes == states[A.id].file_bytes == 0
    assert states[A.layers[0].digest].file_bytes == A.layers[0].file_bytes


def test_what_a_document_needs_is_told_with_what_is_known_of_layers(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    view = backend.view(NOW)

    assert view.needs_and_layers_of(A.top.digest) == [
        (A.id, None), *((layer.digest, layer) for layer in A.layers),
    ]  # fmt: skip
    assert view.needs_and_layers_of(digest_of("nothing")) == []


def test_of_the_layers_with_a_diff_id_the_smallest_is_found(backend: Backend) -> None:
    small = GZIP.layers[0]._replace(size=10)
    blobs = tuple(
        one._replace(size=10) if one.digest == small.digest else one for one in GZIP.blobs
    )
    put_all(
        backend, (A, "one:1"), (GZIP._replace(blobs=blobs, layers=(small, GZIP.layers[1])), "two:1")
    )

    assert backend.view(NOW).layer_with_diff_id(small.diff_id) == small


def test_layers_are_told_that_can_be_read_as_such(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (GZIP._replace(layers=GZIP.layers[:1]), "two:1"))

    assert {one.digest for one in backend.view(NOW).all_layers()} == {
        A.layers[0].digest, A.layers[1].digest, GZIP.layers[0].digest,
    }  # fmt: skip


def test_doomed_blobs_are_told_by_their_digests(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    with changing(backend) as edits:
        assert edits.has_doomed() is False
        edits.apply(plan_removal(edits, "one:1"))
        assert edits.has_doomed() is True
        edits.commit()
        doomed = list(edits.doomed())

    assert doomed == sorted(doomed)
    assert len(doomed) == 4


def test_what_waits_to_go_is_doomed_too(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    with changing(backend) as edits:
        edits.expect_many()
        edits.apply(plan_removal(edits, "one:1"))

        assert edits.has_doomed() is True


def test_of_some_blobs_those_are_told_that_are_known(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    known = [one.digest for one in A.blobs]
    others = [digest_of(f"other {number}") for number in range(1200)]
    view = backend.view(NOW)

    assert view.known_among([*others, *known]) == set(known)
    assert view.known_among(known[:1]) == {known[0]}
    assert view.known_among(others[:3]) == view.known_among([]) == set()


def test_the_digests_are_those_of_every_blob(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))

    digests = backend.view(NOW).digests()

    assert len(digests) == len(A.blobs)
    assert sorted(digests) == sorted(one.digest.raw for one in A.blobs)


def test_a_whole_view_is_what_the_view_says(backend: Backend) -> None:
    put_all(backend, (A, "one:1 two:1"), (B, "three:1"), (SIGNATURE, ""))
    view = backend.view(NOW)
    whole = view.whole({B.id: ["job"]}, NOW)

    assert whole.names_of(A.id) == (ONE, TWO)
    assert [(one.name, one.hard) for one in whole.leases_on(B.id)] == [("job", True)]
    assert list(whole.subjects_of(SIGNATURE.id)) == [A.top.digest]
    for digest in (A.top.digest, A.id):
        assert list(whole.needs_of(digest)) == list(view.needs_of(digest))
    assert whole.stored == view.stored_bytes()
    assert whole.blobs == len(list(view.all_blobs()))


def test_leases_are_told_with_their_kind(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    with changing(backend, hard={A.id: ["zz"]}) as edits:
        edits.set_lease("aa", A.id, None)

        assert [(one.name, one.hard) for one in edits.leases_on(A.id)] == [
            ("zz", True), ("aa", False),
        ]  # fmt: skip


def test_a_lease_that_lasts_for_ever_never_expires(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    with changing(backend) as edits:
        edits.set_lease("always", A.id, None)
        edits.set_lease("now", A.id, NOW)

        assert edits.drop_expired(NOW) == 1
        assert [name for name, _, _ in edits.all_leases()] == ["always"]


def test_a_view_with_hard_leases_is_the_view_and_these(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    view = backend.view(NOW).with_hard_leases({A.id: ["job"]})

    assert view.image_named(ONE) == A.id
    assert [(one.name, one.hard) for one in view.leases_on(A.id)] == [("job", True)]


# The list that other tools read


def test_the_published_list_has_the_names_in_order_then_what_has_none(backend: Backend) -> None:
    put_all(backend, (A, "two:1 one:1"), (GZIP, "gzip:1"), (B, ""))
    with changing(backend) as edits:
        edits.link_parent(A.id, B.id)
        edits.set_pin(B.id, pinned=True)
        told = [(row.name, row.top, row.parent, row.pinned) for row in edits.all_published()]

    assert told == [
        (TWO, A.top, B.id, False),
        (ONE, A.top, B.id, False),
        (name_of("gzip:1"), GZIP.top, B.id, False),
        (None, B.top, None, True),
    ]


# The trash


def test_an_entry_of_a_name_has_its_manifest_alone(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (GZIP, "two:1"))
    number = trashed(backend, "two:1")
    entry = backend.view(NOW).trash.entry(number)

    assert entry is not None
    assert [record.top for kept in entry.images for record in kept.records] == [GZIP.top]


def test_the_names_of_one_image_are_kept_together_and_counted_once(backend: Backend) -> None:
    put_all(backend, (A, "one:1 two:1"))
    with changing(backend) as edits:
        bin_ = edits.bin(removed=NOW, expires=NOW + 10)
        numbers = set()
        for name in ("one:1", "two:1"):
            plan = without_freeing(plan_removal(edits, name))
            numbers.add(bin_.keep(plan))
            edits.apply(plan)
        edits.commit()

    (number,) = backend.view(NOW).trash.ids()
    assert numbers == {number}
    assert counts_are_right(backend)
    with changing(backend) as edits:
        edits.trash.drop(number)
        edits.commit()
    assert list(backend.view(NOW).all_blobs()) == []


def test_entries_that_expire_go_by_when_they_do_the_moment_itself_included(
    backend: Backend,
) -> None:
    put_all(backend, (A, "one:1"), (B, "two:1"))
    later = trashed(backend, "one:1", expires=NOW + 3)
    sooner = trashed(backend, "two:1", expires=NOW + 2)

    with changing(backend, now=NOW + 3) as edits:
        assert edits.trash.drop_expired(NOW + 3, most=1) == 1
        assert edits.trash.ids() == [later]
        assert edits.trash.drop_expired(NOW + 3, most=1) == 1
    assert set(backend.view(NOW).trash.ids()) == {later, sooner}


def test_the_newest_entry_of_an_image_is_found(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    trashed(backend, "one:1")
    put_all(backend, (A, "one:1"))
    newest = trashed(backend, "one:1")

    assert backend.view(NOW).trash.find_image(A.id.hex) == newest


def test_a_manifest_in_the_trash_is_told_with_its_image_its_entry_and_its_end(
    backend: Backend,
) -> None:
    put_all(backend, (A, "one:1"))
    first = trashed(backend, "one:1", expires=NOW + 5)
    put_all(backend, (A, "one:1"), (B, "two:1"))
    second = trashed(backend, "one:1", expires=NOW + 6)
    trashed(backend, "two:1")

    assert backend.view(NOW).trash_of(A.top.digest) == [
        (A.id, first, NOW + 5), (A.id, second, NOW + 6),
    ]  # fmt: skip
    assert backend.view(NOW).trash_of(digest_of("nothing")) == []


def test_the_first_entry_has_the_number_1(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))

    assert trashed(backend, "one:1") == 1


def test_an_entry_frees_what_its_manifests_share_once(backend: Backend) -> None:
    put_all(backend, (A, "one:1"), (GZIP, "two:1"))
    bytes_ = backend.view(NOW).stored_bytes()
    with changing(backend) as edits:
        plan = without_freeing(plan_removal(edits, A.id.hex, force=True))
        number = edits.bin(removed=NOW, expires=NOW + 10).keep(plan)
        assert number is not None
        edits.apply(plan)

        assert edits.trash.drop(number) == bytes_


def test_entries_with_a_manifest_are_told_by_number(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    entry = backend.view(NOW).trash.entry(trashed(backend, "one:1"))
    assert entry is not None
    with changing(backend) as edits:
        for number in (9, 5):
            edits.trash.put(entry._replace(id=number))

        told = [number for _, number, _ in edits.trash_of(A.top.digest)]
        assert told == [entry.id, 5, 9]


def test_an_entry_that_is_put_back_keeps_its_number(backend: Backend) -> None:
    put_all(backend, (A, "one:1"))
    entry = backend.view(NOW).trash.entry(trashed(backend, "one:1"))
    assert entry is not None
    with changing(backend) as edits:
        edits.trash.drop(entry.id)
        edits.admit(A)
        edits.trash.put(entry._replace(id=entry.id + 5))
        edits.commit()
    put_all(backend, (B, "two:1"))

    assert trashed(backend, "two:1") == entry.id + 6


def test_of_an_image_that_is_not_there_nothing_can_be_told(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.commit()
    view, nothing = backend.view(NOW), digest_of("nothing")

    for ask in (view.facts_of, view.stored_image):
        with pytest.raises(NotFound):
            ask(nothing)
    assert view.refers(nothing) is False
    assert [*view.subjects_of(nothing), *view.references_of(nothing)] == []


def test_what_is_not_hex_is_the_beginning_of_no_digest(backend: Backend) -> None:
    with changing(backend) as edits:
        edits.admit(image("a", "base"))
        edits.commit()
    view = backend.view(NOW)

    assert list(view.images_with_prefix("zz")) == list(view.blobs_with_prefix("zz")) == []
    assert view.trash.find_image("zz") is None


def test_an_entry_of_the_trash_that_is_not_there_holds_nothing(backend: Backend) -> None:
    with changing(backend) as edits:
        assert (edits.trash.entry(7), edits.trash.held_by(7), edits.trash.drop(7)) == (None, [], 0)
