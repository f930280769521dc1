"""The trash: what an entry says, how it is found, what comes back and what goes for good."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from casstore.backends.memory.backend import MemoryBackend
from casstore.change.admission import admit_arrivals
from casstore.change.trash import empty_oldest
from casstore.errors import Conflict, Damaged, NotFound
from casstore.model.descriptor import CONFIG, LAYER, MANIFEST
from casstore.model.record import Arrival
from casstore.store import Store
from tests.change.conftest import (
    APP,
    APP_CONFIG,
    ARCHIVE,
    BASE,
    BASE_CONFIG,
    BASE_LAYER,
    OTHER,
    OTHER_CONFIG,
    OTHER_LAYER,
    TOP_LAYER,
    stored,
)
from tests.contract.records import image, name_of
from tests.transfer.building import docker_archive, layer

DAY = 86400.0


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images() for name in image.names)


def drop_app(store: Store) -> int:
    """Put the app with its parent into the trash; the entry's number."""
    number = store.remove([APP.hex], force=True, keep=DAY).outcomes[0].trash
    assert number is not None
    return number


def drop_other(store: Store, keep: float = DAY) -> int:
    number = store.remove(["other:1"], keep=keep).outcomes[0].trash
    assert number is not None
    return number


# What an entry says


def test_an_entry_has_the_names_and_images_that_went_and_its_times(store: Store) -> None:
    number = drop_app(store)
    (entry,) = store.trash.list()

    assert entry.id == number
    assert [name.familiar for name in entry.names] == ["app:1", "app:2"]
    assert entry.images == (APP, BASE)
    assert entry.expires - entry.removed == int(DAY * 10**9)


def test_entries_are_told_newest_first(store: Store) -> None:
    numbers = [drop_other(store), drop_app(store)]

    assert [entry.id for entry in store.trash.list()] == numbers[::-1]


def test_an_entry_counts_the_bytes_that_it_alone_holds(store: Store) -> None:
    before = stored(store)
    number = drop_other(store)
    (entry,) = store.trash.list()
    freed = store.trash.empty(number).freed

    assert entry.size == freed == before - stored(store) > 0


# Finding one


@pytest.mark.parametrize(
    "form", ["{number}", "app:2", "{id}", "sha256:{id}", "{id:.6}", "{parent}"]
)
def test_an_entry_is_found_by_number_name_or_id(store: Store, form: str) -> None:
    number = drop_app(store)
    drop_other(store)

    argument = form.format(number=number, id=APP.hex, parent=BASE.hex)

    assert store.trash.empty(argument).entries == (number,)


@pytest.mark.parametrize(
    "form", ["{id:.5}", "{id}0", "sha256:", "nosuch", "99", "X", "\u0661", "{upper}"]
)
def test_what_means_no_entry_is_not_found(store: Store, form: str) -> None:
    drop_app(store)
    argument = form.format(id=APP.hex, upper=APP.hex.upper())

    with pytest.raises(NotFound, match=r"is not in the trash$"):
        store.trash.empty(argument)


@pytest.mark.parametrize("digits", [18, 19, 30])
def test_a_number_of_many_digits_is_no_entry(store: Store, digits: int) -> None:
    drop_app(store)

    with pytest.raises(NotFound, match=r"is not in the trash$"):
        store.trash.empty("9" * digits)


@pytest.mark.parametrize("argument", ["9" * 19, "9" * 64, "nosuch1", "abcdefg", "X" * 9])
def test_an_index_on_a_disk_is_asked_only_what_can_be_an_entry(
    tmp_path: Path, argument: str
) -> None:
    with Store(tmp_path / "store") as local:
        local.load(io.BytesIO(ARCHIVE))
        drop_app(local)

        with pytest.raises(NotFound, match=r"is not in the trash$"):
            local.trash.empty(argument)


def test_a_number_that_is_no_entry_may_be_a_name(store: Store) -> None:
    store.tag("other:1", "7")
    number = store.remove(["7"], keep=DAY).outcomes[0].trash

    assert store.trash.empty("7").entries == (number,)


def test_a_name_comes_before_the_beginning_of_an_id(store: Store) -> None:
    app = drop_app(store)
    store.tag("other:1", APP.hex[:8])
    named = store.remove([f"{APP.hex[:8]}:latest"], keep=DAY).outcomes[0].trash

    assert store.trash.empty(APP.hex[:8]).entries == (named,)
    assert [entry.id for entry in store.trash.list()] == [app]


