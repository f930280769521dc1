"""Contents of files in the order of a walk, from layers that are read forward and once."""

from __future__ import annotations

import errno
import io
import random
import tempfile
from collections.abc import Generator, Iterable
from typing import IO

import pytest

from casstore.errors import Damaged, StorageError
from casstore.model.fileentry import FileEntry, sort_key
from casstore.progress import Progress
from casstore.transfer import onepass
from casstore.transfer.onepass import STREAMS, write_files
from tests.files.describing import directory, file, symlink

HEADER = 512


@pytest.fixture(autouse=True, params=["one walk", "two walks"])
def _walks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small image is walked through once, a large one twice: to the same end."""
    if request.param == "two walks":
        monkeypatch.setattr(onepass, "FEW_ENTRIES", 1)


class Tars:
    """Layers as tars without headers that say anything; counts what is read of them."""

    def __init__(self, piece: int = 1000) -> None:
        self._layers: list[bytearray] = []
        self._piece = piece
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.alone: list[bytes] = []
        self.open = 0
        self.most_open = 0

    def layer(self, contents: Iterable[tuple[bytes, bytes]]) -> list[tuple[int, FileEntry]]:
        """A new layer of files, in the order of its tar; rows for a walk."""
        data, rows, number = bytearray(), [], len(self._layers)
        for order, (name, content) in enumerate(contents, 1):
            data += bytes(HEADER)
            rows.append(
                (number, file(name, len(content), offset=len(data), order=order, inode=order))
            )
            data += content
        self._layers.append(data)
        return rows

    def cut(self, layer: int, size: int) -> None:
        del self._layers[layer][size:]

    def pieces(self, layer: int) -> Generator[bytes, None, None]:
        self.begun.append(layer)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            data = self._layers[layer]
            for at in range(0, len(data), self._piece):
                yield bytes(data[at : at + self._piece])
            self.ended.append(layer)
        finally:
            self.open -= 1

    def open_content(self, layer: int, entry: FileEntry) -> IO[bytes]:
        self.alone.append(entry.name)
        return io.BytesIO(self._layers[layer][entry.offset : entry.offset + entry.size])


class Seen:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.order: list[bytes] = []
        self.content: dict[bytes, bytes] = {}
        self.types: dict[bytes, list[type]] = {}  # of the pieces
        self.links: dict[bytes, bytes] = {}

    def add(self, entry: FileEntry, content: Iterable[bytes | memoryview] = ()) -> None:
        self.order.append(entry.name)
        pieces = list(content)
        assert all(pieces), "an empty piece"
        self.types[entry.name] = [type(piece) for piece in pieces]
        self.content[entry.name] = b"".join(bytes(piece) for piece in pieces)

    def link(self, entry: FileEntry, target: bytes) -> None:
        self.order.append(entry.name)
        self.links[entry.name] = target


class Scratch:
    """Files without names, counted, with the bytes in them."""

    def __init__(self) -> None:
        self.files: list[IO[bytes]] = []

    def __call__(self) -> IO[bytes]:
        self.files.append(tempfile.TemporaryFile())  # noqa: SIM115 - closed by who asked
        return self.files[-1]


def written(
    tars: Tars,
    rows: list[tuple[int, FileEntry]],
    scratch: Scratch | None = None,
    few: int = 0,
) -> Seen:
    rows = sorted(rows, key=lambda row: sort_key(row[1].name))
    sink = Seen()
    write_files(lambda: rows, tars, sink, scratch=scratch or Scratch(), few=few)
    return sink


def contents_of(count: int, seed: int = 0, most: int = 5000) -> list[tuple[bytes, bytes]]:
    """Files in no order of names, some of them empty."""
    dice = random.Random(seed)  # noqa: S311 - a fixed sample
    names = [b"%08x" % dice.getrandbits(32) for _ in range(count)]
    return [
        (name, dice.randbytes(dice.choice((0, 1, 511, dice.randrange(most))))) for name in names
    ]


def test_a_sorted_layer_is_read_once_and_nothing_is_put_aside() -> None:
    tars, scratch = Tars(), Scratch()
    contents = sorted(contents_of(200))

    sink = written(tars, tars.layer(contents), scratch)

    assert sink.content == dict(contents)
    assert (tars.begun, tars.ended, scratch.files) == ([0], [0], [])


@pytest.mark.parametrize("piece", [1, 512, 100_000])
@pytest.mark.parametrize("seed", range(3))
def test_a_layer_in_any_order_is_read_once(piece: int, seed: int) -> None:
    tars, scratch = Tars(piece), Scratch()
    contents = contents_of(50, seed)

    sink = written(tars, tars.layer(contents), scratch)

    assert sink.content == dict(contents)
    assert sink.order == sorted(sink.order)
    assert (tars.begun, tars.ended, len(scratch.files)) == ([0], [0], 1)


@pytest.mark.parametrize(("few", "walks"), [(3, 2), (4, 1)])
def test_only_what_memory_does_not_hold_is_walked_through_twice(
    monkeypatch: pytest.MonkeyPatch, few: int, walks: int
) -> None:
    monkeypatch.setattr(onepass, "FEW_ENTRIES", few)
    tars, sink, begun = Tars(), Seen(), 0
    rows = tars.layer([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])

    def walk() -> Iterable[tuple[int, FileEntry]]:
        nonlocal begun
        begun += 1
        return iter(rows)

    write_files(walk, tars, sink, scratch=Scratch())

    assert (begun, sink.content) == (walks, {b"a": b"1", b"b": b"2", b"c": b"3"})


def test_what_is_not_wanted_is_not_put_aside() -> None:
    tars = Tars()
    rows = tars.layer(
        [(b"c", b"c" * 3000), (b"hidden", b"h" * 1_000_000), (b"a", b"a"), (b"b", b"b")]
    )
    kept = bytearray()

    class Looking(Seen):
        def add(self, entry: FileEntry, content: Iterable[bytes | memoryview] = ()) -> None:
            if entry.name == b"c":
                scratch.files[0].seek(0)
                kept.extend(scratch.files[0].read())
            super().add(entry, content)

    sink, scratch = Looking(), Scratch()
    wanted = sorted((row for row in rows if row[1].name != b"hidden"), key=lambda row: row[1].name)

    write_files(lambda: wanted, tars, sink, scratch=scratch)

    assert sink.content == {b"a": b"a", b"b": b"b", b"c": b"c" * 3000}
    assert kept.count(b"c") == 3000 and kept.count(b"h") == 0


def test_many_layers_are_read_side_by_side_but_not_all_at_a_time() -> None:
    tars = Tars()
    rows = []
    expected: dict[bytes, bytes] = {}
    for number in range(STREAMS + 5):
        contents = sorted(contents_of(20, number, most=200 * (number + 1)))
        expected.update(contents)
        rows += tars.layer(contents)

    sink = written(tars, rows)

    assert sink.content == expected
    assert sorted(tars.ended) == list(range(STREAMS + 5))
    assert tars.most_open <= STREAMS + 1
    assert tars.open == 0


def test_the_largest_layers_are_read_side_by_side_and_a_small_one_at_once() -> None:
    tars, rows = Tars(), []
    for number, size in enumerate((10, 5000, 5001, 5002)):
        rows += tars.layer([(b"a%d" % number, b"x" * size), (b"b%d" % number, b"y" * size)])

    written(tars, rows)

    assert tars.ended[0] == 0
    assert tars.begun == [0, 1, 2, 3]


def test_directories_and_links_come_where_the_walk_has_them() -> None:
    tars = Tars()
    a, b, c = tars.layer([(b"a", b"1"), (b"d/b", b"2"), (b"e", b"3")])
    again = (0, a[1]._replace(name=b"d/a", shared=True))
    first = (0, a[1]._replace(shared=True))
    rows = [
        (0, directory(b"")),
        first,
        (0, directory(b"d")),
        again,
        b,
        (0, symlink(b"d/c", b"x", inode=9)),
        c,
    ]
    sink = Seen()

    write_files(lambda: rows, tars, sink, scratch=Scratch())

    assert sink.order == [b"", b"a", b"d", b"d/a", b"d/b", b"d/c", b"e"]
    assert sink.content == {b"": b"", b"a": b"1", b"d": b"", b"d/b": b"2", b"d/c": b"", b"e": b"3"}
    assert sink.links == {b"d/a": b"a"}


def test_a_single_file_is_not_few_unless_that_is_said() -> None:
    tars = Tars()
    rows = tars.layer([(b"a", b"1")])

    write_files(lambda: rows, tars, Seen(), scratch=Scratch())

    assert (tars.begun, tars.alone) == ([0], [])


def test_large_contents_are_views_and_small_ones_or_whole_pieces_are_bytes() -> None:
    tars = Tars(piece=100_000)
    sizes = {b"a": (1 << 14) - 1, b"b": 1 << 14, b"c": 20_000, b"d": 300_000}
    contents = [(name, random.Random(size).randbytes(size)) for name, size in sizes.items()]  # noqa: S311 - a fixed sample

    sink = written(tars, tars.layer(contents))

    assert sink.content == dict(contents)
    assert [sink.types[name] for name in (b"a", b"b", b"c")] == [
        [bytes],
        [memoryview],
        [memoryview],
    ]
    assert sink.types[b"d"][1:3] == [bytes, bytes]


def test_what_is_put_aside_may_be_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onepass, "_READ", 1000)
    tars = Tars()
    contents = [(b"b", random.Random(1).randbytes(5500)), (b"a", b"a")]  # noqa: S311 - a fixed sample

    assert written(tars, tars.layer(contents)).content == dict(contents)


@pytest.mark.parametrize("run", [1, 3, 50])
def test_the_order_of_a_tar_may_be_found_in_parts(
    monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    monkeypatch.setattr(onepass, "_RUN", run)
    tars, contents = Tars(), contents_of(50, 9)

    assert written(tars, tars.layer(contents)).content == dict(contents)


def test_what_was_put_aside_and_is_gone_is_told() -> None:
    class Losing(Seen):
        def add(self, entry: FileEntry, content: Iterable[bytes | memoryview] = ()) -> None:
            if scratch.files:
                scratch.files[0].truncate(0)
            super().add(entry, content)

    tars, scratch = Tars(), Scratch()
    rows = tars.layer([(b"c", b"c" * 3000), (b"a", b"a")])[::-1]

    with pytest.raises(Damaged, match="ends before"):
        write_files(lambda: rows, tars, Losing(), scratch=scratch)


def test_a_file_that_cannot_be_read_by_itself_is_one_line() -> None:
    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "no")

    class Unreadable(Tars):
        def open_content(self, _layer: int, _entry: FileEntry) -> IO[bytes]:
            return Broken()

    tars = Unreadable()
    rows = tars.layer([(b"a", b"a")])

    with pytest.raises(StorageError, match="cannot read layer 1: "):
        written(tars, rows, few=1)


def test_a_layer_of_which_nothing_is_wanted_is_not_read() -> None:
    tars = Tars()
    tars.layer([(b"hidden", b"h")])
    rows = tars.layer([(b"a", b"a"), (b"empty", b"")])

    written(tars, [*rows, (0, directory(b"d")), (0, symlink(b"l", b"a"))])

    assert tars.begun == [1]


def test_the_rest_of_a_layer_is_read_for_its_end_verifies_it() -> None:
    tars = Tars(piece=10)
    rows = tars.layer([(b"a", b"a"), (b"hidden", b"h" * 1000)])

    written(tars, rows[:1])

    assert tars.ended == [0]


def test_a_layer_that_ends_early_is_damaged() -> None:
    tars = Tars()
    rows = tars.layer([(b"a", b"a" * 5000)])
    tars.cut(0, 3000)

    with pytest.raises(Damaged, match="ends before a file in it does"):
        written(tars, rows)
    assert tars.open == 0


def test_of_several_names_of_a_file_the_first_is_the_file() -> None:
    tars = Tars()
    ((layer, entry),) = tars.layer([(b"m", b"content")])
    rows = [(layer, entry._replace(name=name, shared=True)) for name in (b"z", b"m", b"b")]

    sink = written(tars, rows)

    assert sink.order == [b"b", b"m", b"z"]
    assert sink.content == {b"b": b"content"}
    assert sink.links == {b"m": b"b", b"z": b"b"}


def test_a_name_that_only_a_higher_layer_s_link_shares_is_the_same_file() -> None:
    tars = Tars()
    ((layer, entry),) = tars.layer([(b"m", b"content")])

    sink = written(tars, [(layer, entry), (layer, entry._replace(name=b"z", shared=True))])

    assert sink.links == {b"z": b"m"}


def test_links_of_what_has_no_content_are_links_too() -> None:
    link = symlink(b"a", b"x", shared=True, inode=7)

    sink = written(Tars(), [(0, link), (0, link._replace(name=b"b")), (0, file(b"c", inode=8))])

    assert sink.links == {b"b": b"a"}


def test_of_a_sparse_file_the_pieces_come() -> None:
    tars = Tars()
    ((layer, entry),) = tars.layer([(b"s", b"abcdefg")])
    sparse = entry._replace(size=1 << 40, extents=((0, 3), (1 << 30, 4)))

    assert written(tars, [(layer, sparse)]).content == {b"s": b"abcdefg"}


def test_a_few_files_are_read_by_themselves() -> None:
    tars = Tars()
    few = tars.layer([(b"a", b"a" * 5000), (b"b", b"b")])
    many = tars.layer([(b"%d" % number, b"x") for number in range(3)])

    sink = written(tars, [*few, *many], few=2)

    assert sink.content[b"a"] == b"a" * 5000
    assert (tars.alone, tars.begun) == ([b"a", b"b"], [1])


def test_of_a_sparse_file_that_is_read_by_itself_the_holes_are_not_read() -> None:
    tars = Tars()
    content = bytes(1000) + b"abc" + bytes(1000) + b"defg"
    ((layer, entry),) = tars.layer([(b"s", content)])
    sparse = entry._replace(extents=((1000, 3), (2003, 4)))

    assert written(tars, [(layer, sparse)], few=1).content == {b"s": b"abcdefg"}


def test_a_file_that_is_read_by_itself_has_its_size() -> None:
    tars = Tars()
    rows = tars.layer([(b"a", b"a" * 5000)])
    tars.cut(0, 4000)

    with pytest.raises(Damaged):
        written(tars, rows, few=1)


def test_what_comes_after_another_name_of_a_file_is_put_aside_too() -> None:
    tars = Tars()
    c, b, a = tars.layer([(b"c", b"3" * 3000), (b"b", b"2" * 3000), (b"a", b"1")])
    first, again = (0, a[1]._replace(shared=True)), (0, a[1]._replace(name=b"aa", shared=True))

    sink = written(tars, [first, again, b, c])

    assert sink.content == {b"a": b"1", b"b": b"2" * 3000, b"c": b"3" * 3000}
    assert sink.links == {b"aa": b"a"}


def test_progress_counts_the_bytes_of_the_files() -> None:
    tars = Tars()
    rows = tars.layer([(b"a", b"a" * 5000), (b"b", b"b")])
    rows = [(0, rows[0][1]._replace(shared=True)), *rows[1:]]
    rows.append((0, rows[0][1]._replace(name=b"c")))  # another name of a file
    task = Progress().task("Exporting")

    write_files(lambda: rows, tars, Seen(), scratch=Scratch(), task=task)

    assert (task.done, task.total) == (5001, 5001)


def test_a_sink_that_fails_closes_the_layers() -> None:
    tars, scratch = Tars(), Scratch()
    rows = sorted(tars.layer(contents_of(50)), key=lambda row: row[1].name)

    class Full(Seen):
        def add(self, entry: FileEntry, content: Iterable[bytes | memoryview] = ()) -> None:
            super().add(entry, content)
            if len(self.order) == 20:
                raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        write_files(lambda: rows, tars, Full(), scratch=scratch)
    assert tars.open == 0
    assert all(file.closed for file in scratch.files)


def test_layers_are_closed_whoever_still_has_them() -> None:
    class Held(Tars):
        def pieces(self, layer: int) -> Generator[bytes, None, None]:
            made.append(super().pieces(layer))
            return made[-1]

    class Full(Seen):
        def add(self, entry: FileEntry, content: Iterable[bytes | memoryview] = ()) -> None:
            super().add(entry, content)
            raise OSError(28, "full")

    tars, made = Held(), list[Generator[bytes, None, None]]()
    rows = tars.layer([(b"a", b"a" * 5000)])

    with pytest.raises(OSError, match="full"):
        write_files(lambda: rows, tars, Full(), scratch=Scratch())
    assert tars.open == 0
