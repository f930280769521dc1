"""The contract of a view: World and LocalView tell the rules the same."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import CasstoreError
from casstore.model.digest import Digest
from casstore.model.removal import RemovalPlan
from casstore.rules.removal import plan_removal
from tests.rules.world import World, digest_of, reference

if TYPE_CHECKING:
    from casstore.ports.view import ListingView, StoreView


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A few images over few layers, some on top of others, with names and leases."""
    world = World()
    images: list[Digest] = []
    for number in range(draw(st.integers(1, 5))):
        names = draw(st.lists(st.sampled_from("abcd"), max_size=3))
        image = world.image(
            f"image {number}",
            layers=" ".join(names),
            parent=draw(st.sampled_from([None, *images])),
            created=draw(st.sampled_from([None, 0, 5])),
            labels=draw(st.dictionaries(st.sampled_from("kl"), st.sampled_from("vw"))),
            subject=draw(st.sampled_from([None, *images])),
        )
        images.append(image)
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        world.name(draw(st.sampled_from(images)), name)
    world.pins.update(draw(st.lists(st.sampled_from(images), max_size=2)))
    for lease in draw(st.lists(st.sampled_from("xyz"), unique=True)):
        world.lease(draw(st.sampled_from(images)), lease, hard=draw(st.booleans()))
    return world


DIGEST = digest_of("some manifest")
SIGNATURE = f"a:sha256-{digest_of('manifest of image 0').hex}.sig"
NAMES = [SIGNATURE, "a:1", "a:2", "b:1", f"a@{DIGEST}", f"b@{DIGEST}", "host:5000/a/b:1"]
IDS = [digest_of(f"image {number}") for number in range(6)]
ARGUMENTS = st.sampled_from([*NAMES, *IDS, *(image.short for image in IDS)])


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_both_views_answer_every_question_alike(world: World) -> None:
    index = world.in_sqlite()
    with closing(index.connection):
        assert answers(index, world) == answers(world, world)
        assert listings(index) == listings(world)


@settings(max_examples=60, deadline=None)
@given(
    world=worlds(),
    removals=st.lists(st.tuples(ARGUMENTS, st.booleans(), st.booleans()), max_size=4),
)
@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_both_views_lead_to_the_same_plans_and_stay_alike_when_these_are_applied(
    world: World, removals: list[tuple[str, bool, bool]], *, many: bool
) -> None:
    index = world.in_sqlite()
    with closing(index.connection):
        doomed: set[Digest] = set()
        if many:
            index.expect_many()
        for argument, force, prune in removals:
            plan = planned(index, argument, force=force, prune=prune)

            assert plan == planned(world, argument, force=force, prune=prune)
            if isinstance(plan, RemovalPlan):
                index.apply(plan)
                world.apply(plan)
                doomed.update(plan.free)
        assert answers(index, world) == answers(world, world)
        assert listings(index) == listings(world)
        index.commit()
        assert set(index.doomed()) == doomed
        assert not index.known_among(sorted(doomed))


def planned(view: ListingView, argument: str, *, force: bool, prune: bool) -> RemovalPlan | str:
    try:
        return plan_removal(view, argument, force=force, prune=prune)
    except CasstoreError as error:
        return f"{type(error).__name__}: {error}"


def listings(view: ListingView) -> dict[str, object]:
    """What a view lists."""
    return {
        "all_images": list(view.all_images()),
        "all_references": view.all_references(),
        "all_parents": view.all_parents(),
        "all_referrers": view.all_referrers(),
    }


def answers(view: StoreView, world: World) -> dict[str, object]:
    """All that a view says of the images, names and blobs of a world."""
    said: dict[str, object] = {}
    for name in map(reference, NAMES):
        said[f"image_named {name}"] = view.image_named(name)
    for image in IDS:
        said[f"has_image {image}"] = view.has_image(image)
        for length in (1, 2, 12, 63):
            found = view.images_with_prefix(image.hex[:length])
            said[f"images_with_prefix {image.hex[:length]}"] = sorted(found)
    for image in world.facts:
        said[f"image {image}"] = [
            list(view.references_of(image)), view.parent_of(image), list(view.children_of(image)),
            list(view.leases_on(image)), list(view.manifests_of(image)), view.facts_of(image),
            list(view.subjects_of(image)),
            list(view.naming_of(image)),
            view.is_pinned(image),
        ]  # fmt: skip
    for blob in world.blobs:
        said[f"needs_of {blob}"] = list(view.needs_of(blob))
        said[f"referrers_of {blob}"] = list(view.referrers_of(blob))
    return said
