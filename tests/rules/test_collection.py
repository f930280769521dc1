"""gc with a policy: which images go, in which order, why, and the bytes that each frees."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.backends.local.wholeindex import read_snapshot, stored_bytes
from casstore.model.digest import Digest
from casstore.model.reference import Reference
from casstore.model.snapshot import Snapshot
from casstore.model.storage import Disk
from casstore.rules.collection import CollectionPlan, Moment, plan_collection, vain_patterns
from casstore.rules.filters import parse_filters
from casstore.rules.policy import parse_rule
from tests.rules.test_view import answers, worlds
from tests.rules.world import (
    CONFIG_SIZE,
    LAYER_SIZE,
    MANIFEST_SIZE,
    SECOND,
    World,
    digest_of,
    reference,
)

NOW = 1000 * SECOND
OWN = CONFIG_SIZE + MANIFEST_SIZE  # what every image has for itself alone
DISK = Disk(1_000_000, 500_000)


@pytest.fixture
def world() -> World:
    return World()


def snapshot_of(world: World) -> Snapshot:
    index = world.in_sqlite()
    with closing(index.connection):
        index.commit()
        hard = {
            image: [lease.name for lease in leases if lease.hard]
            for image, leases in world.leases.items()
        }
        return read_snapshot(index, hard, 0)


def planned(
    world: World,
    *rules: Mapping[str, object],
    used: Mapping[Digest, int] | None = None,
    disk: Disk = DISK,
) -> CollectionPlan:
    """The plan; `used` gives last uses in seconds, all others were used at second 0."""
    uses = dict.fromkeys(world.facts, 0) | {i: at * SECOND for i, at in (used or {}).items()}
    pairs = []
    for one in rules:
        rule = parse_rule(one, now=NOW)
        until = [f"until={rule.until}"] if rule.until else []
        filters = parse_filters(
            [*rule.filters, *until], patterns=rule.only, now=NOW, created_of=lambda _: 0
        )
        pairs.append((rule, filters))
    return plan_collection(snapshot_of(world), pairs, Moment(NOW, disk, uses))


def gone(plan: CollectionPlan) -> list[Digest]:
    return [image for step in plan.steps for image in step.removal.delete]


def why(plan: CollectionPlan, image: Digest) -> str:
    return next(one.code for one in plan.kept if one.image == image)


def told(plan: CollectionPlan, image: Digest) -> str:
    return next(one.why for one in plan.kept if one.image == image)


ALL = {"keep": 0}


def test_dangling_images_go_first_then_the_least_recently_used(world: World) -> None:
    new = world.image("new", tags="new")
    old = world.image("old", tags="old")
    dangling = world.image("dangling")

    assert gone(planned(world, ALL, used={new: 20, old: 10, dangling: 30})) == [dangling, old, new]


def test_a_shared_layer_is_freed_by_its_last_holder_and_counted_once(world: World) -> None:
    first = world.image("first", layers="base one", tags="first")
    second = world.image("second", layers="base two", tags="second")

    plan = planned(world, ALL, used={first: 1, second: 2})

    assert [(s.image, s.freed) for s in plan.steps] == [
        (first, OWN + LAYER_SIZE), (second, OWN + 2 * LAYER_SIZE),
    ]  # fmt: skip
    assert (plan.stored, plan.left) == (2 * OWN + 3 * LAYER_SIZE, 0)


def test_a_plan_frees_what_its_steps_free_together(world: World) -> None:
    world.image("one", layers="a", tags="one")
    world.image("two", layers="b", tags="two")
    world.image("kept", layers="c", tags="kept")

    plan = planned(world, {**ALL, "protect": "kept"})

    assert plan.freed == sum(step.freed for step in plan.steps) == 2 * (OWN + LAYER_SIZE)


def test_of_images_last_used_at_one_time_the_oldest_goes_first(world: World) -> None:
    new = world.image("new", tags="new", created=9)
    old = world.image("old", tags="old", created=-1)
    undated = world.image("undated", tags="undated", created=None)

    assert gone(planned(world, ALL)) == [undated, old, new]


def test_children_go_before_their_parent_however_long_that_was_unused(world: World) -> None:
    base = world.image("base", layers="base", tags="base")
    child = world.image("child", layers="base top", tags="child", parent=base)

    assert gone(planned(world, ALL, used={child: 9})) == [child, base]


def test_a_nameless_parent_goes_along_with_its_last_child_as_in_rmi(world: World) -> None:
    base = world.image("base", layers="base")
    one = world.image("one", layers="base top", tags="one", parent=base)
    two = world.image("two", layers="base other", tags="two", parent=base)

    plan = planned(world, ALL, used={one: 1, two: 2})

    assert [s.removal.delete for s in plan.steps] == [(one,), (two, base)]


def test_an_image_whose_child_stays_stays(world: World) -> None:
    base = world.image("base", tags="base")
    child = world.image("child", tags="child", parent=base)

    plan = planned(world, {**ALL, "protect": "child"})

    assert gone(plan) == []
    assert (why(plan, base), why(plan, child)) == ("children", "protected")


def test_where_the_goals_are_reached_an_image_whose_child_stays_need_not_go(world: World) -> None:
    base = world.image("base", tags="base")
    world.image("child", tags="child", parent=base)
    rule = {"protect": "child"}

    assert why(planned(world, {**rule, "max-used-space": "1GB"}), base) == "goal-reached"
    assert why(planned(world, {**rule, "max-used-space": "0"}), base) == "children"


@pytest.mark.parametrize("hard", [True, False])
def test_a_lease_is_told_by_its_kind_and_name(world: World, *, hard: bool) -> None:
    image = world.image("one", tags="one")
    world.lease(image, "job", hard=hard)

    kind = "hard" if hard else "soft"
    assert told(planned(world, ALL), image) == f"it is held by {kind} lease job"


@pytest.mark.parametrize("hard", [True, False])
def test_a_leased_image_is_never_taken(world: World, *, hard: bool) -> None:
    image = world.image("one", tags="one")
    world.lease(image, "job", hard=hard)

    assert why(planned(world, ALL), image) == "leased"


def test_a_pinned_image_is_never_taken_not_even_along_with_its_child(world: World) -> None:
    base = world.image("base")
    child = world.image("child", tags="child", parent=base)
    alone = world.image("alone", tags="alone")
    world.pins.update((base, alone))

    plan = planned(world, ALL)

    assert gone(plan) == [child]
    assert (why(plan, base), why(plan, alone)) == ("pinned", "pinned")


def test_max_used_space_stops_as_soon_as_it_is_reached(world: World) -> None:
    images = [world.image(f"i{n}", layers=f"l{n}", tags=f"i{n}") for n in range(4)]
    each = OWN + LAYER_SIZE

    plan = planned(
        world, {"max-used-space": str(2 * each)}, used={i: n for n, i in enumerate(images)}
    )

    assert gone(plan) == images[:2]
    assert [why(plan, image) for image in images[2:]] == ["goal-reached"] * 2
    assert [aim.reached for aim in plan.aims] == [True]


def test_a_store_that_is_small_enough_loses_nothing(world: World) -> None:
    world.image("one", tags="one")

    plan = planned(world, {"max-used-space": str(OWN)})

    assert (gone(plan), [aim.reached for aim in plan.aims]) == ([], [True])


def test_a_goal_that_the_images_that_may_go_do_not_reach_is_told(world: World) -> None:
    image = world.image("one", tags="one")
    world.lease(image, "job")

    assert [aim.reached for aim in planned(world, {"max-used-space": "1"}).aims] == [False]


def test_min_free_space_counts_what_the_removals_give_back(world: World) -> None:
    images = [world.image(f"i{n}", layers=f"l{n}", tags=f"i{n}") for n in range(3)]

    plan = planned(
        world, {"min-free-space": str(2 * LAYER_SIZE)}, used={i: n for n, i in enumerate(images)},
        disk=Disk(100_000, 100),
    )  # fmt: skip

    assert gone(plan) == images[:2]


def test_nothing_is_taken_that_would_leave_less_than_the_reserved_space(world: World) -> None:
    big = world.image("big", layers="a b c", tags="big")
    small = world.image("small", layers="d", tags="small")
    keep = 2 * OWN + 3 * LAYER_SIZE

    plan = planned(world, {**ALL, "reserved-space": str(keep)}, used={big: 1, small: 2})

    assert why(plan, big) == "reserved-space"
    assert why(plan, small) == "reserved-space"  # it holds its documents, too
    plan = planned(world, {**ALL, "reserved-space": str(keep - OWN)}, used={big: 1, small: 2})
    assert gone(plan) == [small]


def test_unused_for_takes_only_what_was_not_used_for_so_long(world: World) -> None:
    old, new = world.image("old", tags="old"), world.image("new", tags="new")

    plan = planned(world, {"unused-for": "200s"}, used={old: 800, new: 801})

    assert (gone(plan), why(plan, new)) == ([old], "unused-for")


def test_until_goes_by_the_time_of_building(world: World) -> None:
    old = world.image("old", tags="old", created=900)
    new = world.image("new", tags="new", created=901)

    plan = planned(world, {"until": "100s"})

    assert (gone(plan), why(plan, new)) == ([old], "until")


def test_a_minimum_age_protects_what_has_just_come_also_as_a_parent(world: World) -> None:
    base = world.image("base")
    child = world.image("child", tags="child", parent=base)
    young = world.image("young", tags="young")

    plan = planned(world, ALL, used={young: 990, base: 990})

    assert gone(plan) == [child]
    assert (why(plan, young), why(plan, base)) == ("min-age", "min-age")


def test_an_image_used_as_long_ago_as_the_minimum_age_is_old_enough(world: World) -> None:
    image = world.image("one", tags="one")

    assert gone(planned(world, {**ALL, "min-age": "100s"}, used={image: 900})) == [image]


def test_keep_counts_images_and_not_tags_by_repository(world: World) -> None:
    one = world.image("one", tags="app:1", created=1)
    two = world.image("two", tags="app:2 app:2.0 app:latest", created=2)
    three = world.image("three", tags="app:3", created=3)
    other = world.image("other", tags="other:1", created=0)

    plan = planned(world, {"keep": 2})

    assert gone(plan) == [one]
    assert {why(plan, image) for image in (two, three, other)} == {"keep"}


def test_an_image_stays_while_it_is_among_the_newest_of_any_of_its_repositories(
    world: World,
) -> None:
    both = world.image("both", tags="app:1 rare:1", created=1)
    world.image("new", tags="app:2", created=2)

    assert why(planned(world, {"keep": 1}), both) == "keep"


def test_a_signature_stays_with_its_image_and_goes_with_it(world: World) -> None:
    image = world.image("one", layers="a", tags="app:1", created=1)
    signature = world.image("signature", layers="s", subject=image, created=9)
    other = world.image("other", layers="b", tags="app:2", created=2)
    tagged = f"app:sha256-{world.holdings[other][0].hex}.sig"
    by_tag = world.image("signature by tag", layers="t", tags=tagged, created=9)

    plan = planned(world, {"keep": 1})

    (step,) = plan.steps
    assert step.removal.delete == (image, signature)
    assert step.freed == 2 * OWN + 2 * LAYER_SIZE
    assert (why(plan, other), why(plan, by_tag)) == ("keep", "subject")


def test_a_signature_among_the_names_of_an_image_does_not_hide_the_others(world: World) -> None:
    subject = digest_of("some manifest")
    image = world.image("one", tags=f"app:sha256-{subject.hex}.sig app:1", created=1)

    assert why(planned(world, {"keep": 1}), image) == "keep"


def test_a_signature_with_a_name_of_its_own_is_an_image_like_any_other(world: World) -> None:
    image = world.image("one", tags="app:1")
    signature = world.image("signature", tags="signatures:1", subject=image)

    assert sorted(gone(planned(world, ALL))) == sorted([image, signature])


def test_a_signature_whose_image_is_gone_is_an_image_like_any_other(world: World) -> None:
    manifest = digest_of("a manifest that is not here")
    lost = world.image("signature", tags=f"app:sha256-{manifest.hex}.sig")

    assert gone(planned(world, ALL)) == [lost]


def test_dangling_images_are_not_among_the_newest_of_anything(world: World) -> None:
    image = world.image("dangling", created=9)

    assert gone(planned(world, {"keep": 5})) == [image]


def test_one_name_that_fits_protects_an_image(world: World) -> None:
    image = world.image("one", tags="ci/app:1 prod/app:1")

    assert why(planned(world, {**ALL, "protect": "prod/*"}), image) == "protected"


def test_a_star_stops_at_a_slash_and_two_do_not(world: World) -> None:
    image = world.image("one", tags="host:5000/prod/app:1")

    assert gone(planned(world, {**ALL, "protect": "host:5000/*"})) == [image]
    assert gone(planned(world, {**ALL, "protect": "host:5000/**"})) == []


def test_only_takes_images_all_of_whose_names_fit(world: World) -> None:
    ci = world.image("ci", tags="ci/app:1 ci/app:2")
    mixed = world.image("mixed", tags="ci/app:3 prod/app:3")
    dangling = world.image("dangling")

    plan = planned(world, {**ALL, "only": "ci/*"})

    assert gone(plan) == [ci]
    assert why(plan, mixed) == why(plan, dangling) == "not-chosen"


def test_only_takes_the_nameless_parents_of_what_it_takes_along(world: World) -> None:
    base = world.image("base")
    child = world.image("child", tags="ci/app:1", parent=base)

    assert gone(planned(world, {**ALL, "only": "ci/*"})) == [child, base]


def test_labels_choose_and_spare(world: World) -> None:
    kept = world.image("kept", tags="kept", labels={"keep": "yes"})
    other = world.image("other", tags="other")

    assert gone(planned(world, {**ALL, "filter": ["label!=keep"]})) == [other]
    assert gone(planned(world, {**ALL, "filter": ["label=keep=yes"]})) == [kept]


def test_dangling_alone_can_be_chosen(world: World) -> None:
    world.image("named", tags="named")
    dangling = world.image("dangling")

    assert gone(planned(world, {"filter": "dangling=true"})) == [dangling]


def test_what_others_are_built_on_is_not_dangling_without_a_name_either(world: World) -> None:
    base = world.image("base")
    world.image("child", tags="child", parent=base)
    dangling = world.image("dangling")

    plan = planned(world, {"filter": "dangling=true"})

    assert told(plan, base) == "it is not dangling"
    assert told(planned(world, {"filter": "dangling=false"}), dangling) == "it is dangling"


def test_what_the_filters_spare_was_not_just_built_too_late(world: World) -> None:
    image = world.image("one", tags="one", created=1)

    plan = planned(world, {"until": "100s", "filter": "label=old"})

    assert (why(plan, image), told(plan, image)) == ("protected", "the filters spare it")


def test_all_conditions_must_hold_and_a_goal_does_not_override_them(world: World) -> None:
    used = world.image("used", layers="a", tags="used", created=1)
    newest = world.image("newest", layers="b", tags="app:2", created=9)
    goes = world.image("goes", layers="c", tags="app:1", created=1)

    plan = planned(
        world, {"max-used-space": "0", "unused-for": "500s", "until": "1s", "keep": 1},
        used={used: 700},
    )  # fmt: skip

    assert gone(plan) == [goes]
    assert (why(plan, used), why(plan, newest)) == ("unused-for", "keep")
    assert [aim.reached for aim in plan.aims] == [False]


def test_rules_apply_one_after_the_other(world: World) -> None:
    old, mid, new = (world.image(n, layers=f"layer-{n}", tags=n) for n in ("old", "mid", "new"))
    each = OWN + LAYER_SIZE

    plan = planned(
        world,
        {"unused-for": "900s"},
        {"max-used-space": str(each)},
        used={old: 50, mid: 500, new: 600},
    )

    assert [(step.image, step.rule) for step in plan.steps] == [(old, 1), (mid, 2)]


def test_the_plan_says_why(world: World) -> None:
    image = world.image("one", layers="a", tags="one")

    (step,) = planned(world, {"max-used-space": "0"}, used={image: 100}).steps

    assert step.why == "last used 15m ago, for max-used-space 0B"


def test_the_plan_says_what_an_image_is_not_among_and_what_goes_along(world: World) -> None:
    base = world.image("base")
    old = world.image("old", tags="app:1", parent=base, created=1)
    world.image("new", tags="app:2", created=2)
    world.image("dangling")

    dangling, named = planned(world, {"keep": 1}, used={old: 100}).steps

    assert dangling.why == "dangling, last used 16m ago"
    assert named.why == (
        "last used 15m ago, not among the newest 1; 1 that only it needed go along"
    )


def test_an_image_that_every_rule_spares_says_each_reason_and_counts_as_the_last(
    world: World,
) -> None:
    image = world.image("one", tags="one")

    plan = planned(world, {**ALL, "protect": "one"}, {"unused-for": "900s"}, used={image: 500})

    assert why(plan, image) == "unused-for"
    assert told(plan, image) == "one:latest is protected by one; used 8m ago"


# Patterns that protect nothing


def test_a_pattern_that_fits_no_name_protects_in_vain() -> None:
    rules = [parse_rule({"keep": 1, "protect": one}, now=NOW) for one in (["a", "b"], ["c:*"])]
    names = [reference("a:1"), reference("d:1")]

    assert vain_patterns(lambda: names, rules) == ["b", "c:*"]


def test_where_no_rule_protects_no_name_is_looked_at() -> None:
    def names() -> list[Reference]:
        raise AssertionError("the names were asked for")

    assert vain_patterns(names, [parse_rule({"keep": 1}, now=NOW)]) == []


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_a_snapshot_answers_as_every_view_does(world: World) -> None:
    snapshot = snapshot_of(world)

    assert answers(snapshot, world) == answers(world, world)


RULES = st.fixed_dictionaries(
    {"min-age": st.sampled_from(["0s", "300s"])},
    optional={
        "max-used-space": st.sampled_from(["0", "1000", "2500"]),
        "unused-for": st.sampled_from(["200s", "900s"]),
        "keep": st.integers(0, 2),
        "reserved-space": st.sampled_from(["0", "900"]),
        "protect": st.sampled_from(["a", "*:2"]),
    },
).filter(lambda rule: any(name in rule for name in ("max-used-space", "unused-for", "keep")))


@settings(max_examples=80, deadline=None)
@given(worlds(), RULES.filter(lambda r: "max-used-space" not in r or "reserved-space" not in r),
       st.lists(st.integers(0, 999), min_size=6, max_size=6))  # fmt: skip
def test_a_plan_carried_out_on_the_index_frees_what_it_says(
    world: World, rule: dict[str, object], times: list[int]
) -> None:
    used = {digest_of(f"image {n}"): at for n, at in enumerate(times)}
    plan = planned(world, rule, used={i: at for i, at in used.items() if i in world.facts})
    index = world.in_sqlite()
    with closing(index.connection):
        for step in plan.steps:
            before = stored_bytes(index)
            index.apply(step.removal)
            assert before - stored_bytes(index) == step.freed

        assert stored_bytes(index) == plan.left
        left = {facts.id for facts in index.all_images()}
        assert left == {one.image for one in plan.kept}