# Bringing it back


def test_an_image_comes_back_with_its_parent_and_its_names(store: Store) -> None:
    before = store.images(all=True)
    result = store.trash.restore(drop_app(store))

    assert store.images(all=True) == before
    assert result.images == (BASE, APP)
    assert [name.familiar for name in result.names] == ["app:1", "app:2"]
    assert store.trash.list() == []


def test_it_can_come_back_under_another_name_that_only_the_image_itself_gets(store: Store) -> None:
    result = store.trash.restore(drop_app(store), name="back:1")

    assert names(store) == ["back:1", "other:1"]
    assert [name.familiar for name in result.names] == ["back:1"]
    assert store.get("back:1").id == APP


def test_an_image_that_had_no_name_can_come_back_under_one(store: Store) -> None:
    store.load(io.BytesIO(docker_archive({"layers": [layer("new")], "tags": ["other:1"]})))
    number = store.remove([OTHER.hex], keep=DAY).outcomes[0].trash
    assert number is not None
    store.trash.restore(number, name="back:1")

    assert store.get("back:1").id == OTHER


def test_a_new_name_was_given_when_it_was_restored_and_an_old_one_when_it_was_before(
    store: Store,
) -> None:
    store.tag("other:1", "other:2")
    tagged = store.session.view().last_tagged(OTHER)
    store.trash.restore(store.remove([OTHER.hex], force=True, keep=DAY).outcomes[0].trash or 0)
    assert store.session.view().last_tagged(OTHER) == tagged

    store.trash.restore(
        store.remove([OTHER.hex], force=True, keep=DAY).outcomes[0].trash or 0, name="new:1"
    )
    assert (store.session.view().last_tagged(OTHER) or 0) > (tagged or 0)


def test_a_pinned_image_comes_back_pinned_and_another_not(store: Store) -> None:
    store.pin("other:1")
    number = store.remove(["other:1"], force=True, keep=DAY).outcomes[0].trash
    assert number is not None
    store.trash.restore(number, drop_app(store))

    assert store.session.view().is_pinned(OTHER)
    assert not store.session.view().is_pinned(APP)


def test_a_name_that_it_has_again_is_not_told(store: Store) -> None:
    number = drop_app(store)
    store.load(io.BytesIO(ARCHIVE))
    result = store.trash.restore(number)

    assert (result.images, result.names) == ((), ())


def test_a_name_that_another_image_has_now_hinders_it_and_nothing_comes_back(store: Store) -> None:
    number = drop_app(store)
    store.tag("other:1", "app:2")

    with pytest.raises(
        Conflict, match=f"^Conflict, app:2 is the name of image {OTHER.short} now"
    ) as caught:
        store.trash.restore(number)

    assert not caught.value.forceable
    assert names(store) == ["app:2", "other:1"]
    assert [entry.id for entry in store.trash.list()] == [number]


def test_an_entry_that_is_named_twice_comes_back_once(store: Store) -> None:
    number = drop_app(store)

    assert store.trash.restore(number, "app:1").images == (BASE, APP)


def test_of_an_image_that_is_there_only_the_manifests_of_its_names_come_back(store: Store) -> None:
    number = drop_other(store)
    store.load(io.BytesIO(docker_archive(
        {"layers": [OTHER_LAYER], "config": OTHER_CONFIG, "tags": ["again:1"]},
    )))  # fmt: skip
    result = store.trash.restore(number)

    assert result.images == ()
    assert [name.familiar for name in store.get("again:1").names] == ["again:1", "other:1"]


def test_a_parent_that_is_gone_is_not_linked(store: Store) -> None:
    number = store.remove([APP.hex], force=True, prune=False, keep=DAY).outcomes[0].trash
    assert number is not None
    store.remove([BASE.hex])
    store.trash.restore(number)

    assert store.session.view().parent_of(APP) is None


