"""Events: what each verb leaves behind, who sees it, and when."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casstore import BadFilter, Event, NotAStore, NotFound, Store, UsageError
from casstore.clock import current_time
from casstore.errors import CasstoreError
from casstore.model.event import AGE
from casstore.model.reference import parse_name
from casstore.store import store_of
from casstore.store.session import Session
from casstore.transfer.place import parse_place
from tests.store.replaying import names_after
from tests.transfer.building import Layout, docker_archive, layer

APP = docker_archive({"layers": [layer("base"), layer("app")], "tags": ["app:1"]})
OTHER = docker_archive({"layers": [layer("base"), layer("other")], "tags": ["app:1", "other:1"]})
NAMELESS = docker_archive({"layers": [layer("base"), layer("nameless")], "tags": None})
DAY = 86400.0


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store with one image."""
    with Store(tmp_path / "store") if request.param == "local" else Store.in_memory() as made:
        made.load(io.BytesIO(APP))
        yield made


def told(events: Iterator[Event]) -> list[str]:
    """Events as `action name`, with other attributes behind."""
    lines = []
    for event in events:
        words = [event.action, event.name.familiar if event.name else ""]
        words += [f"{key}={value}" for key, value in event.attributes.items()]
        lines.append(" ".join(filter(None, words)))
    return lines


def since(store: Store, act: Callable[[], object]) -> list[str]:
    """The events of `act`."""
    before = len(list(store.events()))
    act()
    return told(store.events())[before:]


def app(store: Store) -> str:
    return store.get("app:1").id


# What each verb leaves


def test_a_load_is_an_event_for_each_name(store: Store) -> None:
    assert told(store.events()) == ["load app:1"]
    assert since(store, lambda: store.load(io.BytesIO(OTHER))) == ["load app:1", "load other:1"]
    (first, *_) = store.events(filters=["image=other"])
    assert first.image == store.get("other:1").id


def test_an_image_without_a_name_is_an_event_too(store: Store) -> None:
    (event,) = [e for e in _after(store, NAMELESS) if e.name is None]

    assert event.id == event.image == store.images()[0].id or event.image is not None
    assert event.actor_attributes == {"name": str(event.image)}


def _after(store: Store, archive: bytes) -> list[Event]:
    store.load(io.BytesIO(archive))
    return list(store.events())


def test_a_load_of_what_is_there_is_an_event_that_changes_no_generation(store: Store) -> None:
    assert since(store, lambda: store.load(io.BytesIO(APP))) == ["load app:1"]
    first, second = store.events()
    assert first.generation is not None
    assert second.generation is None


def test_a_name_that_a_load_leaves_where_it_is_is_not_told(store: Store) -> None:
    def load() -> None:
        store.load(io.BytesIO(OTHER), clobber=False)

    assert since(store, load) == ["load other:1"]


def test_tag_pin_and_lease_tell_by_which_name(store: Store) -> None:
    def act() -> None:
        store.tag("app:1", "new:1")
        store.pin("new:1")
        store.pin(app(store)[7:], pinned=False)
        store.leases.add("night", "app:1")
        store.leases.remove("night")

    assert since(store, act) == [
        "tag new:1", "pin new:1", "unpin", "lease app:1 lease=night", "unlease lease=night",
    ]  # fmt: skip
    assert {event.image for event in store.events()} == {app(store)}


def test_a_hard_lease_is_none(store: Store) -> None:
    def act() -> None:
        with store.leases.hold("app:1"):
            pass

    assert since(store, act) == []


def test_a_removal_untags_and_deletes(store: Store) -> None:
    store.tag("app:1", "second:1")

    assert since(store, lambda: store.remove(["second:1"])) == ["untag second:1"]
    assert since(store, lambda: store.remove(["app:1"])) == ["untag app:1", "delete"]


def test_what_is_refused_leaves_none(store: Store) -> None:
    store.tag("app:1", "second:1")
    store.tag("app:1", "third/second:1")

    def act() -> None:
        store.remove([app(store)[7:19], "nosuch:1"])
        with pytest.raises(NotFound):
            store.tag("nosuch:1", "b:1")

    assert since(store, act) == []


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.remove(["app:1"], dry_run=True),
        lambda store: store.prune(all=True, dry_run=True),
        lambda store: store.gc(dry_run=True),
        lambda store: store.collect({"until": "1h"}, dry_run=True),
    ],
)
def test_a_dry_run_leaves_none(store: Store, act: Callable[[Store], object]) -> None:
    assert since(store, lambda: act(store)) == []


def test_prune_and_gc_tell_what_they_reclaimed(store: Store) -> None:
    lines = since(store, lambda: store.prune(all=True))
    assert lines[:2] == ["untag app:1", "delete"]
    assert lines[2].startswith("prune reclaimed=") and lines[2] != "prune reclaimed=0"

    assert since(store, store.gc) == ["gc reclaimed=0"]
    assert since(store, lambda: store.collect({"until": "1h"})) == ["gc reclaimed=0"]
    (event,) = store.events(filters=["event=prune"])
    assert (event.id, event.image) == ("", None)


