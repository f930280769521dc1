"""A whole store in memory: what it counts, and how it goes on from a removal."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given, settings

from casstore.backends.local.wholeindex import read_snapshot
from casstore.errors import Conflict, NotFound
from casstore.model.digest import Digest
from casstore.model.snapshot import Snapshot
from casstore.rules.removal import plan_deletion, plan_removal, plan_unnamed
from tests.rules.test_collection import snapshot_of
from tests.rules.test_view import worlds
from tests.rules.world import World, digest_of, reference


@pytest.fixture
def world() -> World:
    return World()


def what_it_says(snapshot: Snapshot, images: list[Digest]) -> dict[str, object]:
    """Every answer of a snapshot about these images."""
    asked = ("has_image", "names_of", "parent_of", "children_of", "subjects_of", "manifests_of",
             "is_pinned", "leases_on")  # fmt: skip
    said: dict[str, object] = {
        f"{question} {image}": [*answer] if hasattr(answer, "__iter__") else answer
        for image in images
        if snapshot.has_image(image)
        for question in asked
        for answer in [getattr(snapshot, question)(image)]
    }
    said["counts"] = tuple(getattr(snapshot, one) for one in ("stored", "blobs", "references"))
    return said


def test_it_counts_blobs_references_and_bytes(world: World) -> None:
    world.image("one", layers="base a", tags="one:1 one:2")
    world.image("two", layers="base b", tags="two")
    snapshot = snapshot_of(world)

    assert (snapshot.blobs, snapshot.references) == (7, 3)
    assert snapshot.stored == sum(blob.size for blob in world.blobs.values())


def test_of_the_images_with_a_prefix_the_first_two_are_told(world: World) -> None:
    for number in (3, 1, 2):
        world.image(f"image {number}", id=f"fd{number}")

    found = snapshot_of(world).images_with_prefix("fd")

    assert [image.hex[:3] for image in found] == ["fd1", "fd2"]


def test_a_name_that_goes_leaves_the_others(world: World) -> None:
    image = world.image("one", tags="one:1 one:2")
    snapshot = snapshot_of(world)
    snapshot.apply(plan_removal(world, "one:1"))

    assert snapshot.names_of(image) == (reference("one:2"),)
    assert snapshot.image_named(reference("one:1")) is None


def test_a_manifest_that_an_image_gives_up_is_held_by_it_no_more(world: World) -> None:
    image = world.image("one", layers="old", manifest="first")
    world.image("one", layers="new", manifest="second")
    world.name(image, "one:1", digest_of("second"))
    other = world.image("two", manifest="first", tags="two")
    snapshot = snapshot_of(world)
    snapshot.apply(plan_unnamed(snapshot, image, digest_of("first")))

    assert [state.digest for state in snapshot.manifests_of(image)] == [digest_of("second")]
    assert digest_of("first") in plan_removal(snapshot, "two").free
    assert snapshot.has_image(other)


def test_a_manifest_of_two_images_is_freed_with_the_second(world: World) -> None:
    first = world.image("one", manifest="shared")
    second = world.image("two", manifest="shared")
    snapshot = snapshot_of(world)
    plan = plan_deletion(snapshot, first, spare=lambda _: False)
    snapshot.apply(plan)

    assert digest_of("shared") not in plan.free
    assert digest_of("shared") in plan_deletion(snapshot, second, spare=lambda _: False).free


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_after_removals_it_says_what_the_index_says(world: World) -> None:
    images = list(world.facts)
    index = world.in_sqlite()
    with closing(index.connection):
        index.commit()
        snapshot = read_snapshot(index, {}, 0)
        for image in images:
            try:
                plan = plan_removal(snapshot, image.hex, force=True)
            except (Conflict, NotFound):
                continue
            snapshot.apply(plan)
            index.begin()
            index.apply(plan)
            index.commit()

        assert what_it_says(snapshot, images) == what_it_says(read_snapshot(index, {}, 0), images)
