"""What follows from the columns of a table, by the names of a record's fields."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from casstore.backends.local import tables
from casstore.backends.local.imagerows import decode_labels, encode_labels
from casstore.backends.local.statements import fields, places, read
from casstore.backends.local.tables import (
    KEPT,
    TABLES,
    Rows,
    columns,
    copy,
    unless_there,
)


class Lease(NamedTuple):
    """A record with two fields of a table, in another order, and one that is none of its."""

    image: int
    holder: str
    name: str


@pytest.mark.parametrize(("table", "kept"), KEPT.items())
def test_the_trash_has_all_columns_of_what_it_keeps(table: str, kept: str) -> None:
    assert set(columns(table)) <= set(columns(kept))


def test_the_number_of_a_row_is_no_column() -> None:
    assert columns("trash") == ("removed", "expires")


def test_a_query_selects_the_fields_of_its_record_in_their_order() -> None:
    assert fields(Lease, "lease", holder="'me'") == "lease.image, 'me', lease.name"
    assert places(Lease, "name", "image") == (2, 0)


def test_a_record_is_read_with_some_of_its_fields_decoded() -> None:
    assert read(Lease, (1, "me", b"night"), name=bytes.decode) == Lease(1, "me", "night")
    for row in ((1, "me"), (1, "me", b"night", 4)):
        with pytest.raises(ValueError, match="zip"):
            read(Lease, row)


def test_a_record_is_written_with_what_is_given_and_what_the_table_has_of_it() -> None:
    rows = Rows("lease", Lease, "expires", "image", image="(SELECT ?)")

    assert rows.statement == "INSERT INTO lease (expires, image, name) VALUES (?, (SELECT ?), ?)"
    assert rows.row(Lease(1, "me", "night"), 9, 7) == (9, 7, "night")
    alone = Rows("lease", Lease)
    assert alone.statement == "INSERT INTO lease (name, image) VALUES (?, ?)"
    assert alone.row(Lease(1, "me", "night")) == ("night", 1)


def test_a_copy_has_all_columns_of_its_table() -> None:
    assert copy("trash_holding", "holding", image="?") == (
        "INSERT INTO trash_holding (image, manifest, media_type)"
        " SELECT ?, holding.manifest, holding.media_type"
    )


def test_a_row_that_is_there_can_be_let_stay() -> None:
    assert (
        unless_there("INSERT INTO a SELECT 'INSERT'") == "INSERT OR IGNORE INTO a SELECT 'INSERT'"
    )


def test_what_the_trash_keeps_is_declared_otherwise_where_that_is_said() -> None:
    image, kept = TABLES["image"], TABLES["trash_image"]

    assert kept["digest"] == "BLOB NOT NULL"
    assert kept["created"] == image["created"]
    assert "id" not in tables._kept(image)


@pytest.mark.parametrize(
    ("labels", "column"),
    [
        ((), None),
        ((("a", "1"), ("b", "")), "a\0001\0b\0"),
        ((("a", "1\0002"),), b'["a", "1\\u00002"]'),
    ],
)
def test_labels_are_one_text_and_json_only_where_a_nul_is_in_one(
    labels: tuple[tuple[str, str], ...], column: str | bytes | None
) -> None:
    assert encode_labels(labels) == column
    assert decode_labels(column) == labels