def test_the_trash_restores_and_is_emptied(store: Store) -> None:
    store.remove(["app:1"], keep=DAY)
    assert since(store, lambda: store.trash.restore("app:1")) == ["restore app:1"]

    store.remove(["app:1"], keep=DAY)
    (line,) = since(store, store.trash.empty)
    assert line.startswith("empty entries=1 reclaimed=")


def test_what_comes_without_a_name_out_of_the_trash_is_told(store: Store) -> None:
    store.load(io.BytesIO(NAMELESS))
    store.prune(keep=DAY)
    entry = store.trash.list()[0].id

    assert since(store, lambda: store.trash.restore(entry)) == ["restore"]


def test_import_and_copy_have_words_of_their_own(store: Store, tmp_path: Path) -> None:
    layout = Layout()
    layout.publish(layout.image("x"), "x:1")
    layout.write(str(tmp_path / "a layout"))

    def act() -> None:
        store.import_image(io.BytesIO(layer("root")), "imported:1")
        store.copy_in(parse_place(f"oci:{tmp_path / 'a layout'}:x:1"), "copied:1")

    assert since(store, act) == ["import imported:1", "copy copied:1"]


def test_a_save_is_an_event_of_each_image(store: Store) -> None:
    store.load(io.BytesIO(OTHER))

    assert since(store, lambda: store.save(["other:1", app(store)[7:]], io.BytesIO())) == ["save"]
    assert [event.image for event in store.events()][-1] == store.get("other:1").id


def test_a_save_that_fails_is_none(store: Store, tmp_path: Path) -> None:
    def act() -> None:
        with pytest.raises(CasstoreError):
            store.save(["app:1"], tmp_path / "no" / "such" / "folder" / "a.tar")

    assert since(store, act) == []


def test_a_change_that_fails_leaves_none(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(APP))
        before = list(store.events())
        with store.session.change() as change:  # left without a commit
            change.index.set_pin(store.get("app:1").id, pinned=True)
            change.index.record("pin", store.get("app:1").id)

        assert list(store.events()) == before


def test_what_another_tool_puts_into_the_store_is_adopted(tmp_path: Path) -> None:
    layout = Layout()
    layout.publish(layout.image("x"), "x:1")
    layout.write(str(tmp_path / "store"))
    with Store(tmp_path / "store") as store:
        store.tag("x:1", "y:1")
        assert told(store.events()) == ["rebuild", "tag y:1"]

    layout.publish(layout.image("z"), "z:1")
    layout.write(str(tmp_path / "store"))
    with Store(tmp_path / "store") as store:
        store.tag("x:1", "again:1")
        assert told(store.events())[2:] == ["adopt z:1", "tag again:1"]


def test_a_rebuild_keeps_the_events_and_is_one(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(APP))
        store.remove(["app:1"], keep=DAY)
        before = list(store.events())
        store.check(rebuild=True)

        events = list(store.events())
        assert events[:-1] == before
        assert events[-1].action == "rebuild"


def test_an_event_has_the_generation_that_the_change_gave_the_index(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(APP))
        store.tag("app:1", "b:1")

        assert [event.generation for event in store.events()] == [1, 2]
        assert store.session.view().meta("generation") == 2


# Docker's shapes


def test_a_pull_and_a_push_have_the_name_for_an_id() -> None:
    name = parse_name("registry.example:5000/shop/app:1").reference
    image = Store.in_memory().import_image(io.BytesIO(layer("x")))
    event = Event(5, "pull", image, name, {}, 1)

    assert event.id == "registry.example:5000/shop/app:1"
    assert event.actor_attributes == {"image": image, "name": "registry.example:5000/shop/app"}
    assert Event(5, "push", image, None, {}, 1).id == image


def test_a_time_is_a_datetime_too() -> None:
    assert Event(5_000_001_000, "gc", None, None, {}, 1).happened_at.microsecond == 1


# Reading


