"""The files of an image: what each layer shows and hides, and what is left of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import NotFound, Refused
from casstore.model.fileentry import (
    DIRECTORY,
    FILE,
    ROOT,
    SYMLINK,
    FileEntry,
    sort_key,
)
from casstore.rules import merge
from casstore.rules.merge import NO_LAYER, Found, MergedTree, implied_directory
from tests.rules.imagelayers import Listed, Plain, any_layer, any_name, is_whole, layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


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

    assert found == Found(NO_LAYER, FileEntry(b"d/e", DIRECTORY, 0o755, 0, 0, 0, 0))


def test_a_symbolic_link_with_a_name_below_it_becomes_a_directory() -> None:
    tree = image(["lib>usr/lib", "usr/lib/a"], ["lib/b"])

    assert shown(tree.walk()) == ["-1:lib/", "1:lib/b", "-1:usr/", "-1:usr/lib/", "0:usr/lib/a"]
    assert tree.lookup(b"lib") == implied_directory(b"lib")


def test_what_becomes_a_directory_becomes_it_once() -> None:
    assert files(["x"], ["x/a", "x/b"]) == ["-1:x/", "1:x/a", "1:x/b"]


def test_what_is_opaque_is_so_below_directories_that_nothing_describes() -> None:
    assert files(["d/", "d/e/old"], ["!d", "d/e/new"]) == ["0:d/", "-1:d/e/", "1:d/e/new"]


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


def test_a_hard_link_to_a_symbolic_link_is_that_link() -> None:
    found = image(["a", "s>a"], ["l=s"]).lookup(b"l")

    assert found is not None
    assert (found.entry.kind, found.entry.target) == (SYMLINK, b"a")


@pytest.mark.parametrize(
    ("target", "reason"),
    [("gone", "leads to /gone, which the image does not have"), ("d", "leads to /d, a directory")],
)
def test_why_a_hard_link_is_refused_is_said(target: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        image(["d/"], [f"l={target}"]).lookup(b"l")

    assert str(caught.value) == f"layer 2: hard link /l {reason}"


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


def test_forty_links_are_followed_and_no_more() -> None:
    chain = [f"l{n}>l{n + 1}" for n in range(41)]
    tree = image([*chain, "l41"])

    assert tree.resolve(b"l1").entry.name == b"l41"
    with pytest.raises(Refused, match="too many symbolic links"):
        tree.resolve(b"l0")


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


def test_what_was_looked_up_is_not_looked_up_again_while_there_are_not_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[bytes] = []

    class Noting(Listed):
        def at(self, name: bytes) -> Sequence[FileEntry]:
            looked.append(name)
            return super().at(name)

    names = [b"a", b"b", b"c"]
    tree = MergedTree([Noting(layer("a", "b", "c").entries())])
    for name in [*names, *names]:
        tree.lookup(name)
    assert looked == [ROOT, *names]

    monkeypatch.setattr(merge, "_REMEMBERED", 3)
    looked.clear()
    tree = MergedTree([Noting(layer("a", "b", "c").entries())])
    for name in [*names, b"c", b"a"]:
        tree.lookup(name)
    assert looked == [ROOT, b"a", b"b", b"c", ROOT, b"a"]


def test_a_long_directory_that_nothing_describes_is_not_read_through() -> None:
    read = 0

    class Counting(Listed):
        def entries(self, start: bytes = b"") -> Iterator[FileEntry]:
            nonlocal read
            for one in super().entries(start):
                read += 1
                yield one

    below = Counting(layer("-d", *(f"e/{n:03}" for n in range(500))).entries())
    assert MergedTree([layer("d/"), below]).lookup(b"d") is None
    assert read <= 1


# Any image, against the rules carried out one by one


@settings(deadline=None, max_examples=400)
@given(st.lists(any_layer(), max_size=4))
def test_a_merged_image_is_what_its_layers_make_one_after_the_other(layers: list[Listed]) -> None:
    plain = Plain()
    for number, contents in enumerate(layers):
        plain.apply(number, contents)
        if not is_whole(plain.files.values()):
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
@given(st.lists(any_layer(), max_size=4), any_name)
def test_a_name_that_is_not_in_a_walk_is_not_found(layers: list[Listed], name: str) -> None:
    tree = MergedTree(layers)
    try:
        names = {found.entry.name for found in tree.walk()}
        found = tree.lookup(name.encode())
    except Refused:
        return

    assert (found is not None) == (name.encode() in names)
    assert found is None or found.layer >= NO_LAYER
