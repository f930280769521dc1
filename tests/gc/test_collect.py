"""gc with a policy on real stores: what it says comes free is what the files give back."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.gc import run as running
from casstore.gc.planfile import read_plan, save_plan
from casstore.gc.policyfile import policy_rules
from casstore.gc.run import PlanOutdated
from casstore.gc.stop import Stop
from casstore.model.digest import Digest, sha256
from casstore.model.removal import RemovalPlan
from casstore.results.upkeep import CollectionResult
from casstore.rules.collection import Step
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.transfer.building import config_of, docker_archive, layer

NOISE = [os.urandom(size).hex() for size in (300, 900, 2000, 4000, 7000)]
BASE, TOP, SIDE, OTHER, LONE = (layer(text) for text in NOISE)
SECOND = 10**9


def image(number: int, layers: list[bytes], **fields: Any) -> dict[str, Any]:
    config = config_of(*layers, created=f"2020-01-{number:02}T00:00:00Z")
    return {"layers": layers, "config": config, "id": sha256(config), **fields}


ONE = image(1, [BASE], tags=["app:1"])
TWO = image(2, [BASE, TOP], tags=["app:2", "app:two"], parent=ONE["id"])
THREE = image(3, [BASE, SIDE], tags=["app:3"], parent=ONE["id"])
FOUR = image(4, [BASE, OTHER], tags=["other:1"])
DANGLING = image(5, [LONE, OTHER])
IMAGES = [ONE, TWO, THREE, FOUR, DANGLING]
ARCHIVE = docker_archive(*IMAGES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE), compression="none")
        used(store, {one["id"]: 1000 - 100 * at for at, one in enumerate(IMAGES)})
        yield store


def used(store: Store, seconds: dict[Digest, int]) -> None:
    """Let each image be last used so many seconds ago."""
    now = int(os.stat(store.path).st_mtime_ns)
    Path(directory_of(store).uses.path).unlink(missing_ok=True)
    for one, ago in seconds.items():
        store.session.backend.uses.note([one], now - ago * SECOND)


def du(store: Store) -> int:
    """Bytes of all files below blobs/, as `du --apparent-size` has them without directories."""
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, files in os.walk(os.path.join(store.path, "blobs"))
        for name in files
    )


def removed(result: CollectionResult) -> list[Digest]:
    return [image for one in result.removed for image in one.deleted]


POLICIES: list[dict[str, object]] = [
    {"max-used-space": "0"},
    {"max-used-space": "16kB"},
    {"max-used-space": "30kB"},
    {"min-free-space": "100%"},
    {"min-free-space": "0B"},
    {"max-used-space": "0", "reserved-space": "0"},
    {"min-free-space": "100%", "reserved-space": "12kB"},
    {"high-water": "0%", "low-water": "0%"},
    {"high-water": "100%"},
    {"unused-for": "750s"},
    {"unused-for": "1h"},
    {"until": "2020-01-03"},
    {"keep": 0},
    {"keep": 1},
    {"keep": 2, "protect": "app:1"},
    {"keep": 0, "protect": ["app:*", "nosuch"]},
    {"keep": 0, "only": "other:*"},
    {"keep": 0, "filter": "label=nosuch"},
    {"filter": "dangling=true"},
    {"keep": 0, "min-age": "850s"},
    {"max-used-space": "10kB", "unused-for": "650s", "keep": 1, "protect": "other:*"},
    {"rule": [{"unused-for": "850s"}, {"max-used-space": "9kB", "protect": "app:3"}]},
]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_dry_run_predicts_the_bytes_that_come_free_and_what_goes_in_which_order(
    store: Store, policy: dict[str, object]
) -> None:
    before = du(store)
    dry = store.collect(policy, dry_run=True)
    assert du(store) == before
    real = store.collect(policy)

    assert removed(dry) == removed(real)
    assert [one.freed for one in dry.removed] == [one.freed for one in real.removed]
    assert dry.freed == real.freed == before - du(store)
    assert (real.before.used, real.after.used) == (before, du(store))
    assert dry.after.used == real.after.used
    assert [(aim.goal.setting, aim.reached) for aim in dry.aims] == [
        (aim.goal.setting, aim.reached) for aim in real.aims
    ]
    assert {one.image for one in dry.kept} == {one.image for one in real.kept}
    assert store.check().findings == ()


def test_a_goal_is_reached_with_no_image_more_than_needed(store: Store) -> None:
    before = du(store)
    result = store.collect({"max-used-space": str(before - 1)})

    assert len(result.removed) == 1
    assert removed(result) == [DANGLING["id"]]
    assert result.reached


def test_a_store_is_used_less_after_a_goal_that_cannot_be_reached_and_it_says_so(
    store: Store,
) -> None:
    store.leases.add("job", "app:2")
    result = store.collect({"max-used-space": "0", "min-age": "0s"})

    assert not result.reached
    assert {one.image: one.code for one in result.kept} == {
        ONE["id"]: "children", TWO["id"]: "leased",
    }  # fmt: skip


def test_each_way_to_use_an_image_counts_and_survives_opening_the_store_anew(
    store: Store, tmp_path: Path
) -> None:
    store.tag("app:2", "new:1")
    store.save(["app:3"], str(tmp_path / "out.tar"))
    store.leases.add("soft", "other:1")
    store.leases.remove("soft")
    with store.leases.hold("app:1"), Store(store.path) as again:
        again.use(str(DANGLING["id"]))
    with Store(store.path) as again:
        result = again.collect({"unused-for": "200s"}, dry_run=True)

    assert removed(result) == []
    assert {one.code for one in result.kept} == {"min-age"}


def test_looking_at_images_is_no_use(store: Store) -> None:
    before = Path(directory_of(store).uses.path).read_bytes()
    store.images()
    store.get("app:1")
    store.inspect("app:1")
    store.df()

    assert Path(directory_of(store).uses.path).read_bytes() == before


def test_without_a_record_of_use_an_image_is_as_old_as_its_manifest_s_file(store: Store) -> None:
    used(store, {})
    (manifest,) = store.get("app:3").manifests
    os.utime(directory_of(store).blobs.path(manifest), (1, 1))

    assert removed(store.collect({"keep": 0, "min-age": "1h"}, dry_run=True)) == [THREE["id"]]


def test_a_pattern_that_protects_nothing_is_told(store: Store) -> None:
    result = store.collect({"keep": 9, "protect": ["app:*", "ap:*"]}, dry_run=True)

    assert list(result.warnings) == ['protect "ap:*" fits no name in the store']


def test_garbage_goes_too_and_is_counted(store: Store) -> None:
    orphan = Path(store.path, "blobs", "sha256", sha256(b"orphan").hex)
    orphan.write_bytes(b"orphan")
    before = du(store)
    dry = store.collect({"keep": 9, "protect": "**"}, dry_run=True)
    result = store.collect({"filter": "dangling=true", "protect": "**"})

    assert (dry.before.used, result.before.used) == (before, before)
    assert dry.garbage.removed_blobs == result.garbage.removed_blobs == 1
    assert result.freed == before - du(store)


# Turns


def in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """One image a turn."""
    monkeypatch.setattr(running, "IMAGES_A_TURN", 1)


def between_turns(monkeypatch: pytest.MonkeyPatch, *actions: Callable[[], object]) -> None:
    """Do one thing after each turn, in order."""
    in_turns(monkeypatch)
    left = list(actions)

    def act(_seconds: float) -> None:
        if left:
            left.pop(0)()

    monkeypatch.setattr(time, "sleep", act)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda other: other.tag("other:1", "fresh:1"), "its names have changed"),
        (lambda other: other.use("other:1"), "it was used meanwhile"),
        (lambda other: other.remove(["other:1"]), "it is gone"),
    ],
)
def test_what_changed_since_the_plan_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch, change: Callable[[Store], object], why: str
) -> None:
    other = Store(store.path)
    between_turns(monkeypatch, lambda: change(other))
    run = running._Run(
        running.Access(store.session.backend, store.session.view, store.session.change_that_frees),
        policy_rules({"keep": 0, "protect": "app:*"}, now=0),
        None,
        Stop(),
    )
    result = run.run(dry_run=False)

    assert removed(result) == [DANGLING["id"]]
    assert run._changed[FOUR["id"]].why == why
    assert store.check().clean


def test_a_lease_taken_after_the_plan_holds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Store(store.path)
    leases = []
    between_turns(monkeypatch, lambda: leases.append(other.leases.hold("other:1")))
    result = store.collect({"keep": 0})

    assert FOUR["id"] not in removed(result)
    assert store.get("other:1")
    leases[0].release()


def test_when_newer_images_go_meanwhile_the_newest_that_are_left_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [image(n, [LAYERS[n]], tags=[f"new:{n}"]) for n in (1, 2, 3)]
    store.load(io.BytesIO(docker_archive(*made)))
    used(store, {one["id"]: 1000 - 100 * at for at, one in enumerate(made)})
    policy = {"keep": 1, "only": "new:*"}
    assert len(removed(store.collect(policy, dry_run=True))) == 2
    other = Store(store.path)
    between_turns(monkeypatch, lambda: other.remove(["new:3"]))

    assert removed(store.collect(policy)) == [made[0]["id"]]
    assert store.get("new:2")


def test_what_somebody_else_freed_need_not_be_freed_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store(store.path)
    goal = du(store) - 25_000
    needed = removed(store.collect({"max-used-space": str(goal)}, dry_run=True))
    assert len(needed) > 1
    between_turns(monkeypatch, lambda: other.remove(["other:1", "app:3"]))
    result = store.collect({"max-used-space": str(goal)})

    assert result.reached
    assert len(removed(result)) < len(needed)


def test_what_came_meanwhile_is_planned_on_in_a_further_pass(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = docker_archive(image(9, [layer(os.urandom(3000).hex())], tags=["late:1"]))
    other = Store(store.path)
    between_turns(monkeypatch, lambda: other.load(io.BytesIO(late)))
    result = store.collect({"max-used-space": "0", "min-age": "0s"})

    assert result.reached
    assert du(store) == 0


def test_asked_to_stop_it_ends_after_the_image_in_hand(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, stop = du(store), Stop()
    removal = running._SecondLook.removal

    def ask(self: running._SecondLook, step: Step) -> RemovalPlan | str:
        if not stop.asked:
            stop.ask(15)  # in the middle of a turn: noted, no more
        return removal(self, step)

    monkeypatch.setattr(running._SecondLook, "removal", ask)
    result = store.collect({"keep": 0}, stop=stop)

    assert (result.ended, removed(result)) == ("stopped", [DANGLING["id"]])
    assert result.freed == before - du(store)
    assert {one.image for one in result.kept} == {one["id"] for one in IMAGES[:4]}
    assert store.check().findings == ()


def test_asked_between_two_turns_it_ends_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()
    between_turns(monkeypatch, lambda: stop.ask(15))
    result = store.collect({"keep": 0}, stop=stop)

    assert (result.ended, len(result.removed)) == ("stopped", 1)


# Saved plans


def saved(store: Store, path: Path, policy: dict[str, object]) -> CollectionResult:
    result = store.collect(policy, dry_run=True)
    save_plan(str(path), policy_rules(policy, now=0), result.plan)
    return result


def test_a_saved_plan_is_carried_out_exactly_also_when_more_could_go_by_then(
    store: Store, tmp_path: Path
) -> None:
    shown = saved(store, tmp_path / "plan.json", {"unused-for": "750s"})
    used(store, {one["id"]: 100_000 for one in IMAGES})
    rules, plan = read_plan(str(tmp_path / "plan.json"), now=0)
    before = du(store)
    result = store.collect(rules, plan=plan)

    assert removed(result) == removed(shown)
    assert result.freed == shown.freed == before - du(store)
    assert result.ended == "done"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda store: store.tag("app:2", "new:1"), "has other names"),
        (lambda store: store.remove(["app:2", "app:two"]), "is gone"),
        (lambda store: store.use("app:2"), "was used since"),
        (lambda store: store.remove(["app:3"]), ""),
        (lambda store: store.leases.add("job", "app:2"), ""),
        (lambda store: store.remove(["other:1", str(DANGLING["id"])]), ""),
    ],
)
def test_a_plan_that_does_not_hold_any_more_is_refused_and_nothing_goes(
    store: Store, tmp_path: Path, change: Callable[[Store], object], why: str
) -> None:
    saved(store, tmp_path / "plan.json", {"keep": 0})
    rules, plan = read_plan(str(tmp_path / "plan.json"), now=0)
    change(store)
    before = du(store)
    with pytest.raises(PlanOutdated, match=f"the plan does not hold any more.*{why}"):
        store.collect(rules, plan=plan)

    assert du(store) == before


def test_a_plan_that_ceases_to_hold_ends_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(store, tmp_path / "plan.json", {"keep": 0})
    rules, plan = read_plan(str(tmp_path / "plan.json"), now=0)
    other = Store(store.path)
    between_turns(monkeypatch, lambda: other.tag("app:2", "new:1"))
    result = store.collect(rules, plan=plan)

    assert (result.ended, len(result.removed)) == ("outdated", 1)
    assert store.get("new:1")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"casstorePlan": 2}', '{"casstorePlan": 1}',
     '{"casstorePlan":1,"policy":[{"keep":0}],"steps":[{"image":"x"}],"stored":0,"left":0}',
     '{"casstorePlan":1,"policy":[{"keeep":0}],"stored":0,"left":0}'],
)  # fmt: skip
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(Refused):
        read_plan(str(tmp_path / "plan.json"), now=0)


def test_a_plan_cannot_be_made_to_take_another_image_than_it_shows(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    saved(store, path, {"keep": 0, "only": "other:*"})
    text = path.read_text().replace(str(FOUR["id"]), str(TWO["id"]), 1)
    path.write_text(text)
    with pytest.raises(Refused, match="does not delete its image"):
        read_plan(str(path), now=0)


# Random stores

LAYERS = [layer(os.urandom(100 * (number + 1)).hex()) for number in range(5)]


@st.composite
def archives(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """Images over shared layers, some on top of others, and when each was last used."""
    images: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 6))):
        parent = draw(st.sampled_from([None, *images]))
        below: list[bytes] = list(parent["layers"]) if parent else []
        layers = [*below, *draw(st.lists(st.sampled_from(LAYERS), max_size=2))]
        tags = draw(st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True))
        fields: dict[str, object] = {"tags": [f"{tag}:{number}" for tag in tags]}
        images.append(image(number + 1, layers, **fields))
    return docker_archive(*images), draw(
        st.lists(st.integers(0, 999), min_size=len(images), max_size=len(images))
    )


policies = st.fixed_dictionaries(
    {"min-age": st.sampled_from(["0s", "300s"])},
    optional={
        "unused-for": st.sampled_from(["200s", "700s"]),
        "keep": st.integers(0, 2),
        "only": st.just("a:*"),
        "protect": st.just("b:*"),
    },
)


@settings(max_examples=25, deadline=None)
@given(archives(), policies, st.integers(0, 30) | st.none())
def test_in_a_random_store_the_prediction_is_what_the_disk_gives_back(
    made: tuple[bytes, list[int]], policy: dict[str, object], thousands: int | None
) -> None:
    archive, seconds = made
    if thousands is not None:
        policy = {**policy, "max-used-space": f"{thousands / 10}kB"}
    elif not {"unused-for", "keep"} & policy.keys():
        policy = {**policy, "keep": 1}
    with tempfile.TemporaryDirectory() as folder, Store(folder + "/store") as store:
        loaded = store.load(io.BytesIO(archive), compression="none").images
        used(store, {one.id: ago for one, ago in zip(loaded, seconds, strict=True)})
        before = du(store)
        dry = store.collect(policy, dry_run=True)
        real = store.collect(policy)

        assert removed(dry) == removed(real)
        assert dry.freed == real.freed == before - du(store)
        assert store.check().findings == ()
        for aim in real.aims:
            assert aim.reached == (du(store) <= aim.goal.most)
