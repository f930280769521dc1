"""The reserve: what can be given up when there is no space, and is kept back again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contract.opening import changing

if TYPE_CHECKING:
    from casstore.ports.backend import Backend


def test_what_was_given_up_is_not_there_to_be_given_up_again(backend: Backend) -> None:
    backend.reserve.restore()
    backend.reserve.give_up()

    assert backend.reserve.give_up() is False


def test_keeping_space_back_twice_is_harmless(backend: Backend) -> None:
    backend.reserve.restore()
    backend.reserve.restore()

    backend.reserve.give_up()
    assert backend.reserve.give_up() is False


def test_a_removal_needs_what_is_kept_back_or_not(backend: Backend) -> None:
    assert backend.reserve.is_wanted() in {True, False}


def test_it_is_given_up_while_somebody_has_the_lock(backend: Backend) -> None:
    with changing(backend) as edits:
        backend.another().reserve.give_up()
        edits.commit()

    assert backend.another().reserve.give_up() is False
