"""index.json: a splice and a whole write give the same bytes."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casstore.backends.local import published as layoutfile
from casstore.backends.local.published import NOTED, LayoutFile
from casstore.backends.local.publishedlines import is_current, lines_of
from casstore.errors import StorageError
from casstore.files import durable
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.keys import INDEX_GENERATION
from casstore.model.published import Published
from casstore.model.reference import parse_name

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def row(number: int, *, name: bool, parent: Digest | None = None) -> Published:
    reference = parse_name(f"app:{number}").reference if name else None
    return Published(reference, Descriptor(MANIFEST, sha256(b"%d" % number), number), parent)


def new_file(folder: Path) -> LayoutFile:
    return LayoutFile(str(folder), str(folder / "staging"))


@pytest.fixture(params=[200, 256 << 10], ids=["windows of a line", "one window"])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How much a search reads at a time; a line may lie across the border of two."""
    size: int = request.param
    monkeypatch.setattr(layoutfile, "_WINDOW", size)
    return size


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["keep", "change", "cut"])), max_size=40),
       st.integers(0, 20), st.floats(0, 1))  # fmt: skip
def test_a_splice_gives_the_bytes_of_a_whole_write(
    window: int, fates: list[tuple[bool, str]], added_count: int, place: float
) -> None:
    rows = [row(number, name=name) for number, (name, _) in enumerate(fates)]
    edits: list[tuple[Published, Published | None]] = []
    after: list[Published] = []
    for old, (_, fate) in zip(rows, fates, strict=True):
        new = old._replace(parent=sha256(b"parent")) if fate == "change" else None
        if fate != "keep":
            edits.append((old._replace(place=place), new))
        if fate != "cut":
            after.append(new or old)
    added = [row(100 + number, name=True) for number in range(added_count)]
    with tempfile.TemporaryDirectory() as folder:
        file = new_file(Path(folder))
        file.write(rows, 1)
        assert file.splice(edits, added, 2)
        spliced = Path(file.path).read_bytes()
        file.write(after + added, 2)

        assert spliced == Path(file.path).read_bytes()
        assert len(json.loads(spliced)["manifests"]) == len(after) + len(added)


def test_a_splice_of_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    file.write([row(1, name=True)], 1)
    before = Path(file.path).read_bytes()

    assert not file.splice([(row(2, name=True), None)], (), 2)
    assert Path(file.path).read_bytes() == before


