"""Layers that are promised, settled or broken, and what follows from it for images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casstore.model.descriptor import LAYER
from casstore.model.state import BROKEN, PROMISED, SETTLED
from casstore.rules.removal import plan_removal, without_freeing
from tests.contract.opening import NOW, changing
from tests.contract.records import FILE_BYTES, SIZES, digest_of, image, index_over

if TYPE_CHECKING:
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.model.record import ImageRecord
    from casstore.ports.backend import Backend

PROMISE = image("app", "a b", state=PROMISED)
FOUND = [one._replace(file_bytes=FILE_BYTES, state=SETTLED) for one in PROMISE.layers]


def put(backend: Backend, record: ImageRecord) -> None:
    with changing(backend) as edits:
        edits.admit(record)
        edits.commit()


def record_layers(backend: Backend, *found: LayerRecord) -> None:
    with changing(backend) as edits:
        edits.record_layers(found)
        edits.commit()


def thrown_away(backend: Backend, image: Digest) -> int:
    with changing(backend) as edits:
        plan = without_freeing(plan_removal(edits, image))
        number = edits.bin(removed=NOW, expires=NOW + 10).keep(plan)
        edits.apply(plan)
        edits.commit()
    assert number is not None
    return number


def test_a_promised_layer_stands_for_no_tar(backend: Backend) -> None:
    put(backend, PROMISE)
    view = backend.view(NOW)

    assert view.layer(PROMISE.layers[0].digest) == PROMISE.layers[0]
    assert view.layer_with_diff_id(PROMISE.layers[0].diff_id) is None
    assert list(view.unsettled_layers()) == list(PROMISE.layers)
    assert {need.state for need in view.needs_of(PROMISE.top.digest)[1:]} == {PROMISED}


def test_what_reading_a_layer_has_found_is_written(backend: Backend) -> None:
    put(backend, PROMISE)
    other = FOUND[0]._replace(diff_id=digest_of("other"), diff_size=4711)

    record_layers(backend, other)

    view = backend.view(NOW)
    assert view.layer(other.digest) == other
    assert view.layer_with_diff_id(other.diff_id) == other
    assert list(view.unsettled_layers()) == [PROMISE.layers[1]]


def test_images_get_the_size_that_their_layers_turn_out_to_have(backend: Backend) -> None:
    put(backend, PROMISE)
    put(backend, image("other", "b c", state=PROMISED))
    before = backend.view(NOW).facts_of(PROMISE.id).size

    record_layers(backend, *FOUND)

    view = backend.view(NOW)
    assert (before, view.facts_of(PROMISE.id).size) == (2 * SIZES[LAYER], 2 * FILE_BYTES)
    assert view.facts_of(digest_of("other")).size == FILE_BYTES + SIZES[LAYER]


def test_an_index_gets_the_size_of_its_platforms(backend: Backend) -> None:
    top = index_over("both", PROMISE, image("other", "b c"))
    put(backend, top)

    record_layers(backend, *FOUND)

    assert backend.view(NOW).facts_of(top.id).size == 4 * FILE_BYTES


def test_images_in_the_trash_get_it_too(backend: Backend) -> None:
    put(backend, PROMISE)
    number = thrown_away(backend, PROMISE.id)

    record_layers(backend, *FOUND)

    entry = backend.view(NOW).trash.entry(number)
    assert entry is not None
    assert [record.size for record in entry.images[0].records] == [2 * FILE_BYTES]


def test_a_settled_layer_stays_as_it_is(backend: Backend) -> None:
    settled = image("app", "a b")
    put(backend, settled)

    put(backend, PROMISE)
    record_layers(backend, FOUND[0]._replace(diff_id=digest_of("other"), state=BROKEN))

    view = backend.view(NOW)
    assert [view.layer(one.digest) for one in settled.layers] == list(settled.layers)
    assert view.facts_of(settled.id).size == 2 * FILE_BYTES


def test_a_layer_that_comes_verified_settles_the_promise(backend: Backend) -> None:
    put(backend, PROMISE)

    put(backend, image("other", "b"))

    view = backend.view(NOW)
    assert list(view.unsettled_layers()) == [PROMISE.layers[0]]
    assert view.facts_of(PROMISE.id).size == SIZES[LAYER] + FILE_BYTES


def test_a_broken_layer_is_not_settled_and_can_be_later(backend: Backend) -> None:
    put(backend, PROMISE)

    record_layers(backend, PROMISE.layers[0]._replace(state=BROKEN))
    unsettled = list(backend.view(NOW).unsettled_layers())
    record_layers(backend, *FOUND)

    assert [one.state for one in unsettled] == [BROKEN, PROMISED]
    assert list(backend.view(NOW).unsettled_layers()) == []


def test_what_is_found_of_a_layer_that_has_gone_is_forgotten(backend: Backend) -> None:
    record_layers(backend, *FOUND)

    assert list(backend.view(NOW).all_layers()) == []


def test_a_list_tells_whether_all_layers_of_an_image_are_settled(backend: Backend) -> None:
    settled = image("settled", "c")
    for record in (PROMISE, settled, index_over("both", PROMISE, settled)):
        put(backend, record)

    listed = {one.facts.id: one.settled for one in backend.view(NOW).listed_images()}

    assert listed == {PROMISE.id: False, settled.id: True, digest_of("index both"): False}
