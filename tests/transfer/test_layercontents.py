"""What one layer says by itself, as its tar is replayed."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from casstore.errors import Damaged, Refused
from casstore.model.digest import sha256
from casstore.model.fileentry import OPAQUE, FileEntry
from casstore.transfer import entryruns, innerlinks, layercontents
from casstore.transfer.contenthashes import ContentHashes
from casstore.transfer.layercontents import scan_layer
from casstore.transfer.tarentries import TarEntries
from tests.transfer.layermodel import ModelLayer, NotPossible
from tests.transfer.layertars import (
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    LAYER,
    SYMLINK,
    Member,
    contents_of,
    in_pieces,
    table_of,
    tar_of,
    told,
)


def a_file(name: str, content: bytes = b"") -> Member:
    return Member(name, FILE, content)


def a_directory(name: str) -> Member:
    return Member(name, DIRECTORY, mode=0o755)


def a_symlink(name: str, target: str) -> Member:
    return Member(name, SYMLINK, target=target)


def a_hard_link(name: str, target: str) -> Member:
    return Member(name, HARD_LINK, target=target)


def said(*members: Member) -> list[str]:
    """What a layer of these says, in few words."""
    return told(contents_of(tar_of(*members)))


def one(name: bytes, *members: Member) -> FileEntry:
    """The entry of a name that is no marker."""
    (found,) = [entry for entry in contents_of(tar_of(*members), hashes=True) if entry.name == name]
    return found


# Names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("/etc/passwd", "etc/passwd"),
        ("./etc/passwd", "etc/passwd"),
        ("etc//passwd", "etc/passwd"),
        ("etc/./passwd", "etc/passwd"),
        ("etc/x/../passwd", "etc/passwd"),
        ("../etc/passwd", "etc/passwd"),
        ("../../../etc/passwd", "etc/passwd"),
        ("etc/../../passwd", "passwd"),
        ("..etc/.passwd", "..etc/.passwd"),
    ],
)
def test_a_name_stays_inside_the_root(name: str, meant: str) -> None:
    assert said(a_file(name)) == [f"file {meant}"]


def test_the_root_may_be_described() -> None:
    assert said(a_directory("./"), a_file("./x")) == ["directory ", "file x"]


def test_the_root_is_a_directory_and_nothing_else() -> None:
    with pytest.raises(Refused, match=f"layer {LAYER} has a symlink in the place of the root"):
        said(a_symlink("./", "/etc"))


def test_what_is_below_a_directory_comes_right_behind_it() -> None:
    assert said(a_file("a-b"), a_file("a/x"), a_file("a.b"), a_directory("a")) == [
        "directory a",
        "file a/x",
        "file a-b",
        "file a.b",
    ]


# The same name again


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    assert one(b"x", a_file("x", b"first"), a_file("./x", b"second")).size == 6


def test_what_is_no_directory_removes_what_was_below_it() -> None:
    assert said(a_directory("d"), a_file("d/x"), a_file("d")) == ["file d"]


def test_what_comes_below_it_again_makes_a_directory_of_it() -> None:
    assert said(a_directory("d"), a_file("d/x"), a_file("d"), a_file("d/y")) == [
        "opaque d",
        "file d/y",
    ]


def test_a_directory_in_the_place_of_what_was_none_hides_the_lower_children() -> None:
    assert said(a_file("d"), a_directory("d"), a_file("d/y")) == [
        "opaque d",
        "directory d",
        "file d/y",
    ]


def test_a_directory_that_comes_twice_keeps_what_is_in_it() -> None:
    assert said(a_directory("d"), a_file("d/x"), a_directory("d")) == ["directory d", "file d/x"]


def test_a_directory_without_an_entry_has_none() -> None:
    assert said(a_file("d/e/x")) == ["file d/e/x"]


# Symbolic links of the same layer


def test_a_name_leads_through_a_link_of_the_same_layer() -> None:
    assert said(a_symlink("lib", "usr/lib"), a_file("lib/x")) == [
        "symlink lib -> usr/lib",
        "file usr/lib/x",
    ]


def test_a_link_that_comes_later_moves_nothing() -> None:
    assert said(a_file("lib/x"), a_symlink("lib", "usr/lib")) == ["symlink lib -> usr/lib"]


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/usr/lib", "usr/lib/x"),
        ("../../../usr/lib", "usr/lib/x"),
        ("../b/./c/", "b/c/x"),
        (".", "a/x"),
        ("/", "x"),
        ("../..", "x"),
    ],
)
def test_a_link_leads_nowhere_outside_the_root(target: str, found: str) -> None:
    assert f"file {found}" in said(a_symlink("a/l", target), a_file("a/l/x"))


def test_links_lead_to_links() -> None:
    members = [a_symlink("a", "b"), a_symlink("b", "c/d"), a_symlink("c/d", "/e"), a_file("a/x")]

    assert "file e/x" in said(*members)


def test_dots_in_a_link_are_those_of_the_place_that_it_has_come_to() -> None:
    members = [
        a_symlink("a", "b/c"),
        a_symlink("b/c", "/d/e"),
        a_symlink("l", "a/.."),
        a_file("l/x"),
    ]

    assert "file d/x" in said(*members)


def test_what_leads_in_a_circle_is_a_directory() -> None:
    assert said(a_symlink("a", "a"), a_file("a/x")) == ["opaque a", "file a/x"]


def test_a_link_that_was_replaced_leads_nowhere() -> None:
    assert said(a_symlink("l", "d"), a_directory("l"), a_file("l/x")) == [
        "opaque l",
        "directory l",
        "file l/x",
    ]


def test_a_link_that_was_removed_with_its_directory_leads_nowhere() -> None:
    members = [a_symlink("d/l", "/e"), a_file("d"), a_file("d/l/x")]

    assert said(*members) == ["opaque d", "file d/l/x"]


def test_the_last_part_of_a_name_is_not_followed() -> None:
    assert said(a_symlink("l", "d"), a_file("l")) == ["file l"]


# Hard links


def test_a_hard_link_is_the_file_that_it_leads_to() -> None:
    members = [a_file("a", b"content"), a_hard_link("b", "./a")]

    first, second = one(b"a", *members), one(b"b", *members)

    assert (first.size, first.order, first.inode, first.shared) == (7, 1, 1, True)
    assert second == first._replace(name=b"b", order=2)
    assert first.sha256 == bytes.fromhex(sha256(b"content").hex)


def test_a_file_without_hard_links_is_not_shared() -> None:
    members = [a_file("a"), a_file("b"), a_hard_link("c", "b")]

    assert [one(name, *members).shared for name in (b"a", b"b", b"c")] == [False, True, True]


def test_a_hard_link_is_what_its_target_is_at_that_point() -> None:
    members = [a_file("a", b"old"), a_hard_link("b", "a"), a_file("a", b"newer")]

    assert (one(b"a", *members).size, one(b"b", *members).size) == (5, 3)
    assert (one(b"b", *members).inode, one(b"b", *members).order) == (1, 2)


def test_a_hard_link_survives_when_its_target_goes() -> None:
    members = [a_file("d/a", b"old"), a_hard_link("b", "d/a"), a_file("d")]

    assert said(*members) == ["file b", "file d"]


def test_a_hard_link_to_a_hard_link_is_the_same_file() -> None:
    members = [
        a_file("z", b"content"),
        *(a_hard_link(chr(ord("y") - n), chr(ord("z") - n)) for n in range(20)),
    ]

    assert one(b"f", *members)._replace(name=b"z", order=1) == one(b"z", *members)


def test_a_longer_chain_of_hard_links_is_refused() -> None:
    names = [f"f{number:03}" for number in range(60)]
    links = [a_hard_link(name, before) for before, name in pairwise(names)]

    with pytest.raises(Refused, match=f"layer {LAYER} has a chain of more than 40 hard links"):
        said(a_file(names[0]), *links)


def test_a_hard_link_can_lead_to_a_symbolic_link() -> None:
    assert said(a_symlink("s", "/etc"), a_hard_link("h", "s")) == [
        "symlink h -> /etc",
        "symlink s -> /etc",
    ]


def test_a_name_leads_through_a_hard_link_to_a_symbolic_link() -> None:
    members = [a_symlink("s", "d"), a_hard_link("h", "s"), a_file("h/x")]

    assert said(*members) == ["file d/x", "symlink h -> d", "symlink s -> d"]


def test_the_target_of_a_hard_link_leads_through_links_of_the_same_layer() -> None:
    members = [a_file("usr/lib/a", b"x"), a_symlink("lib", "usr/lib"), a_hard_link("b", "lib/a")]

    assert one(b"b", *members).inode == 1


def test_a_hard_link_to_what_the_layer_does_not_have_stays_one() -> None:
    assert said(a_hard_link("b", "/../usr/./a")) == ["hard link b -> usr/a"]


def test_a_hard_link_to_what_comes_later_leads_to_a_lower_layer() -> None:
    assert said(a_hard_link("b", "a"), a_file("a")) == ["file a", "hard link b -> a"]


def test_a_hard_link_to_what_was_removed_leads_to_a_lower_layer() -> None:
    members = [a_file("d/a"), a_file("d"), a_hard_link("b", "d/a")]

    assert said(*members) == ["hard link b -> d/a", "file d"]


def test_a_hard_link_to_such_a_hard_link_leads_to_the_same_file() -> None:
    members = [a_hard_link("b", "a"), a_hard_link("c", "b")]

    assert said(*members) == ["hard link b -> a", "hard link c -> a"]
    assert not one(b"c", *members).shared


@pytest.mark.parametrize("target", ["d", "d/", "./"])
def test_a_hard_link_to_a_directory_is_refused(target: str) -> None:
    with pytest.raises(Refused, match=f'layer {LAYER} has the hard link "b" to a directory'):
        said(a_directory("d"), a_hard_link("b", target))


def test_hard_links_to_lower_layers_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layercontents, "MAX_LOWER_LINKS", 2)
    links = [a_hard_link(name, "below") for name in ("a", "b", "c")]

    assert len(said(*links[:2])) == 2
    with pytest.raises(Refused, match="exceeds the limit of 2 hard links to files of lower layers"):
        said(*links)


# Markers


@pytest.mark.parametrize("kind", [FILE, DIRECTORY, SYMLINK, HARD_LINK, FIFO])
def test_a_marker_is_one_whatever_its_type_and_content(kind: bytes) -> None:
    content = b"content" if kind == FILE else b""

    assert said(Member("d/.wh.x", kind, content, target="t"), a_file("y", b"y")) == [
        "whiteout d/x",
        "file y",
    ]


def test_a_marker_hides_all_that_is_below_a_directory() -> None:
    assert said(a_file("d/.wh..wh..opq"), a_directory("d"), a_file("d/x")) == [
        "opaque d",
        "directory d",
        "file d/x",
    ]


def test_a_marker_can_hide_all_lower_layers() -> None:
    assert said(a_file(".wh..wh..opq"), a_file("x")) == ["opaque ", "file x"]


@pytest.mark.parametrize("marker_first", [True, False])
def test_a_marker_is_for_lower_layers_wherever_it_stands(*, marker_first: bool) -> None:
    members = [a_file(".wh.x"), a_file("x")]

    assert said(*(members if marker_first else reversed(members))) == ["whiteout x", "file x"]


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", ".wh..wh.aufs", ".wh..wh.plnk/1.2"])
@pytest.mark.parametrize("directory", ["", "d/"])
def test_a_marker_without_a_name_says_nothing(directory: str, name: str) -> None:
    assert said(a_file(directory + name, b"content"), a_file("y", b"y")) == ["file y"]


def test_digests_are_those_of_their_files_when_others_are_left_out() -> None:
    members = [a_file(".wh..wh.aufs", b"nobody's"), a_file("a", b"a"), a_file(".wh.x", b"x"),
               a_file("e"), a_file("b", b"b")]  # fmt: skip

    for name in (b"a", b"b"):
        assert one(name, *members).sha256.hex() == sha256(name).hex
    assert one(b"e", *members).sha256.hex() == sha256(b"").hex


@pytest.mark.parametrize("run", [2, 30_000])
def test_digests_are_right_when_a_thread_makes_them(
    run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entryruns, "RUN", run)
    contents = {f"f{n:02}".encode(): bytes([n]) * (n * 50_000) for n in range(12)}
    members = [a_file(name.decode(), content) for name, content in contents.items()]

    found = {e.name: e.sha256 for e in contents_of(tar_of(*members), 200_000, hashes=True)}

    assert {name: digest.hex() for name, digest in found.items()} == {
        name: sha256(content).hex for name, content in contents.items()
    }


def test_no_thread_is_left_when_a_layer_is_refused() -> None:
    with pytest.raises(Refused):
        contents_of(Member("x", content=bytes(3 << 20)).whole() + b"nonsense" * 64, 200_000)

    assert [one.name for one in threading.enumerate() if one.name.startswith("casstore")] == []


def test_a_marker_is_followed_through_links_of_the_same_layer() -> None:
    members = [a_symlink("lib", "usr/lib"), a_file("lib/.wh.x"), a_file("lib/.wh..wh..opq")]

    assert said(*members) == ["symlink lib -> usr/lib", "opaque usr/lib", "whiteout usr/lib/x"]


def test_a_marker_makes_no_directory_of_what_is_none() -> None:
    assert said(a_file("d"), a_file("d/.wh.x")) == ["file d"]


# What is refused, and limits


def test_what_is_no_tar_is_refused_after_it_was_read_to_its_end() -> None:
    pieces = in_pieces(b"nonsense" * 1000, 1000)

    with pytest.raises(Refused, match=f"^layer {LAYER} is not a tar archive$"):
        table_of(pieces)

    assert list(pieces) == []


def test_a_damaged_blob_is_told_as_damage_and_not_as_another_tar() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"nonsense" * 1000
        raise Damaged("blob is damaged")

    with pytest.raises(Damaged):
        table_of(pieces())


def test_an_empty_layer_says_nothing() -> None:
    assert contents_of(b"") == []
    assert contents_of(bytes(1024)) == []


def test_entries_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layercontents, "MAX_ENTRIES", 2)

    with pytest.raises(Refused, match=f"layer {LAYER} exceeds the limit of 2 entries"):
        said(a_file("a"), a_file("b"), a_file("c"))


def test_what_describes_the_entries_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layercontents, "MAX_DESCRIBED", 100)

    with pytest.raises(Refused, match="of 100 bytes of names and the like"):
        said(a_file("a" * 60), a_file("b" * 60))


def test_links_in_memory_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(innerlinks, "MAX_LINK_MEMORY", 1000)

    with pytest.raises(Refused, match=f"layer {LAYER} has more symbolic links than the limit"):
        said(*(a_symlink(f"l{number}", "x") for number in range(10)))


def test_long_targets_of_links_count_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(innerlinks, "MAX_LINK_MEMORY", 3000)

    assert len(said(a_symlink("l", "t" * 2000))) == 1
    with pytest.raises(Refused, match="has more symbolic links than the limit allows"):
        said(a_symlink("l", "t" * 3000))


def test_links_that_lead_on_and_on_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(innerlinks, "FREE_STEPS", 0)
    target = "/".join(["x", ".."] * 40) + "/l"
    members = [a_symlink("l", target), *(a_file(f"l/{number}/x") for number in range(3))]

    with pytest.raises(Refused, match=f"layer {LAYER} has symbolic links that lead on and on"):
        said(*members)


@pytest.mark.parametrize("end", [b"", b"nonsense" * 64])
def test_scratch_files_are_closed_in_the_end(end: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entryruns, "RUN", 2)
    files = [io.BytesIO() for _ in range(9)]
    tar = b"".join(a_file(f"{number}").whole() for number in range(9)) + end
    unused = iter(files)

    with suppress(Refused):
        scan_layer(iter([tar]), LAYER, io.BytesIO(), lambda: next(unused))

    used = len(files) - len(list(unused))
    assert used == 1
    assert [file.closed for file in files] == [True] * used + [False] * (len(files) - used)


def test_what_is_attached_is_asked_for_when_all_was_read() -> None:
    happened = []

    def pieces() -> Iterator[bytes]:
        yield tar_of(a_file("x"))
        happened.append("read")

    def attachment() -> list[bytes]:
        happened.append("asked")
        return [b"restart points"]

    scan_layer(pieces(), LAYER, io.BytesIO(), io.BytesIO, attachment)

    assert happened == ["read", "asked"]


# Any layer


class Sizes(NamedTuple):
    """How much is in memory, and how the tar comes."""

    run: int
    piece: int


SIZES = [Sizes(30_000, 1 << 20), Sizes(2, 700), Sizes(7, 512)]
_PARTS = st.sampled_from(["a", "b", "c", "l", "..", ".", ""])
_MARKERS = [".wh.a", ".wh.b", ".wh..wh..opq", ".wh.", ".wh..", ".wh...", ".wh..wh.aufs"]
_PATHS = st.lists(_PARTS, min_size=1, max_size=4).map("/".join)
_LAST = st.sampled_from(["a", "b", "c", "l", "l", *_MARKERS])
_NAMES = st.tuples(_PATHS, _LAST).map("/".join) | _LAST


@st.composite
def members(draw: st.DrawFn) -> Member:
    kind = draw(st.sampled_from([FILE, FILE, DIRECTORY, DIRECTORY, SYMLINK, HARD_LINK, FIFO]))
    target = draw(_NAMES) if kind in (SYMLINK, HARD_LINK) else ""
    if kind == SYMLINK and draw(st.booleans()):
        target = "/" + target
    content = draw(st.sampled_from([b"", b"x", b"yy" * 300])) if kind == FILE else b""
    return Member(draw(_NAMES), kind, content, target)


def expected(tar: bytes) -> list[FileEntry] | None:
    """What the model makes of the same tar; None where it refuses."""
    hashes = ContentHashes()
    tree = TarEntries(iter([tar]), LAYER, hashes)
    model = ModelLayer()
    raw = list(tree)
    made = iter(hashes.made())
    digests = [next(made) if entry.size else b"" for entry in raw]
    try:
        for entry, digest in zip(raw, digests, strict=True):
            model.put(entry._replace(sha256=digest))
    except NotPossible:
        return None
    return model.contents()


def comparable(entries: list[FileEntry]) -> list[FileEntry]:
    """An opaque marker that nobody wrote stands for no entry in particular; hashes of nothing."""
    return [
        entry._replace(order=0, inode=0) if entry.kind == OPAQUE
        else entry if entry.size else entry._replace(sha256=b"")
        for entry in entries
    ]  # fmt: skip


@pytest.mark.parametrize("sizes", SIZES)
@settings(deadline=None, max_examples=400)
@given(some=st.lists(members(), max_size=14))
@example(some=[a_symlink("a", "b"), a_symlink("b", "a"), a_file("a/x"), a_file("b/x")])
@example(some=[a_file("a"), a_file("a/b"), a_hard_link("c", "a"), a_directory("a")])
def test_a_layer_says_what_its_replay_on_a_tree_leaves(some: list[Member], sizes: Sizes) -> None:
    tar = tar_of(*some)
    model = expected(tar)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entryruns, "RUN", sizes.run)
        patch.setattr(entryruns, "_TOGETHER", 3)
        if model is None:
            with pytest.raises(Refused):
                contents_of(tar, sizes.piece)
            return
        found = contents_of(tar, sizes.piece, hashes=True)

    assert comparable(found) == comparable(model)
