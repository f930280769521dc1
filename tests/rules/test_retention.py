"""Section "prune": which arguments go, in which order."""

from __future__ import annotations

import pytest

from casstore.errors import Conflict
from casstore.rules.filters import parse_filters
from casstore.rules.retention import prune_candidates
from tests.rules.world import World, digest_of

DIGEST = digest_of("a manifest")


@pytest.fixture
def world() -> World:
    return World()


def chosen(world: World, *filters: str, everything: bool = False) -> list[str]:
    parsed = parse_filters(filters, now=100 * 10**9, created_of=lambda _: 0)
    candidates = prune_candidates(world, parsed, everything=everything)
    return [argument for candidate in candidates for argument in candidate.arguments]


def pruned(world: World, *filters: str, everything: bool = False) -> list[str]:
    """What a prune prints of names and images, conflicts skipped."""
    lines = []
    for argument in chosen(world, *filters, everything=everything):
        try:
            lines += world.remove(argument)
        except Conflict:
            continue
    return lines


def test_a_dangling_image_goes_by_its_id(world: World) -> None:
    image = world.image("one")

    assert chosen(world) == [image.hex]


def test_a_tagged_image_stays(world: World) -> None:
    world.image("one", tags="a")

    assert chosen(world) == []


def test_an_image_with_digest_references_only_goes_by_these(world: World) -> None:
    world.image("one", tags=f"a@{DIGEST}")

    assert chosen(world) == [f"docker.io/library/a@{DIGEST}"]


def test_a_parent_goes_with_its_last_child_and_is_never_chosen_itself(world: World) -> None:
    base = world.image("base")
    child = world.image("child", parent=base)

    assert chosen(world) == [child.hex]
    pruned(world)
    assert world.facts == {}


def test_a_parent_with_a_digest_for_a_name_is_not_chosen_either(world: World) -> None:
    base = world.image("base", tags=f"a@{DIGEST}")
    world.image("child", tags="child", parent=base)

    assert chosen(world) == []


def test_everything_does_not_mean_a_parent_without_a_name(world: World) -> None:
    base = world.image("base")
    world.image("child", tags="child", parent=base)

    assert chosen(world, everything=True) == ["docker.io/library/child:latest"]


def test_an_image_with_a_tag_stays_whatever_other_names_it_has(world: World) -> None:
    world.image("one", tags=f"a@{DIGEST} a:1")

    assert chosen(world) == []


def test_an_artifact_without_a_name_is_left_to_go_with_its_subject(world: World) -> None:
    app = world.image("app", tags="app", created=1)
    world.image("signature", subject=app, created=3)
    dangling = world.image("dangling", created=2)

    assert chosen(world) == [dangling.hex]


def test_everything_means_the_names_of_an_artifact_too(world: World) -> None:
    app = world.image("app", tags="app:1")
    world.image("signature", tags="signature:1", subject=app, created=9)

    assert chosen(world, everything=True) == [
        "docker.io/library/signature:1",
        "docker.io/library/app:1",
    ]


def test_everything_means_each_name_of_each_image(world: World) -> None:
    world.image("one", tags="zz:1 aa:1")

    assert chosen(world, everything=True) == [
        "docker.io/library/aa:1", "docker.io/library/zz:1",
    ]  # fmt: skip


def test_everything_takes_the_names_of_a_parent_too(world: World) -> None:
    base = world.image("base", tags="base", created=1)
    world.image("app", tags="app", parent=base, created=2)

    pruned(world, everything=True)

    assert world.facts == {}


def test_everything_leaves_a_leased_image_the_last_of_its_names_by_text(world: World) -> None:
    image = world.image("runner", tags="zz:1 aa:1 runner:2")
    world.lease(image, "container", hard=True)

    assert pruned(world, everything=True) == ["Untagged: aa:1", "Untagged: runner:2"]
    assert [one.name.familiar for one in world.references_of(image)] == ["zz:1"]


def test_newer_images_go_first(world: World) -> None:
    old, new = world.image("old", created=1), world.image("new", created=2)

    assert chosen(world) == [new.hex, old.hex]


def test_until_spares_what_is_younger(world: World) -> None:
    old = world.image("old", created=10)
    world.image("new", created=90)

    assert chosen(world, "until=50s") == [old.hex]


def test_labels_decide_what_goes_and_what_is_spared(world: World) -> None:
    kept = world.image("kept", labels={"keep": "1"})
    gone = world.image("gone")

    assert chosen(world, "label!=keep") == [gone.hex]
    assert chosen(world, "label=keep") == [kept.hex]


def test_an_image_that_a_filter_spares_keeps_its_parents(world: World) -> None:
    base = world.image("base", created=1)
    spared = world.image("spared", parent=base, created=99)

    pruned(world, "until=50s")

    assert set(world.facts) == {base, spared}


def test_a_reference_pattern_chooses_images_with_a_name_that_fits(world: World) -> None:
    world.image("one", tags="ci/app:1")
    world.image("two", tags="prod/app:1")

    assert chosen(world, "reference=ci/*", everything=True) == ["docker.io/ci/app:1"]
