"""Section "from an argument to an image": what an IMAGE argument means."""

from __future__ import annotations

import pytest

from casstore.errors import InvalidReference, NotFound
from casstore.rules.resolve import resolve
from tests.rules.world import World, digest_of

DIGEST = digest_of("a manifest")


@pytest.fixture
def world() -> World:
    return World()


def test_64_hex_digits_are_that_image_id_and_nothing_else(world: World) -> None:
    image = world.image("one")

    assert resolve(world, image.hex).image == image
    assert resolve(world, str(image)).image == image
    assert resolve(world, str(image)).by_id


def test_64_hex_digits_that_are_no_image_are_shown_with_their_algorithm(world: World) -> None:
    missing = digest_of("missing")

    with pytest.raises(NotFound, match=f"^No such image: {missing}$"):
        resolve(world, missing.hex)


def test_a_name_means_its_latest_tag(world: World) -> None:
    image = world.image("one", tags="app:latest")

    found = resolve(world, "app")

    assert found.image == image
    assert not found.by_id


@pytest.mark.parametrize(
    "form", ["library/one", "docker.io/one", "index.docker.io/library/one:latest"]
)
def test_every_form_of_a_name_finds_it(world: World, form: str) -> None:
    image = world.image("one", tags="one")

    assert resolve(world, form).image == image


def test_a_tag_beside_a_digest_is_ignored(world: World) -> None:
    image = world.image("one", tags=f"busybox@{DIGEST}")

    assert resolve(world, f"busybox:nosuch@{DIGEST}").image == image


def test_a_digest_reference_does_not_find_an_image_by_its_id(world: World) -> None:
    image = world.image("one", tags="one")

    with pytest.raises(NotFound):
        resolve(world, f"one@{image}")


@pytest.mark.parametrize("prefix", ["", "sha256:"])
@pytest.mark.parametrize("length", [1, 12, 63])
def test_a_unique_prefix_of_an_id_is_that_image(world: World, prefix: str, length: int) -> None:
    image = world.image("one")

    found = resolve(world, prefix + image.hex[:length])

    assert found.image == image
    assert found.by_id
    assert found.name is None


def test_an_ambiguous_prefix_is_no_such_image(world: World) -> None:
    world.image("one", id="fd481")
    world.image("two", id="fd482")

    with pytest.raises(NotFound, match=r"^No such image: fd48:latest$"):
        resolve(world, "fd48")


def test_a_prefix_that_matches_nothing_is_shown_as_a_name(world: World) -> None:
    with pytest.raises(NotFound, match=r"^No such image: ee7778961c80:latest$"):
        resolve(world, "ee7778961c80")


def test_a_name_beats_an_id_prefix(world: World) -> None:
    world.image("one", id="fd481")
    named = world.image("two", tags="fd48")

    assert resolve(world, "fd48").image == named


def test_a_name_that_is_a_prefix_of_its_own_image_id_acts_by_id(world: World) -> None:
    world.image("one", id="cafe8689", tags="caf")

    assert resolve(world, "caf").by_id
    assert not resolve(world, "caf:latest").by_id


@pytest.mark.parametrize("name", ["s", "sh", "sha256"])
def test_a_name_that_is_a_prefix_of_the_word_sha256_acts_by_id(world: World, name: str) -> None:
    world.image("one", tags=name)

    assert resolve(world, name).by_id


@pytest.mark.parametrize("length", [65, 66])
def test_more_than_64_hex_digits_are_no_id(world: World, length: int) -> None:
    world.image("one", id="c" * 64)

    with pytest.raises(NotFound):
        resolve(world.in_sqlite(), "c" * length)


def test_a_name_that_is_no_hex_number_is_no_prefix_of_an_id(world: World) -> None:
    world.image("one")

    with pytest.raises(NotFound):
        resolve(world.in_sqlite(), "nosuch")


def test_an_id_in_upper_case_is_an_invalid_name(world: World) -> None:
    world.image("one", id="cafe")

    with pytest.raises(InvalidReference, match="must be lowercase"):
        resolve(world, "CAFE")


def test_a_blank_argument_is_refused(world: World) -> None:
    with pytest.raises(InvalidReference, match=r"^image name cannot be blank$"):
        resolve(world, " ")


def test_what_is_not_there_is_shown_in_its_familiar_form(world: World) -> None:
    with pytest.raises(NotFound, match=r"^No such image: nosuch:latest$"):
        resolve(world, "docker.io/library/nosuch")
