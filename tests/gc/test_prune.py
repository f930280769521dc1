"""prune in turns: what goes in many short changes is what would go in one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from casstore.change import removal
from casstore.errors import Locked, NotFound
from casstore.gc import prune
from casstore.gc.prune import Choice, Prune
from casstore.gc.stop import Stop, Stopped
from casstore.model.digest import Digest, sha256
from casstore.model.removal import PruneResult
from casstore.rules.filters import BadFilter
from casstore.store import Store
from tests.transfer.building import Layout, config_of, docker_archive, layer

T = TypeVar("T")


def image(number: int, **fields: Any) -> dict[str, Any]:
    layers = [layer("base"), layer(f"top {number}")]
    config = config_of(*layers, created=f"2020-01-{number:02}T00:00:00Z")
    return {"layers": layers, "config": config, "id": sha256(config), **fields}


# Newest first, as prune takes them: two dangling ones, one of two names, one built on the next.
LATEST, NAMELESS, TWICE = image(5), image(4), image(3, tags=["app:2", "app:two"])
PARENT = image(1, tags=["app:1"])
CHILD = image(2, parent=PARENT["id"], tags=["app:child"])
ARCHIVE = docker_archive(PARENT, CHILD, TWICE, NAMELESS, LATEST)
ALL = {one["id"] for one in (PARENT, CHILD, TWICE, NAMELESS, LATEST)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with filled(tmp_path / "store") as store:
        yield store


@pytest.fixture
def other(store: Store) -> Iterator[Store]:
    """Another process, in effect, that does not wait for the lock."""
    with Store(store.path, lock_timeout=0) as other:
        yield other


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is a turn of its own."""
    monkeypatch.setattr(prune, "SECONDS_A_TURN", 0)


def filled(path: Path) -> Store:
    store = Store(str(path))
    store.load(io.BytesIO(ARCHIVE))
    return store


def pruned(store: Store, after: dict[int, Callable[[], object]], stop: Stop | None = None, *,
           everything: bool = True) -> PruneResult:  # fmt: skip
    """Prune; `after` the turn of that number something else happens (0: before the first)."""
    numbers = count()

    def turn(act: Callable[[Any], T]) -> T:
        result = store.session.change_that_frees(act)
        after.get(next(numbers), bool)()
        return result

    choice = Choice(everything=everything, filters=(), keep=None)
    return Prune(choice, turn, stop or Stop()).run(store.session.view)


def images(store: Store) -> set[Digest]:
    return {one.id for one in store.images(all=True)}


def test_a_small_prune_is_one_turn(store: Store) -> None:
    assert store.prune(all=True).turns == 1


def test_a_prune_of_nothing_takes_no_turn(tmp_path: Path) -> None:
    with Store(str(tmp_path / "new")) as store:
        store.load(io.BytesIO(docker_archive(PARENT)))

        assert store.prune() == PruneResult((), 0, 0, turns=0)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("everything", [False, True])
def test_many_turns_tell_and_leave_what_one_does(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, everything: bool
) -> None:
    many = store.prune(all=everything)
    monkeypatch.setattr(prune, "SECONDS_A_TURN", 60)
    with filled(tmp_path / "alike") as alike:
        one = alike.prune(all=everything)

        assert (many.turns, one.turns) == ((5, 1) if everything else (2, 1))
        assert list(many.removed) == list(one.removed)
        assert (many.reclaimed, many.freed) == (one.reclaimed, one.freed)
        assert images(store) == images(alike)
    assert store.check().findings == ()


@pytest.mark.usefixtures("short")
def test_a_dry_run_tells_what_many_turns_remove(store: Store) -> None:
    planned = store.prune(all=True, dry_run=True)

    assert list(store.prune(all=True).removed) == list(planned.removed)


