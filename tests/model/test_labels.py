"""Labels, which take little room until somebody looks at them."""

from __future__ import annotations

from casstore.model.labels import Labels

PAIRS = (("a", "1"), ("b", ""))


def test_labels_are_the_pairs_that_they_were_made_of() -> None:
    assert tuple(Labels(PAIRS)) == PAIRS
    assert tuple(Labels()) == ()


def test_no_labels_are_false_and_take_no_room() -> None:
    assert not Labels()
    assert Labels().size == 0
    assert Labels(PAIRS)
    assert 0 < Labels(PAIRS).size < 100


def test_labels_are_equal_to_the_same_pairs_and_to_nothing_else() -> None:
    assert Labels(PAIRS) == Labels(iter(PAIRS))
    assert Labels(PAIRS) == PAIRS
    assert Labels(PAIRS) != Labels(PAIRS[:1])
    assert Labels(PAIRS) != list(PAIRS)


def test_equal_labels_are_one_key() -> None:
    assert {Labels(PAIRS): 1}[Labels(PAIRS)] == 1