def test_a_splice_holds_only_a_piece_of_the_file_in_memory(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    file.write((row(number, name=True) for number in range(20_000)), 1)
    size = Path(file.path).stat().st_size
    tracemalloc.start()
    try:
        assert file.splice([(row(number, name=True), None) for number in (1, 9_999)], (), 2)
        assert file.splice([(row(number, name=True), None) for number in range(100, 150)], (), 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size > 5_000_000
    assert peak < 3_000_000


def test_the_generation_is_that_of_the_last_write(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    file.write([row(1, name=True)], 7)

    assert file.generation() == 7
    assert int(json.loads(Path(file.path).read_bytes())["annotations"][INDEX_GENERATION]) == 7


def test_a_file_that_another_tool_wrote_has_no_generation(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    file.write([row(1, name=True)], 7)
    Path(file.path).write_text(json.dumps(json.loads(Path(file.path).read_text())))

    assert file.generation() is None


def test_a_missing_file_has_no_generation(tmp_path: Path) -> None:
    assert new_file(tmp_path).generation() is None


def test_edits_may_come_in_any_order(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    rows = [row(number, name=True) for number in range(4)]
    file.write(rows, 1)

    assert file.splice([(rows[2], row(7, name=True)), (rows[0], None)], (), 2)
    assert named_in(file) == [1, 7, 3]


def named_in(file: LayoutFile) -> list[int]:
    return [one["size"] for one in json.loads(Path(file.path).read_bytes())["manifests"]]


def written(folder: Path, rows: int = 1, generation: int = 7) -> tuple[LayoutFile, bytes]:
    """A file of our form with so many records, and its bytes."""
    file = new_file(folder)
    file.write([row(number, name=True) for number in range(rows)], generation)
    return file, Path(file.path).read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"schema', b'{"SCHEMA'),
        (b'"annotations":{"io', b'"Annotations":{"io'),
        (b'07"}}\n', b'0x"}}\n'),
        (b'07"}}\n', b'07"}} '),
        (b'07"}}\n', b'07"}}\n\n'),
    ],
)
@pytest.mark.parametrize("rows", [0, 1])
def test_a_file_that_is_nearly_of_our_form_has_no_generation(
    tmp_path: Path, rows: int, old: bytes, new: bytes
) -> None:
    file, content = written(tmp_path, rows)
    assert content.count(old) == 1
    Path(file.path).write_bytes(content.replace(old, new))

    assert file.generation() is None
    assert file.is_foreign()


def test_a_list_of_nothing_has_a_generation_and_one_without_its_two_lines_has_none(
    tmp_path: Path,
) -> None:
    file, content = written(tmp_path, 0)
    assert file.generation() == 7
    Path(file.path).write_bytes(content.replace(b"[\n\n]", b"[\n]"))

    assert file.generation() is None


def test_a_missing_file_is_not_another_tool_s(tmp_path: Path) -> None:
    file = new_file(tmp_path)

    assert not file.is_foreign()
    assert not file.is_withdrawn()
    assert file.problem() is None


def test_a_file_that_cannot_be_read_has_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = written(tmp_path)
    assert file.problem() is None

    def broken(_: int, count: int, at: int) -> bytes:
        if count and at == 0:
            raise OSError(errno.EIO, "Input/output error")
        return b""

    monkeypatch.setattr(os, "pread", broken)
    problem = file.problem()
    assert problem is not None
    assert problem.errno == errno.EIO


def test_a_link_in_the_place_of_index_json_is_a_problem_and_not_read(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    os.rename(file.path, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", file.path)

    problem = file.problem()
    assert problem is not None
    assert problem.errno == errno.ELOOP
    assert file.generation() is None
    assert lines_of(file.path) is None


def test_nobody_waits_for_a_fifo_in_the_place_of_a_file(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    os.mkfifo(file.path)
    os.mkfifo(tmp_path / NOTED)
    file.note(7)

    assert lines_of(file.path) is None
    assert (file.generation(), file.noted()) == (None, None)


def test_looking_leaves_no_file_open(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    file.note(7)
    os.link(tmp_path / NOTED, tmp_path / "copy")
    before = len(os.listdir("/proc/self/fd"))
    file.note(8)
    file.note(9)

    assert (file.generation(), file.noted(), file.problem()) == (7, 9, None)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_withdrawn_file_says_exactly_that(tmp_path: Path) -> None:
    file, _ = written(tmp_path)
    file.withdraw()
    assert file.is_withdrawn()
    with open(file.path, "ab") as more:
        more.write(b"\n")

    assert not file.is_withdrawn()
    assert file.is_foreign()


def test_what_is_withdrawn_is_kept_as_it_is(tmp_path: Path) -> None:
    file, content = written(tmp_path)
    number = os.stat(file.path).st_ino
    file.withdraw()

    assert Path(file.last).read_bytes() == content
    assert os.stat(file.last).st_ino == number  # without a copy


def test_where_nothing_is_published_nothing_is_kept_when_it_is_withdrawn(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    file.withdraw()

    assert file.is_withdrawn()
    assert not os.path.exists(file.last)


def test_where_no_link_can_be_made_a_copy_is_kept_and_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, content = written(tmp_path)
    flushed = flushes(monkeypatch)
    monkeypatch.setattr(durable, "share", lambda *_: False)
    file.withdraw()

    assert Path(file.last).read_bytes() == content
    assert file.last in flushed


def flushes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of what is flushed from here on."""
    found: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return found


def test_a_new_version_is_flushed_and_its_name_only_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = flushes(monkeypatch)
    file, _ = written(tmp_path)
    assert file.splice([(row(0, name=True), None)], (), 2)
    assert flushed == [str(tmp_path / "staging")] * 2
    flushed.clear()
    file.flush()

    assert flushed == [str(tmp_path)]


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        (b"00000000000000000012\n", 12), (b"00000000000000000012", 12), (b"12\n", None),
        (b"000000000000000000012\n", None), (b"0000000000000000001x\n", None), (b"", None),
    ],
)  # fmt: skip
def test_a_noted_generation_has_twenty_digits(
    tmp_path: Path, text: bytes, generation: int | None
) -> None:
    (tmp_path / NOTED).write_bytes(text)

    assert new_file(tmp_path).noted() == generation


def test_a_generation_is_noted_in_place(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    file.note(1)
    number = (tmp_path / NOTED).stat().st_ino
    file.note(2)

    assert file.noted() == 2
    assert (tmp_path / NOTED).stat().st_ino == number


def test_what_is_noted_in_a_copy_by_hard_links_is_not_noted_in_the_other(tmp_path: Path) -> None:
    file = new_file(tmp_path)
    file.note(1)
    os.link(tmp_path / NOTED, tmp_path / "copy")
    file.note(2)

    assert file.noted() == 2
    assert (tmp_path / "copy").read_bytes() == b"%020d\n" % 1


def test_no_generation_is_noted_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / NOTED).symlink_to(tmp_path / "victim")
    new_file(tmp_path).note(7)

    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_group_that_may_write_the_store_may_note_a_generation(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    new_file(tmp_path).note(7)

    assert (tmp_path / NOTED).stat().st_mode & 0o020


def test_the_records_come_one_by_one(tmp_path: Path) -> None:
    file, _ = written(tmp_path, 3)
    lines = lines_of(file.path)

    assert lines is not None
    assert [json.loads(line)["size"] for line in lines] == [0, 1, 2]


@pytest.mark.parametrize("line", [b'"a":1}', b'{"a":1', b'{"a":1}}},x', b""])
def test_what_has_a_line_that_is_no_record_has_another_form(tmp_path: Path, line: bytes) -> None:
    file, content = written(tmp_path, 2)
    head, one, *rest = content.split(b"\n")
    Path(file.path).write_bytes(b"\n".join((head, one, line + b",", *rest)))

    assert lines_of(file.path) is None


def test_a_file_is_current_if_it_lists_the_same_of_the_same_generation(tmp_path: Path) -> None:
    rows = [row(number, name=True) for number in range(3)]
    file, _ = written(tmp_path, 3)

    assert is_current(file, rows, 7)
    assert is_current(file, rows[::-1], 7)
    assert not is_current(file, rows, 8)
    assert not is_current(file, rows[1:], 7)
    assert not is_current(file, [*rows[1:], row(4, name=True)], 7)
    assert not is_current(file, [*rows, rows[0]], 7)


def test_a_file_that_lists_nothing_is_current_if_there_is_nothing(tmp_path: Path) -> None:
    file, content = written(tmp_path, 0)

    assert is_current(file, [], 7)
    assert not is_current(file, [], 8)
    assert not is_current(file, [row(1, name=True)], 7)
    Path(file.path).write_bytes(content + b"\n")
    assert not is_current(file, [], 7)


@pytest.mark.parametrize("count", [15, 16, 40])
def test_many_records_are_edited_in_one_pass(tmp_path: Path, window: int, count: int) -> None:
    rows = [row(number, name=number % 3 > 0) for number in range(2 * count)]
    after = [
        old._replace(parent=sha256(b"parent")) if n % 4 else None for n, old in enumerate(rows)
    ]
    edits = list(zip(rows, after, strict=True))[1::2]  # the last one too
    file = new_file(tmp_path)
    file.write(rows, 1)
    assert file.splice(edits[::-1], (), 2)
    spliced = Path(file.path).read_bytes()
    kept = [
        new
        for n, (old, changed) in enumerate(zip(rows, after, strict=True))
        if (new := changed if n % 2 else old) is not None
    ]
    file.write(kept, 2)

    assert spliced == Path(file.path).read_bytes()
    assert not file.splice([*edits, (row(999, name=True), None)], (), 3)
    assert Path(file.path).read_bytes() == spliced


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("place", [0.0, 1.0])
def test_a_search_may_read_just_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: float, more: int
) -> None:
    one = row(1, name=True)._replace(place=place)
    monkeypatch.setattr(layoutfile, "_WINDOW", len(layoutfile.record(one)) + more)
    file = new_file(tmp_path)
    file.write([one], 1)

    assert file.splice([(one, None)], (), 2)
    assert named_in(file) == []
    assert not file.splice([(one, None)], (), 3)


REFUSED: dict[str, Callable[[LayoutFile], object]] = {
    "write": lambda file: file.write([row(1, name=True)], 2),
    "splice": lambda file: file.splice([], [row(1, name=True)], 2),
    "withdraw": lambda file: file.withdraw(),
}


@pytest.mark.parametrize("act", REFUSED)
def test_what_the_system_refuses_is_told_as_an_error_of_the_store(tmp_path: Path, act: str) -> None:
    file = LayoutFile(str(tmp_path), str(tmp_path / "no such folder" / "staging"))
    new_file(tmp_path).write([], 1)

    with pytest.raises(StorageError, match=r"^cannot publish index.json: no such file"):
        REFUSED[act](file)

    assert file.generation() == 1


def test_a_name_that_cannot_be_flushed_is_told_as_one(tmp_path: Path) -> None:
    file = new_file(tmp_path / "gone")

    with pytest.raises(StorageError, match=r"^cannot make index.json durable: no such file"):
        file.flush()