def test_events_of_a_time(store: Store) -> None:
    store.tag("app:1", "b:1")
    store.tag("app:1", "c:1")
    first, second, third = store.events()

    assert list(store.events(since=second.happened)) == [second, third]
    assert list(store.events(until=second.happened)) == [first, second]
    assert list(store.events(since=second.happened, until=second.happened)) == [second]
    assert list(store.events(since="1h")) == [first, second, third]
    assert list(store.events(until="1h")) == []
    assert list(store.events(since=f"{first.happened / 1e9 + 3600:.3f}")) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["event=tag"], ["tag b:1", "tag c/d:1"]),
        (["event=tag", "event=load"], ["load app:1", "tag b:1", "tag c/d:1"]),
        (["event=tag", "image=b:1"], ["tag b:1"]),
        (["image=b"], ["tag b:1"]),
        (["image=docker.io/library/b"], ["tag b:1"]),
        (["image=c/d:1"], ["tag c/d:1"]),
        (["image=b:2"], []),
        (["image=%"], ["load app:1", "tag b:1", "tag c/d:1"]),
        (["image=nosuch"], []),
        (["image=UPPER"], []),
        (["type=image"], ["load app:1", "tag b:1", "tag c/d:1"]),
        (["type=container"], []),
        (["type=container", "type=image", "event=load"], ["load app:1"]),
    ],
)
def test_filters(store: Store, filters: list[str], expected: list[str]) -> None:
    store.tag("app:1", "b:1")
    store.tag("app:1", "c/d:1")
    for short in (app(store)[7:19], app(store)[7:], app(store)):
        chosen = [one.replace("%", short) for one in filters]
        assert told(store.events(filters=chosen)) == expected


def test_a_few_digits_of_an_id_are_none(store: Store) -> None:
    assert told(store.events(filters=[f"image={app(store)[7:18]}"])) == []


@pytest.mark.parametrize("wrong", ["label=a", "container=x", "nosuch=1"])
def test_a_filter_that_does_not_exist_is_refused(store: Store, wrong: str) -> None:
    with pytest.raises(BadFilter, match="Invalid filter"):
        store.events(filters=[wrong])


def test_a_filter_without_a_value_and_a_time_that_is_none_are_refused(store: Store) -> None:
    with pytest.raises(UsageError):
        store.events(filters=["tag"])
    with pytest.raises(BadFilter, match="failed to parse value as time or duration"):
        store.events(since="yesterday")


def test_events_older_than_a_month_are_not_shown(store: Store) -> None:
    store.session.noting("save")((store.get("app:1").id, None))
    store.session.backend.events.note(
        [Event(current_time() - AGE - 10**9, "save", None, None, {"old": ""}, None)]
    )

    assert told(store.events()) == ["load app:1", "save"]


def test_a_store_that_is_not_there_has_none(tmp_path: Path) -> None:
    with pytest.raises(NotAStore):
        Store(tmp_path / "nothing").events()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_save_from_a_store_that_cannot_be_written_is_none_and_goes_on(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(APP))
    (tmp_path / "store").chmod(0o500)
    try:
        with Store(tmp_path / "store") as store:
            store.save(["app:1"], io.BytesIO())
            assert told(store.events()) == ["load app:1"]
    finally:
        (tmp_path / "store").chmod(0o700)


# Following


class Acting:
    """In place of a sleep: does one thing after the other, and then ends the events."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self.acts = list(acts)
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if not self.acts:
            return True
        self.acts.pop(0)()
        return False


def beside(store: Store) -> Store:
    """The same store, as another process has it."""
    return store_of(Session(store.session.backend.another()), Store)


def test_who_follows_sees_what_happens_from_now_on(store: Store) -> None:
    other = beside(store)
    acting = Acting(
        lambda: other.tag("app:1", "b:1"),
        lambda: None,
        lambda: other.save(["app:1"], io.BytesIO()),
        lambda: other.remove(["b:1"]),
    )

    assert told(store.events(follow=True, wait=acting)) == ["tag b:1", "save", "untag b:1"]
    assert all(0 < seconds <= 0.2 for seconds in acting.waited)


def test_what_happens_before_the_first_is_asked_for_is_seen(store: Store) -> None:
    events = store.events(follow=True, wait=Acting())
    store.tag("app:1", "b:1")

    assert told(events) == []
    events = store.events(follow=True, wait=Acting(lambda: None))
    store.tag("app:1", "c:1")
    assert told(events) == ["tag c:1"]


def test_who_follows_since_a_time_sees_what_was_first(store: Store) -> None:
    acting = Acting(lambda: store.tag("app:1", "b:1"))

    assert told(store.events(since=0, follow=True, wait=acting)) == ["load app:1", "tag b:1"]


def test_following_ends_with_its_time(store: Store) -> None:
    until = current_time() + 30_000_000
    events = list(store.events(until=until, follow=True))

    assert [event.action for event in events] == ["load"]
    assert current_time() > until


def test_following_up_to_the_past_does_not_wait(store: Store) -> None:
    acting = Acting()

    assert told(store.events(until="0s", follow=True, wait=acting)) == ["load app:1"]
    assert acting.waited == []


# All of it


def test_the_names_of_a_store_follow_from_its_events(store: Store) -> None:
    store.load(io.BytesIO(OTHER))
    store.tag("other:1", "third:1")
    store.remove(["other:1"], keep=DAY)
    store.tag("third:1", "app:2")
    store.import_image(io.BytesIO(layer("x")), "third:1")
    store.trash.restore("other:1")
    store.prune()
    store.remove(["app:1"])

    names = {name: image.id for image in store.images(all=True) for name in image.names}
    assert names_after(store.events()) == names
    assert len(names) == 3
