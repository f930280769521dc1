"""One definition of dangling: what is listed, counted, filtered and removed by it is the same."""

from __future__ import annotations

import pytest

from casstore.model.digest import Digest
from casstore.rules.dangling import is_dangling_in
from casstore.rules.filters import parse_filters
from casstore.rules.retention import prune_candidates
from tests.rules.test_collection import snapshot_of
from tests.rules.world import World, digest_of

BY_DIGEST = f"app@{digest_of('a manifest')}"


@pytest.fixture
def world() -> World:
    return World()


def dangling(world: World) -> list[Digest]:
    snapshot = snapshot_of(world)
    return [image for image in world.facts if is_dangling_in(snapshot, image)]


def test_an_image_without_a_tag_is_dangling(world: World) -> None:
    nameless = world.image("nameless")
    by_digest = world.image("by digest", tags=BY_DIGEST)
    world.image("tagged", tags="app:1")

    assert dangling(world) == [nameless, by_digest]


def test_an_image_that_another_is_built_on_is_not(world: World) -> None:
    base = world.image("base")
    world.image("child", tags="child", parent=base)

    assert dangling(world) == []


@pytest.mark.parametrize("tags", ["", BY_DIGEST])
def test_an_artifact_is_not_while_what_it_refers_to_is_there(world: World, tags: str) -> None:
    image = world.image("image", tags="app:1")
    world.image("signature", subject=image, tags=tags)

    assert dangling(world) == []


def test_prune_chooses_the_dangling_images(world: World) -> None:
    image = world.image("image", tags="app:1")
    base = world.image("base")
    world.image("child", tags="child", parent=base)
    world.image("signature", subject=image, tags=BY_DIGEST)
    nameless = world.image("nameless")
    everyone = parse_filters((), now=0, created_of=lambda _: 0)

    (chosen,) = prune_candidates(world, everyone, everything=False)
    assert chosen.arguments == (nameless.hex,)
    assert dangling(world) == [nameless]
