"""A table of contents gives back what was put into it, or says that it is unusable."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import StorageError
from casstore.model.digest import sha256
from casstore.model.fileentry import DIRECTORY, HARD_LINK, OPAQUE, SYMLINK, WHITEOUT, FileEntry
from casstore.transfer import contentstable
from casstore.transfer.contentstable import ContentsTable, Unusable, write_table
from tests.transfer.layerentries import NAMES, a_file, entries, in_order

LAYER = sha256(b"a layer")
MANY = [a_file(b"f%05d" % number, order=number + 1, inode=number + 1) for number in range(5000)]


def written(some: Sequence[FileEntry]) -> bytes:
    out = io.BytesIO()
    write_table(out, LAYER, some)
    return out.getvalue()


def opened(table: bytes, *, hashes: bool = False) -> ContentsTable:
    return ContentsTable(io.BytesIO(table), LAYER, hashes=hashes)


class CountedFile(io.BytesIO):
    """A file that notes how much was read of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.reads.append(len(data))
        return data


@settings(deadline=None)
@given(st.lists(entries(), max_size=30).map(in_order), st.sampled_from([1, 3, 1024]))
def test_what_is_written_is_read(some: list[FileEntry], together: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contentstable, "MAX_ENTRIES", together)
        table = written(some)

    with opened(table, hashes=True) as contents:
        assert list(contents.entries()) == some
        assert contents.count == len(some)
    with opened(table) as contents:
        assert list(contents.entries()) == [entry._replace(sha256=b"") for entry in some]


@settings(deadline=None)
@given(st.lists(entries(), max_size=30).map(in_order), NAMES, st.sampled_from([1, 3, 1024]))
def test_reading_may_begin_at_any_name(some: list[FileEntry], name: bytes, together: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contentstable, "MAX_ENTRIES", together)
        table = written(some)
    later = [entry for entry in some if entry.name.split(b"/") >= name.split(b"/")]

    with opened(table, hashes=True) as contents:
        assert list(contents.entries(name)) == (later if name else some)
        for one in {name, *(entry.name for entry in some)}:
            assert list(contents.at(one)) == [entry for entry in some if entry.name == one]


def test_an_empty_table_has_nothing_in_it() -> None:
    with opened(written([])) as contents:
        assert (list(contents.entries()), list(contents.at(b"x")), contents.count) == ([], [], 0)
        assert list(contents.hard_links) == []


def test_a_directory_comes_right_before_what_is_below_it() -> None:
    names = [b"a", b"a/b", b"a/b/c", b"a-b", b"a.b"]
    some = [FileEntry(name, DIRECTORY, 0o755, 0, 0, 0, 0) for name in names]

    with opened(written(some)) as contents:
        assert [entry.name for entry in contents.entries(b"a/b/b")] == [b"a/b/c", b"a-b", b"a.b"]


def test_the_hard_links_to_lower_layers_are_found_among_many_entries() -> None:
    link = FileEntry(b"f02000x", HARD_LINK, 0o644, 0, 0, 0, 0, b"below", order=9000, inode=9000)

    with opened(written(in_order([*MANY, link]))) as contents:
        assert list(contents.hard_links) == [link]


def test_what_has_one_name_is_in_one_block() -> None:
    same = [
        FileEntry(b"f01023", WHITEOUT, 0, 0, 0, 0, 0),
        FileEntry(b"f01023", OPAQUE, 0, 0, 0, 0, 0),
    ]

    with opened(written(in_order([*MANY, *same]))) as contents:
        assert list(contents.at(b"f01023")) == [*same, MANY[1023]._replace(sha256=b"")]


def test_one_name_is_found_by_reading_two_blocks_and_the_trailer() -> None:
    file = CountedFile(written(MANY))

    with ContentsTable(file, LAYER) as contents:
        assert len(contents.at(b"f04000")) == 1

    trailer, head, index, block = file.reads
    assert max(trailer, head, index) < 300
    assert block < len(file.reads) * 20_000


def test_who_does_not_want_hashes_does_not_read_them() -> None:
    some = [a_file(b"f%05d" % number, b"%d" % number) for number in range(1000)]
    table = written(some)
    without, with_hashes = CountedFile(table), CountedFile(table)

    for file, wanted in ((without, False), (with_hashes, True)):
        with ContentsTable(file, LAYER, hashes=wanted) as contents:
            assert sum(1 for _ in contents.entries()) == 1000

    assert sum(with_hashes.reads) - sum(without.reads) == 32 * 1000


