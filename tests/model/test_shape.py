from __future__ import annotations

import pytest

from casstore.errors import Refused
from casstore.model.shape import Each, Keys, marks, strings

SHAPE = Keys({"inner": Keys({}, "diff_ids"), "list": Each(Keys({}, "name"))}, "RootFS")


@pytest.mark.parametrize("key", ["RootFS", "rootfs", "rootfS", "ROOTFS", "rootf\u017f"])
def test_a_known_key_counts_in_any_case(key: str) -> None:
    assert SHAPE({key: 1}, "x") == {"RootFS": 1}


def test_keys_of_objects_and_lists_within_count_in_any_case_too() -> None:
    value = {"INNER": {"Diff_IDs": [1]}, "List": [{"Name": "a"}, {"name": "b"}]}

    assert SHAPE(value, "x") == {"inner": {"diff_ids": [1]}, "list": [{"name": "a"}, {"name": "b"}]}


def test_the_right_spelling_counts_before_any_other() -> None:
    assert SHAPE({"rootfs": 1, "RootFS": 2}, "x")["RootFS"] == 2
    assert SHAPE({"RootFS": 2, "rootfs": 1, "ROOTFS": 3}, "x")["RootFS"] == 2


def test_null_in_one_spelling_leaves_the_word_to_the_other() -> None:
    assert SHAPE({"rootfs": 1, "RootFS": None}, "x") == {"RootFS": 1}
    assert SHAPE({"rootfs": 1, "ROOTFS": None}, "x")["RootFS"] == 1


def test_two_wrong_spellings_are_refused() -> None:
    with pytest.raises(Refused, match='x has "RootFS" in two spellings: "rootfs" and "ROOTFS"'):
        SHAPE({"rootfs": 1, "ROOTFS": 1}, "x")


def test_unknown_keys_stay_as_they_are() -> None:
    assert SHAPE({"Other": {"rootfs": 1}, "rootfs": 2}, "x") == {
        "Other": {"rootfs": 1},
        "RootFS": 2,
    }


def test_null_in_a_list_or_a_map_is_the_zero_value() -> None:
    assert strings(["a", None], "x") == ["a", ""]
    assert strings({"a": None, "b": "1"}, "x") == {"a": "", "b": "1"}
    assert marks({"80/tcp": None}, "x") == {"80/tcp": {}}
    assert SHAPE({"list": [None]}, "x") == {"list": [{}]}


@pytest.mark.parametrize("value", [None, 7, "x", [], {"inner": 7, "list": "x"}, {"list": None}])
def test_a_value_of_another_type_is_left_to_who_asks_for_it(value: object) -> None:
    assert SHAPE(value, "x") == value


@pytest.mark.parametrize("value", [None, 7, "x", [], {}])
def test_what_is_no_list_and_no_map_of_strings_is_left_too(value: object) -> None:
    assert strings(value, "x") == value
    assert marks(value, "x") == value


def test_a_shape_is_made_of_what_stands_at_its_keys() -> None:
    shape = Keys({"list": Each(strings)}, "plain")

    assert shape({"LIST": [["a", None]], "Plain": None, "other": 1}, "x") == {
        "list": [["a", ""]], "Plain": None, "other": 1,
    }  # fmt: skip


def test_a_shape_may_have_nothing_but_plain_keys() -> None:
    assert Keys(None, "plain")({"PLAIN": 1}, "x") == {"plain": 1}


def test_what_is_in_shape_stays_the_same() -> None:
    value = {"RootFS": 1, "inner": {"diff_ids": []}, "list": [], "more": None}

    assert SHAPE(value, "x") == value
