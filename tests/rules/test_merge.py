"""The files of an image: what each layer shows and hides, and what is left of all of them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import NotFound, Refused
from casstore.model.fileentry import (
    DIRECTORY,
    FILE,
    HARD_LINK,
    OPAQUE,
    ROOT,
    SYMLINK,
    WHITEOUT,
    FileEntry,
    sort_key,
)
from casstore.rules.merge import NO_LAYER, Found, MergedTree, implied_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_IN_ONE_NAME = {WHITEOUT: 0, OPAQUE: 1}


class Listed:
    """The contents of a layer as a list."""

    def __init__(self, entries: Iterable[FileEntry]) -> None:
        self._entries = sorted(
            entries, key=lambda one: (sort_key(one.name), _IN_ONE_NAME.get(one.kind, 2))
        )
        self._keys = [sort_key(entry.name) for entry in self._entries]
        self.seeks = 0

    def entries(self, start: bytes = b"") -> Iterator[FileEntry]:
        self.seeks += 1
        yield from self._entries[bisect_left(self._keys, sort_key(start)) :]

    def at(self, name: bytes) -> Sequence[FileEntry]:
        return [entry for entry in self._entries if entry.name == name]

    def __repr__(self) -> str:
        return f"Listed({[(one.name, one.kind, one.target) for one in self._entries]})"

    @property
    def hard_links(self) -> Sequence[FileEntry]:
        return [entry for entry in self._entries if entry.kind == HARD_LINK]


def entry(name: str, kind: str = FILE, target: str = "", mode: int = 0o644) -> FileEntry:
    inode = int.from_bytes(name.encode(), "big") if kind != HARD_LINK else 1
    return FileEntry(name.encode(), kind, mode, 0, 0, 0, 0, target.encode(), order=1, inode=inode)


def layer(*described: str) -> Listed:
    """Entries in short: `d/` a directory, `-x` a whiteout, `!d` opaque, `x>y` a symbolic link,
    `x=y` a hard link, else a file."""
    entries = []
    for text in described:
        if text.endswith("/"):
            entries.append(entry(text[:-1], DIRECTORY, mode=0o700))
        elif text.startswith("-"):
            entries.append(entry(text[1:], WHITEOUT))
        elif text.startswith("!"):
            entries.append(entry(text[1:], OPAQUE))
        elif ">" in text:
            name, _, target = text.partition(">")
            entries.append(entry(name, SYMLINK, target))
        elif "=" in text:
            name, _, target = text.partition("=")
            entries.append(entry(name, HARD_LINK, target))
        else:
            entries.append(entry(text))
    return Listed(entries)


def image(*layers: Sequence[str]) -> MergedTree:
    return MergedTree([layer(*described) for described in layers])


def shown(files: Iterable[Found]) -> list[str]:
    """Names with the number of their layer, a directory with a slash; the root is left out."""
    return [
        f"{one.layer}:{one.entry.name.decode()}{'/' * (one.entry.kind == DIRECTORY)}"
        for one in files
        if one.entry.name
    ]


def files(*layers: Sequence[str]) -> list[str]:
    return shown(image(*layers).walk())


# What hides what


def test_the_file_of_the_upper_layer_counts() -> None:
    assert files(["a", "b"], ["a"]) == ["1:a", "0:b"]


def test_a_whiteout_hides_the_file_of_a_lower_layer() -> None:
    assert files(["a", "b"], ["-a"]) == ["0:b"]


def test_a_whiteout_hides_a_directory_with_all_below_it() -> None:
    assert files(["d/", "d/e/", "d/e/f", "x"], ["-d"]) == ["0:x"]


def test_a_whiteout_hides_nothing_of_its_own_layer() -> None:
    assert files(["d/", "d/old"], ["-d", "d/new"]) == ["-1:d/", "1:d/new"]
    assert files(["x"], ["-x", "x"]) == ["1:x"]


def test_a_whiteout_hides_nothing_of_a_layer_above() -> None:
    assert files(["x"], ["-x"], ["x"]) == ["2:x"]


def test_an_opaque_marker_hides_what_is_below_its_directory() -> None:
    assert files(["d/", "d/a", "d/e/b"], ["!d", "d/c"]) == ["0:d/", "1:d/c"]


def test_an_opaque_marker_on_the_root_hides_all_lower_layers() -> None:
    assert files(["a", "d/b"], ["!", "c"]) == ["1:c"]


def test_a_file_in_place_of_a_directory_hides_what_was_below() -> None:
    assert files(["d/", "d/a"], ["d"]) == ["1:d"]


def test_a_directory_over_that_file_does_not_bring_it_back() -> None:
    assert files(["d/", "d/a"], ["d"], ["d/"]) == ["2:d/"]


def test_a_directory_over_a_directory_keeps_what_is_in_it() -> None:
    assert files(["d/", "d/a"], ["d/"]) == ["1:d/", "0:d/a"]


def test_a_name_in_a_directory_leaves_the_directory_as_it_is() -> None:
    assert files(["d/", "d/a"], ["d/b"]) == ["0:d/", "0:d/a", "1:d/b"]


def test_a_directory_that_no_layer_describes_is_roots() -> None:
    found = image(["d/e/a"]).lookup(b"d/e")

    assert found == implied_directory(b"d/e")
    assert (found.entry.mode, found.entry.uid, found.entry.gid) == (0o755, 0, 0)


def test_a_symbolic_link_with_names_below_it_becomes_a_directory() -> None:
    tree = image(["lib>usr/lib", "usr/lib/a"], ["lib/b"])

    assert shown(tree.walk()) == ["-1:lib/", "1:lib/b", "-1:usr/", "-1:usr/lib/", "0:usr/lib/a"]
    assert tree.lookup(b"lib") == implied_directory(b"lib")


def test_a_marker_makes_nothing() -> None:
    assert files(["a"], ["-d/x"]) == ["0:a"]
    assert files(["a"], ["!d"]) == ["0:a"]
    assert files(["d"], ["-d/x"]) == ["0:d"]


def test_a_whiteout_beside_a_marker_below_the_same_name_is_no_error() -> None:
    assert files(["foo/", "foo/bar"], ["-foo", "-foo/bar"]) == []


def test_a_directory_stays_when_all_that_made_it_is_hidden() -> None:
    tree = image(["d/e/f"], ["-d/e"])

    assert shown(tree.walk()) == ["-1:d/"]
    assert tree.lookup(b"d") == implied_directory(b"d")


def test_names_are_ordered_so_that_a_directory_comes_before_what_is_in_it() -> None:
    assert files(["d-x", "d/", "d/a", "d.b"]) == ["0:d/", "0:d/a", "0:d-x", "0:d.b"]


# Hard links


def test_a_hard_link_to_a_lower_layer_is_the_file_of_that_layer() -> None:
    found = image(["a", "b"], ["l=a"]).lookup(b"l")

    assert found is not None
    assert (found.layer, found.entry.name, found.entry.kind) == (0, b"l", FILE)
    assert found.entry.shared


def test_a_file_knows_that_a_hard_link_of_a_layer_above_is_the_same_file() -> None:
    tree = image(["a", "b"], ["l=a"])

    assert [found.entry.shared for found in tree.walk()] == [False, True, False, True]


def test_a_hard_link_stays_when_its_target_is_hidden_later() -> None:
    assert files(["a"], ["l=a"], ["-a"]) == ["0:l"]


def test_a_hard_link_joins_what_its_target_was_below_its_own_layer() -> None:
    assert files(["a"], ["l=a"], ["a"]) == ["2:a", "0:l"]


def test_a_hard_link_to_a_hard_link_of_a_lower_layer_is_the_first_file() -> None:
    assert files(["a"], ["l=a"], ["-a"], ["m=l"]) == ["0:l", "0:m"]


def test_directories_on_the_way_to_a_hard_links_target_may_be_links() -> None:
    assert files(["usr/a", "bin>usr"], ["l=bin/a"]) == ["0:bin", "0:l", "-1:usr/", "0:usr/a"]


@pytest.mark.parametrize("target", ["gone", "d", "a/b", "loop"])
def test_a_hard_link_to_nothing_or_to_a_directory_is_refused_in_one_line(target: str) -> None:
    tree = image(["a", "d/", "loop>loop/"], [f"l={target}"]) if target != "loop" else None
    tree = tree or image(["x>y", "y>x"], ["l=x/z"])

    with pytest.raises(Refused) as caught:
        tree.lookup(b"l")

    assert "\n" not in str(caught.value)


# Looking for one file


def test_a_link_on_the_way_is_followed_within_the_image() -> None:
    tree = image(["bin>usr/bin", "usr/bin/", "usr/bin/sh>/bin/dash", "usr/bin/dash"])

    assert tree.resolve(b"bin/sh").entry.name == b"usr/bin/dash"
    assert tree.resolve(b"bin/sh", follow_last=False).entry.name == b"usr/bin/sh"


def test_no_link_leads_out_of_the_image() -> None:
    tree = image(["etc/passwd", "d/out>../../../../etc/passwd", "top>/../.."])

    assert tree.resolve(b"d/out").entry.name == b"etc/passwd"
    assert tree.resolve(b"top").entry.name == ROOT


def test_links_in_a_circle_are_refused() -> None:
    with pytest.raises(Refused, match="too many symbolic links"):
        image(["a>b", "b>a"]).resolve(b"a")


@pytest.mark.parametrize("name", [b"gone", b"a/b", b"dangling", b"a/.."])
def test_what_is_not_there_is_not_found(name: bytes) -> None:
    with pytest.raises(NotFound):
        image(["a", "dangling>nothing"]).resolve(name)


def test_a_long_directory_is_listed_without_reading_what_is_below_it() -> None:
    deep = layer("a/", *(f"a/{n}" for n in range(20_000)), "b")
    read = 0

    class Counting(Listed):
        def entries(self, start: bytes = b"") -> Iterator[FileEntry]:
            nonlocal read
            for one in super().entries(start):
                read += 1
                yield one

    tree = MergedTree([Counting(deep.entries())])

    assert shown(tree.walk(depth=1)) == ["0:a/", "0:b"]
    assert read < 5_000


# Any image, against the rules carried out one by one

_PARTS = ("a", "b", "a-", "c")
_names = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=3).map("/".join)
_marks = st.sampled_from(["", "/", "-", "!", ">", "="])


@st.composite
def _layers(draw: st.DrawFn) -> Listed:
    described: dict[tuple[str, str], FileEntry] = {}
    solid: dict[str, str] = {}  # name -> kind, of what is not a directory
    for name, mark in draw(st.lists(st.tuples(_names, _marks), max_size=8)):
        if mark in ("-", "!"):
            kind = WHITEOUT if mark == "-" else OPAQUE
            described[name, kind] = entry(name, kind)
            continue
        kind = {"": FILE, "/": DIRECTORY, ">": SYMLINK, "=": HARD_LINK}[mark]
        target = draw(_names) if mark in (">", "=") else ""
        described[name, ""] = entry(name, kind, target)
        solid[name] = kind
    files = {name for name, kind in solid.items() if kind != DIRECTORY}
    # one layer has nothing below what is no directory: the table of a layer sees to that
    return Listed(
        one
        for (name, _), one in described.items()
        if not any(
            name.startswith(f"{file}/") or (name == file and one.kind == OPAQUE) for file in files
        )
    )


class Plain:
    """An image as a dictionary, to which layer after layer is applied."""

    def __init__(self) -> None:
        self.files: dict[bytes, Found] = {ROOT: implied_directory(ROOT)}

    def apply(self, number: int, contents: Listed) -> None:
        before = MergedTreeOf(self.files)
        entries = list(contents.entries())
        for one in entries:
            if one.kind in (WHITEOUT, OPAQUE):
                self._remove(one.name, itself=one.kind == WHITEOUT)
        for one in entries:
            if one.kind in (WHITEOUT, OPAQUE):
                continue
            self._directories(one.name)
            found = Found(number, one)
            if one.kind == HARD_LINK:
                found = before.linked(found)
            if one.kind != DIRECTORY:
                self._remove(one.name, itself=True)
            self.files[one.name] = found

    def share(self, layers: list[Listed]) -> None:
        """Mark the files that a hard link of a layer above is, be that hidden or not."""
        joined = set()
        for number in range(len(layers)):
            lower = Plain()
            for below, contents in enumerate(layers[:number]):
                lower.apply(below, contents)
            tree = MergedTreeOf(lower.files)
            for link in layers[number].hard_links:
                found = tree.linked(Found(number, link))
                joined.add((found.layer, found.entry.inode))
        for name, found in self.files.items():
            if found.entry.kind != DIRECTORY and (found.layer, found.entry.inode) in joined:
                self.files[name] = Found(found.layer, found.entry._replace(shared=True))

    def _directories(self, name: bytes) -> None:
        parts = name.split(b"/")
        for count in range(1, len(parts)):
            above = b"/".join(parts[:count])
            if above not in self.files or self.files[above].entry.kind != DIRECTORY:
                self.files[above] = implied_directory(above)

    def _remove(self, name: bytes, *, itself: bool) -> None:
        for one in list(self.files):
            if one.startswith(name + b"/") or (itself and one == name):
                del self.files[one]


class MergedTreeOf:
    """What hard links are looked up in: a copy of the dictionary."""

    def __init__(self, files: dict[bytes, Found]) -> None:
        self._files = dict(files)

    def linked(self, found: Found) -> Found:
        name = self._resolve(found.entry.target)
        target = self._files.get(name) if name is not None else None
        if target is None or target.entry.kind == DIRECTORY:
            return Found(-2, found.entry)  # nothing that there is
        return Found(target.layer, target.entry._replace(name=found.entry.name, shared=True))

    def _resolve(self, name: bytes) -> bytes | None:
        *way, last = name.split(b"/")
        at, links = b"", 0
        while way:
            here = (at + b"/" if at else b"") + way.pop(0)
            found = self._files.get(here)
            if found is not None and found.entry.kind == SYMLINK:
                links += 1
                if links > 40:
                    return None
                way[:0] = found.entry.target.split(b"/")
            elif found is None or found.entry.kind != DIRECTORY:
                return None
            else:
                at = here
        return (at + b"/" if at else b"") + last


def _is_whole(files: Iterable[Found]) -> bool:
    return all(one.layer != -2 for one in files)


@settings(deadline=None, max_examples=400)
@given(st.lists(_layers(), max_size=4))
def test_a_merged_image_is_what_its_layers_make_one_after_the_other(layers: list[Listed]) -> None:
    plain = Plain()
    for number, contents in enumerate(layers):
        plain.apply(number, contents)
        if not _is_whole(plain.files.values()):
            return  # a hard link that leads to nothing: another test
    plain.share(layers)
    expected = [plain.files[name] for name in sorted(plain.files, key=sort_key)]
    tree = MergedTree(layers)

    assert list(tree.walk()) == expected
    for found in expected:
        name = found.entry.name
        assert tree.lookup(name) == found
        below = [one for one in expected if one.entry.name.startswith(name + b"/" if name else b"")]
        assert list(tree.walk(name)) == [found, *(one for one in below if one is not found)]
        assert list(tree.walk(name, depth=1)) == [
            one
            for one in [found, *(one for one in below if one is not found)]
            if one is found or b"/" not in one.entry.name[len(name) + bool(name) :]
        ]


@settings(deadline=None)
@given(st.lists(_layers(), max_size=4), _names)
def test_a_name_that_is_not_in_a_walk_is_not_found(layers: list[Listed], name: str) -> None:
    tree = MergedTree(layers)
    try:
        names = {found.entry.name for found in tree.walk()}
        found = tree.lookup(name.encode())
    except Refused:
        return

    assert (found is not None) == (name.encode() in names)
    assert found is None or found.layer >= NO_LAYER
