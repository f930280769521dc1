"""A dry run: a change as far as rules see, of which nothing is left."""

from __future__ import annotations

from casstore.change.rehearsal import Rehearsal
from casstore.model.digest import sha256
from casstore.model.lease import HardLease
from tests.change.doubles import of_generation

IMAGE, OTHER = sha256(b"image"), sha256(b"other")


def test_it_begins_a_transaction_and_rolls_it_back_though_it_is_committed() -> None:
    backend = of_generation(7)
    with Rehearsal(backend, 1000) as rehearsal:
        rehearsal.commit()

    assert backend.happened == ["begin", "rollback"]


def test_it_knows_the_time_the_leases_and_what_could_not_be_seen() -> None:
    backend = of_generation(7)
    backend.unseen = ["a notice"]
    backend.leases = [HardLease("a", "", (IMAGE,)), HardLease("b", "", (IMAGE, OTHER))]
    rehearsal = Rehearsal(backend, 1000)

    assert (rehearsal.now, rehearsal.unseen, rehearsal.warnings) == (1000, ["a notice"], [])
    assert backend.hard == {IMAGE: ["a", "b"], OTHER: ["b"]}
    assert backend.asked_to_change == [False]
