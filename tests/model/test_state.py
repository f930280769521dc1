"""The names of an image, as a removal asks about them; and the labels that a listing wants."""

from __future__ import annotations

import pytest

from casstore.model.digest import sha256
from casstore.model.kept import wanted_labels
from casstore.model.reference import Reference
from casstore.model.state import Attached, Naming

ONE, TWO = sha256(b"one"), sha256(b"two")
DIGEST = f"@{ONE}"


def naming(*names: str) -> Naming:
    """Names between blanks; behind a `=` the manifest, which is ONE otherwise."""
    attached = []
    for name in names:
        text, _, manifest = name.partition("=")
        attached.append(Attached(Reference(text), TWO if manifest == "two" else ONE))
    return Naming(attached)


def test_names_are_told_in_the_order_in_which_they_were_attached() -> None:
    names = naming("h/b:1", "h/a:1")

    assert list(names) == ["h/b:1", "h/a:1"]
    assert len(names) == 2


@pytest.mark.parametrize(
    ("names", "single"),
    [
        ([], False),
        (["h/a:1"], True),
        ([f"h/a{DIGEST}"], True),
        (["h/a:1", f"h/a{DIGEST}"], True),
        ([f"h/a{DIGEST}", f"h/a@{TWO}"], True),
        (["h/a:1", "h/a:2"], False),
        (["h/a:1", "h/b:1"], False),
        (["h/a:1", f"h/b{DIGEST}"], False),
        (["h/a:1", "h/a:2", f"h/a{DIGEST}"], False),
    ],
)
def test_one_tag_and_the_digests_of_its_repository_count_as_a_single_name(
    names: list[str], *, single: bool
) -> None:
    assert naming(*names).is_single() is single


def test_the_digests_of_a_repository_go_with_its_last_tag() -> None:
    names = naming("h/a:1", f"h/a{DIGEST}", "h/b:1", f"h/b@{TWO}")

    assert names.going_with(Reference("h/a:1")) == [f"h/a{DIGEST}"]


def test_the_digests_of_a_repository_stay_with_another_tag_of_it() -> None:
    names = naming("h/a:1", "h/a:2", f"h/a{DIGEST}")

    assert names.going_with(Reference("h/a:1")) == []


def test_nothing_goes_with_a_digest_or_with_a_name_of_another_repository() -> None:
    names = naming("h/a:1", f"h/a{DIGEST}")

    assert names.going_with(Reference(f"h/a{DIGEST}")) == []
    assert names.going_with(Reference("h/c:1")) == []


def test_a_manifest_is_without_a_name_when_all_of_its_names_go() -> None:
    names = naming("h/a:1", "h/a:2", "h/b:1=two")

    assert names.without([Reference("h/a:1")]) == []
    assert names.without([Reference("h/a:1"), Reference("h/a:2")]) == [ONE]
    assert names.without([Reference("h/b:1"), Reference("h/a:2")]) == [TWO]


def test_a_name_names_its_manifest() -> None:
    names = naming("h/a:1")

    assert names.has_named(ONE)
    assert not names.has_named(TWO)


def test_a_name_that_is_dropped_counts_no_more() -> None:
    names = naming("h/a:1", "h/a:2", f"h/a{DIGEST}", "h/b:1=two")
    for name in ("h/b:1", "h/a:2"):
        names.drop(Reference(name))

    assert list(names) == ["h/a:1", f"h/a{DIGEST}"]
    assert names.is_single()
    assert names.going_with(Reference("h/a:1")) == [f"h/a{DIGEST}"]
    assert not names.has_named(TWO)
    assert names.has_named(ONE)
    assert names.without([Reference("h/a:1"), Reference(f"h/a{DIGEST}")]) == [ONE]


def test_the_last_name_that_is_dropped_leaves_nothing() -> None:
    names = naming("h/a:1", f"h/a{DIGEST}")
    names.drop(Reference("h/a:1"))

    assert names.has_named(ONE)
    names.drop(Reference(f"h/a{DIGEST}"))
    assert (len(names), names.has_named(ONE)) == (0, False)


def test_dropping_a_name_that_is_not_there_does_nothing() -> None:
    names = naming("h/a:1")
    names.drop(Reference("h/a:2"))

    assert list(names) == ["h/a:1"]


LABELS = (("a", "12345"), ("b", "1"))


def test_all_labels_are_wanted_where_nothing_is_said() -> None:
    assert wanted_labels(iter(LABELS), None) == LABELS


def test_of_a_label_as_many_characters_are_wanted_as_there_is_room_for() -> None:
    assert wanted_labels(LABELS, {"a": 3, "c": 9}) == (("a", "123"),)
    assert wanted_labels(LABELS, {}) == ()