def test_long_names_make_a_block_full_before_many_entries_do() -> None:
    some = [FileEntry(b"%05d" % n + b"x" * 4000, SYMLINK, 0, 0, 0, 0, 0) for n in range(200)]

    table = opened(written(some))

    assert max(row.entries for row in table._rows) <= contentstable.MAX_WEIGHT // 4000 + 1
    assert len(list(table.entries())) == 200


def test_a_table_of_another_layer_is_unusable() -> None:
    with pytest.raises(Unusable):
        ContentsTable(io.BytesIO(written(MANY)), sha256(b"another layer"))


def test_what_is_wrong_with_a_table_is_told_in_one_line() -> None:
    text = f"^cannot read the table of contents of layer {LAYER}: [^\n]+$"

    with pytest.raises(StorageError, match=text):
        opened(b"torn")


def test_a_table_of_another_version_is_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    table = written(MANY)
    monkeypatch.setattr(contentstable, "VERSION", contentstable.VERSION + 1)

    with pytest.raises(Unusable):
        opened(table)


SMALL = [
    a_file(b"a", b"content", offset=512),
    FileEntry(b"d", OPAQUE, 0, 0, 0, 0, 0, order=3, inode=3),
    FileEntry(b"d/l", SYMLINK, 0o777, 0, 0, 7, 0, b"target", order=4, inode=4),
]


def read_all(table: bytes) -> list[FileEntry] | None:
    """What a table gives; None where it is unusable."""
    try:
        with opened(table, hashes=True) as contents:
            contents.verify()
            return list(contents.entries())
    except Unusable:
        return None


def test_every_truncation_is_noticed() -> None:
    table = written(SMALL)
    assert read_all(table) == SMALL

    assert [size for size in range(len(table)) if read_all(table[:size]) is not None] == []


def test_something_behind_the_end_is_noticed() -> None:
    assert read_all(written(SMALL) + b"\0") is None


def test_every_bit_that_flips_is_noticed() -> None:
    table = written(SMALL)

    unnoticed = []
    for at in range(8 * len(table)):
        broken = bytearray(table)
        broken[at // 8] ^= 1 << at % 8
        if read_all(bytes(broken)) is not None:
            unnoticed.append(at)

    assert unnoticed == []


@pytest.mark.parametrize("hashes", [False, True])
def test_zeros_in_the_place_of_a_page_are_noticed(*, hashes: bool) -> None:
    table = written(MANY)
    for start in range(0, len(table), 4096):
        end = min(start + 4096, len(table))
        broken = table[:start] + bytes(end - start) + table[end:]

        try:
            with opened(broken, hashes=hashes) as contents:
                assert list(contents.entries()) == list(opened(table, hashes=hashes).entries())
        except Unusable:
            pass


@pytest.mark.parametrize("name", [b"..", b"../x", b"a/../b", b"a/..", b"/etc"])
def test_a_name_that_leads_out_is_not_believed(name: bytes) -> None:
    table = written([a_file(name)])

    assert read_all(table) is None


def test_a_block_that_turns_out_damaged_is_made_again_in_the_middle_of_a_walk() -> None:
    table = written(MANY)
    rows = opened(table)._rows
    broken = bytearray(table)
    broken[rows[2].offset + 5] ^= 1
    made: list[IO[bytes]] = []

    def again() -> IO[bytes]:
        made.append(io.BytesIO(table))
        return made[-1]

    with ContentsTable(io.BytesIO(broken), LAYER, hashes=True, again=again) as contents:
        assert list(contents.entries()) == MANY

    assert len(made) == 1


def test_a_block_that_is_damaged_in_what_was_made_again_is_an_error_of_the_store() -> None:
    broken = bytearray(written(MANY))
    broken[opened(written(MANY))._rows[2].offset + 5] ^= 1

    with (
        ContentsTable(io.BytesIO(broken), LAYER, again=lambda: io.BytesIO(broken)) as contents,
        pytest.raises(StorageError, match=LAYER),
    ):
        list(contents.entries())


def test_what_is_attached_can_be_read_in_parts() -> None:
    def attachment() -> Iterator[bytes]:
        yield b"restart "
        yield b"points"

    out = io.BytesIO()
    write_table(out, LAYER, SMALL, attachment)

    with opened(out.getvalue(), hashes=True) as contents:
        assert contents.attachment_size == 14
        assert contents.attachment(8, 3) == b"poi"
        assert contents.attachment(8, 100) == b"points"
        assert list(contents.entries()) == SMALL
