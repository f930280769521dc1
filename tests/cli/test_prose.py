from __future__ import annotations

import pytest

from casstore.cli.prose import filled, listed


@pytest.mark.parametrize(
    ("items", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_a_list_reads_like_a_sentence(items: list[str], text: str) -> None:
    assert listed(items, "or") == text


def test_a_paragraph_is_cut_between_words_at_the_last_place_that_fits() -> None:
    assert filled("aaa bbb ccc\ndd", 7) == "aaa bbb\nccc dd"


def test_a_word_that_is_longer_than_the_line_stays_whole() -> None:
    assert filled("a bbbbbbb c", 5) == "a\nbbbbbbb\nc"
    assert filled("bbbbbbb", 5) == "bbbbbbb"