def test_of_two_images_that_were_each_others_parent_one_is_the_parent(store: Store) -> None:
    first = drop_app(store)
    store.load(io.BytesIO(docker_archive(
        {"layers": [BASE_LAYER, TOP_LAYER], "config": APP_CONFIG, "tags": ["app:1"]},
        {"layers": [BASE_LAYER], "config": BASE_CONFIG, "tags": ["base:1"], "parent": APP},
    )))  # fmt: skip
    second = store.remove(["base:1"], keep=DAY).outcomes[0].trash
    assert second is not None
    store.remove(["app:1"])
    store.trash.restore(second, first)

    view = store.session.view()
    assert (view.parent_of(BASE), view.parent_of(APP)) == (APP, None)


def test_of_a_single_name_the_manifest_is_given_another(store: Store) -> None:
    store.trash.restore(drop_other(store), name="back:1")

    assert store.get("back:1").id == OTHER


@pytest.mark.parametrize("kind", [MANIFEST, CONFIG, LAYER])
def test_an_entry_of_which_bytes_are_gone_is_not_restored(store: Store, kind: str) -> None:
    view = store.session.view()
    (manifest,) = view.manifests_of(OTHER)
    blobs = [manifest, *view.needs_of(manifest.digest)]
    number = drop_other(store)
    store.session.backend.blobs.discard(one.digest for one in blobs if one.kind == kind)

    with pytest.raises(Damaged, match=r"is missing or of another size; run: casstore fsck$"):
        store.trash.restore(number)
    assert names(store) == ["app:1", "app:2"]


# An image under two manifests

PLAIN, GZIP = image("a", "base"), image("a", "base", form="gzip")


@pytest.fixture
def forms() -> Store:
    """An image with the name `plain:1` for one of its manifests and `gzip:1` for the other."""
    store = Store.in_memory()
    with store.session.change(create=True) as change:
        arrivals = [
            Arrival(PLAIN, (name_of("plain:1"),), None),
            Arrival(GZIP, (name_of("gzip:1"),), None),
        ]
        admit_arrivals(change.index, arrivals)
        change.commit()
    backend = store.session.backend
    assert isinstance(backend, MemoryBackend)
    for blob in (*PLAIN.blobs, *GZIP.blobs):
        backend.blobs.put(blob.digest, bytes(blob.size))
    return store


def test_a_manifest_comes_back_with_its_name_to_an_image_that_is_there(forms: Store) -> None:
    number = forms.remove(["gzip:1"], keep=DAY).outcomes[0].trash
    assert number is not None
    assert forms.session.view().tops_of(PLAIN.id) == [PLAIN.top]
    forms.trash.restore(number)

    assert forms.session.view().top_named(name_of("gzip:1")) == GZIP.top


def test_a_manifest_whose_name_does_not_come_back_does_not_either(forms: Store) -> None:
    number = forms.remove([PLAIN.id.hex], force=True, keep=DAY).outcomes[0].trash
    assert number is not None
    with forms.session.change() as change:
        admit_arrivals(change.index, [Arrival(PLAIN, (name_of("plain:1"),), None)])
        change.commit()
    forms.trash.restore(number, name="back:1")

    assert forms.session.view().tops_of(PLAIN.id) == [PLAIN.top]


def test_another_name_is_given_to_the_manifest_of_the_first(forms: Store) -> None:
    number = forms.remove([PLAIN.id.hex], force=True, keep=DAY).outcomes[0].trash
    assert number is not None
    forms.trash.restore(number, name="back:1")

    assert forms.session.view().top_named(name_of("back:1")) == PLAIN.top


# Letting go of it


def test_without_a_word_all_entries_go(store: Store) -> None:
    numbers = {drop_app(store), drop_other(store)}
    emptied = store.trash.empty()

    assert set(emptied.entries) == numbers
    assert stored(store) == 0
    assert emptied.freed > 0


def test_an_entry_that_is_named_twice_goes_once(store: Store) -> None:
    number = drop_app(store)

    assert store.trash.empty(number, "app:1").entries == (number,)


@pytest.mark.parametrize(("byte_count", "left"), [(0, 2), (1, 1), (10**9, 0)])
def test_the_oldest_go_until_there_is_room(store: Store, byte_count: int, left: int) -> None:
    older, newer = drop_other(store), drop_app(store)
    with store.session.change() as change:
        emptied = empty_oldest(change, byte_count)

    assert emptied is (left < 2)
    assert [entry.id for entry in store.trash.list()] == [newer, older][:left]


def test_where_the_trash_is_empty_nothing_goes(store: Store) -> None:
    with store.session.change() as change:
        assert not empty_oldest(change, 1)
