"""What other tools see: a list that says of which moment it is.

A backend that publishes nothing answers as one whose list is always current; whatever it answers,
a change goes on in the same way (test_change.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from casstore.model.keys import GENERATION
from casstore.model.published import Published
from tests.contract.opening import NOW, changing
from tests.contract.records import image, name_of

if TYPE_CHECKING:
    from casstore.ports.backend import Backend

A, B = image("a", "base"), image("b", "other")
ONE, TWO = name_of("one:1"), name_of("two:1")


def generation_of(backend: Backend) -> int:
    generation: int = backend.view(NOW).meta(GENERATION)
    return generation


@pytest.fixture
def published(backend: Backend) -> Backend:
    """A store with an image in its list."""
    with changing(backend) as edits:
        edits.admit(A)
        edits.attach(ONE, A.id, A.top.digest, tagged=0)
        edits.set_meta(GENERATION, edits.meta(GENERATION) + 1)
        edits.commit()
    with changing(backend) as edits:
        backend.published.write(edits.all_published(), edits.meta(GENERATION))
        backend.published.flush()
    return backend


def test_what_was_published_is_of_its_generation(published: Backend) -> None:
    assert published.published.generation() == generation_of(published)
    assert published.another().published.generation() == generation_of(published)


def test_what_was_published_is_of_our_form(published: Backend) -> None:
    assert not published.published.is_foreign()
    assert not published.published.is_withdrawn()


def test_what_a_change_adds_is_published_without_the_rest(published: Backend) -> None:
    with changing(published) as edits:
        edits.admit(B)
        edits.attach(TWO, B.id, B.top.digest, tagged=0)
        changes = edits.changes()
        assert changes is not None
        edits.set_meta(GENERATION, edits.meta(GENERATION) + 1)
        edits.commit()

        assert published.published.splice(*changes, edits.meta(GENERATION))
    assert published.published.generation() == generation_of(published)


def test_a_list_that_is_not_as_it_should_be_is_not_changed_in_part(published: Backend) -> None:
    before = published.published.generation()
    missing = Published(TWO, B.top, None)

    changed = published.published.splice([(missing, None)], [], generation_of(published))

    assert changed or published.published.generation() == before


def test_withdrawing_twice_is_as_once(published: Backend) -> None:
    published.published.withdraw()
    once = (published.published.is_withdrawn(), published.published.generation())
    published.published.withdraw()

    assert (published.published.is_withdrawn(), published.published.generation()) == once
    assert not published.published.is_foreign()


def test_what_was_withdrawn_can_be_published_again(published: Backend) -> None:
    published.published.withdraw()
    with changing(published) as edits:
        published.published.write(edits.all_published(), edits.meta(GENERATION))

    assert published.published.generation() == generation_of(published)
    assert not published.published.is_withdrawn()


def test_what_was_withdrawn_can_be_forgotten_twice(published: Backend) -> None:
    published.published.withdraw()
    published.published.forget_last()
    published.published.forget_last()


def test_noting_a_generation_publishes_nothing(published: Backend) -> None:
    published.published.withdraw()
    before = published.published.generation()
    published.published.note(before or 1)

    assert published.published.generation() == before


def test_flushing_what_is_durable_is_harmless(published: Backend) -> None:
    published.published.flush()
    published.published.flush()
