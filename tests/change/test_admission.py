"""Images that have arrived: their names, whom these belonged to before, and their parents."""

from __future__ import annotations

import pytest

from casstore.backends.memory.backend import MemoryBackend
from casstore.change.admission import admit_arrivals
from casstore.errors import Refused
from casstore.model.digest import Digest
from casstore.model.record import Arrival, ImageRecord
from casstore.model.state import BROKEN, PROMISED, SETTLED
from casstore.ports.edits import Edits
from casstore.results.exchange import Renamed
from tests.contract.opening import changing
from tests.contract.records import FILE_BYTES, digest_of, image, name_of

A, B, C = image("a", "base"), image("b", "base"), image("c", "base")


@pytest.fixture
def backend() -> MemoryBackend:
    backend = MemoryBackend()
    backend.create()
    return backend


def arrival(record: ImageRecord, *names: str, parent: Digest | None = None) -> Arrival:
    return Arrival(record, tuple(name_of(name) for name in names), parent)


def named(index: Edits, image: Digest) -> list[str]:
    return [one.name.familiar for one in index.references_of(image)]


def test_an_image_is_there_with_its_names_in_order(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        (loaded,) = admit_arrivals(index, [arrival(A, "b:1", "a:1")])

        assert named(index, A.id) == ["b:1", "a:1"]
    assert (loaded.id, loaded.names) == (A.id, (name_of("b:1"), name_of("a:1")))


PROMISE = image("a", "base base", state=PROMISED)


def test_a_promise_gives_way_to_what_another_load_has_brought_meanwhile(
    backend: MemoryBackend,
) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(B, "b:1")])
        admit_arrivals(index, [arrival(PROMISE, "a:1")])

        assert index.facts_of(PROMISE.id).size == 2 * FILE_BYTES
        assert list(index.unsettled_layers()) == []


@pytest.mark.parametrize("state", [PROMISED, SETTLED, BROKEN])
def test_a_promise_is_refused_that_differs_from_what_is_known_by_now(
    backend: MemoryBackend, state: int
) -> None:
    known = image("b", "base", state=state)
    (layer,) = known.layers
    other = known._replace(layers=(layer._replace(diff_id=digest_of("other")),))
    with changing(backend) as index:
        admit_arrivals(index, [arrival(other, "b:1")])
        with pytest.raises(Refused, match="try again"):
            admit_arrivals(index, [arrival(PROMISE, "a:1")])


def test_a_promise_is_refused_of_a_layer_that_is_known_to_be_broken(
    backend: MemoryBackend,
) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(image("b", "base", state=BROKEN), "b:1")])
        with pytest.raises(Refused, match="try again"):
            admit_arrivals(index, [arrival(PROMISE, "a:1")])


def test_names_that_are_new_are_told_as_changed(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1")])
        (loaded,) = admit_arrivals(index, [arrival(A, "a:1", "a:2")])

    assert loaded.changed == (name_of("a:2"),)
    assert loaded.renamed == ()


def test_a_name_that_moves_is_told_with_the_image_that_had_it(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1")])
        (loaded,) = admit_arrivals(index, [arrival(B, "a:1")])

    assert loaded.renamed == (Renamed(name_of("a:1"), A.id),)
    assert loaded.changed == (name_of("a:1"),)


def test_a_name_counts_as_tagged_at_no_time(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1")])

        assert index.last_tagged(A.id) == 0


def test_images_are_told_in_the_order_in_which_they_arrived(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        loaded = admit_arrivals(index, [arrival(B), arrival(A, "a:1")])

    assert [one.id for one in loaded] == [B.id, A.id]


def test_a_manifest_that_arrives_without_a_name_stays_though_its_name_moves(
    backend: MemoryBackend,
) -> None:
    gzip = image("a", "base", form="gzip")
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1"), arrival(gzip, "a:2")])
        index.commit()
    with changing(backend) as index:
        # a:2 moves within the image, so that `gzip` has no name; but it has come by itself too.
        admit_arrivals(index, [arrival(A, "a:2"), arrival(gzip)])
        index.commit()

    tops = backend.view(0).tops_of(A.id)
    assert {top.digest for top in tops} == {A.top.digest, gzip.top.digest}


def test_a_child_may_arrive_before_its_parent(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, parent=B.id), arrival(B)])

        assert index.parent_of(A.id) == B.id


def test_an_image_with_names_has_its_parent_too(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1", parent=B.id), arrival(B, "b:1")])

        assert index.parent_of(A.id) == B.id


def test_a_parent_that_is_not_there_is_none(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, parent=B.id)])

        assert index.parent_of(A.id) is None


def test_an_image_cannot_be_its_own_ancestor(backend: MemoryBackend) -> None:
    circle = [arrival(A, parent=B.id), arrival(B, parent=C.id), arrival(C, parent=A.id)]
    with changing(backend) as index:
        with pytest.raises(Refused, match=f"^image {A.id} is not a valid parent for {C.id}$"):
            admit_arrivals(index, circle)
        with pytest.raises(Refused, match="is not a valid parent"):
            admit_arrivals(index, [arrival(A, parent=A.id)])


def test_a_name_that_is_there_stays_where_nothing_is_to_be_clobbered(
    backend: MemoryBackend,
) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1")])
        (loaded,) = admit_arrivals(index, [arrival(B, "a:1", "b:1", "a:1")], clobber=False)

        assert named(index, A.id) == ["a:1"]
        assert named(index, B.id) == ["b:1"]
    assert (loaded.names, loaded.kept) == ((name_of("b:1"),), (name_of("a:1"),))
    assert loaded.renamed == ()


def test_an_image_all_of_whose_names_are_taken_comes_without_one(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1")])
        admit_arrivals(index, [arrival(B, "a:1")], clobber=False)

        assert index.has_image(B.id)
        assert index.references_of(B.id) == []


def test_a_name_that_is_at_the_same_manifest_is_not_told_as_kept(backend: MemoryBackend) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1")])
        (loaded,) = admit_arrivals(index, [arrival(A, "a:1")], clobber=False)

    assert (loaded.names, loaded.kept) == ((name_of("a:1"),), ())


def test_of_two_images_of_one_load_the_last_gets_a_name_that_is_new(
    backend: MemoryBackend,
) -> None:
    with changing(backend) as index:
        admit_arrivals(index, [arrival(A, "a:1"), arrival(B, "a:1")], clobber=False)

        assert named(index, B.id) == ["a:1"]