@pytest.mark.usefixtures("short")
def test_the_lock_is_free_between_two_turns(store: Store, other: Store) -> None:
    others = docker_archive(image(9, tags=["new:1"]))

    pruned(store, {2: lambda: other.load(io.BytesIO(others))})

    assert [str(name) for one in store.images() for name in one.names] == [
        "docker.io/library/new:1"
    ]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("who", "what"),
    [
        (TWICE, lambda other: other.tag("app:2", "kept:1")),
        (TWICE, lambda other: other.remove(["app:two"])),
        (NAMELESS, lambda other: other.tag(NAMELESS["id"].hex, "kept:1")),
        (NAMELESS, lambda other: other.pin(NAMELESS["id"].hex)),
        (TWICE, lambda other: other.leases.add("l", "app:2")),
        (
            NAMELESS,
            lambda other: other.load(
                io.BytesIO(docker_archive(NAMELESS, image(8, tags=["c:1"], parent=NAMELESS["id"])))
            ),
        ),
    ],
    ids=["named", "a name less", "named at last", "pinned", "leased", "built on"],
)
def test_an_image_that_somebody_has_turned_to_stays(
    store: Store, other: Store, who: dict[str, Any], what: Callable[[Store], object]
) -> None:
    pruned(store, {1: lambda: what(other)})

    assert who["id"] in images(store)
    assert PARENT["id"] not in images(store)


@pytest.mark.usefixtures("short")
def test_what_has_gone_meanwhile_is_passed_over(store: Store, other: Store) -> None:
    result = pruned(store, {1: lambda: other.remove(["app:2", "app:two"])})

    assert TWICE["id"] not in {line.digest for line in result.removed}
    assert result.error is None and images(store) == set()


@pytest.mark.usefixtures("short")
def test_a_signature_whose_image_has_come_meanwhile_stays(store: Store, other: Store) -> None:
    late, early = Layout(), Layout()
    image = late.image("signed")
    late.publish(image, "signed:1")
    early.publish(early.image("signature", subject=image))
    (signature,) = store.load(early.tar()).images

    pruned(store, {1: lambda: other.load(late.tar())}, everything=False)

    assert signature.id in images(store)
    assert NAMELESS["id"] not in images(store)


def test_a_wrong_filter_is_told_before_anything_goes(store: Store) -> None:
    before = images(store)
    with pytest.raises(BadFilter):
        store.prune(all=True, filters=["colour=red"])
    with pytest.raises(NotFound):
        store.prune(all=True, filters=["before=none:1"])

    assert images(store) == before


@pytest.mark.usefixtures("short")
def test_what_ends_it_early_is_told_with_what_has_gone(store: Store) -> None:
    with Store(store.path, lock_timeout=0) as impatient, Store(store.path) as other:
        locks: list[Any] = []
        result = pruned(impatient, {1: lambda: locks.append(other.session.locked())})
        locks[0].release()

    assert isinstance(result.error, Locked) and not result.stopped
    assert result.removed[0].digest == LATEST["id"]
    assert images(store) == ALL - {LATEST["id"]}


def test_what_ends_it_before_the_first_turn_is_an_error(store: Store) -> None:
    lock = Store(store.path).session.locked()
    try:
        with Store(store.path, lock_timeout=0) as other, pytest.raises(Locked):
            other.prune(all=True)
    finally:
        lock.release()


@pytest.mark.usefixtures("short")
def test_asked_to_stop_between_two_turns_it_tells_what_has_gone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()
    monkeypatch.setattr("casstore.gc.prune.time.sleep", lambda _: stop.ask(15))

    result = store.prune(all=True, stop=stop)

    assert result.stopped and result.turns == 1
    assert images(store) == ALL - {LATEST["id"]}


def test_asked_to_stop_in_a_turn_it_ends_after_the_image_in_hand(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, seen = Stop(), []
    real = removal.remove_candidates

    def removing(change: Any, candidates: Any, *, is_over: Any, **how: Any) -> Any:
        def over() -> bool:
            seen.append(stop.in_turn)
            stop.ask(2)
            return bool(is_over())

        return real(change, candidates, is_over=over, **how)

    monkeypatch.setattr(prune, "remove_candidates", removing)

    result = store.prune(all=True, stop=stop)

    assert seen == [True] and result.stopped and not stop.in_turn
    assert images(store) == ALL - {LATEST["id"]}


def test_asked_to_stop_before_it_has_removed_anything_it_raises(store: Store) -> None:
    stop, before = Stop(), images(store)

    with pytest.raises(Stopped):
        pruned(store, {0: lambda: stop.ask(15)}, stop)

    assert images(store) == before
