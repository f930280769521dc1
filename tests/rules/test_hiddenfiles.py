"""What of each layer is hidden in the image: overwritten or deleted by layers above."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.model.fileentry import FILE
from casstore.rules.hiddenfiles import LayerFiles, files_of_layers
from tests.rules.imagelayers import Listed, Plain, any_layer, is_whole, layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from casstore.model.fileentry import FileEntry


def sized(*described: str) -> Listed:
    """As `layer`, where `a:5` is a file of five bytes, and files of one size are one inode.

    So `a:5 b:5` are two names of a file; sizes are otherwise different.
    """
    entries = []
    for text in described:
        name, _, size = text.partition(":")
        (one,) = layer(name).entries()
        if size:
            one = one._replace(size=int(size), inode=int(size))
        entries.append(one)
    return Listed(entries)


def counted(*layers: Sequence[str]) -> list[LayerFiles]:
    return files_of_layers([sized(*described) for described in layers])


def hidden(*layers: Sequence[str]) -> list[tuple[int, int]]:
    """Bytes overwritten and deleted, of each layer."""
    return [(one.overwritten, one.deleted) for one in counted(*layers)]


def test_a_layer_alone_hides_nothing() -> None:
    assert counted(["d/", "d/a:5", "b:7", "x>b"]) == [LayerFiles(2, 12, 0, 0, 0, 0)]


def test_a_file_in_the_place_of_a_file_overwrites_it() -> None:
    assert counted(["a:5", "b:1"], ["a:7"]) == [
        LayerFiles(2, 6, 1, 5, 0, 0), LayerFiles(1, 7, 0, 0, 0, 0),
    ]  # fmt: skip


def test_a_whiteout_deletes() -> None:
    assert counted(["a:5", "b:1"], ["-a"]) == [
        LayerFiles(2, 6, 0, 0, 1, 5), LayerFiles(0, 0, 0, 0, 0, 0),
    ]  # fmt: skip


def test_a_file_that_comes_again_after_a_whiteout_is_overwritten() -> None:
    assert hidden(["a:5"], ["-a"], ["a:7"]) == [(5, 0), (0, 0), (0, 0)]


def test_layers_are_gone_through_side_by_side() -> None:
    assert hidden(["z:1"], ["a:5"], ["a:7"]) == [(0, 0), (5, 0), (0, 0)]


def test_the_same_file_in_three_layers_is_hidden_in_two() -> None:
    assert hidden(["a:5"], ["a:6"], ["a:7"]) == [(5, 0), (6, 0), (0, 0)]


def test_an_opaque_directory_deletes_what_does_not_come_again() -> None:
    assert hidden(["d/", "d/a:5", "d/b:7"], ["!d", "d/b:9"]) == [(7, 5), (0, 0)]


def test_a_file_in_the_place_of_a_directory_deletes_what_was_in_it() -> None:
    assert hidden(["d/", "d/a:5"], ["d:1"]) == [(0, 5), (0, 0)]


def test_a_directory_in_the_place_of_a_file_overwrites_it() -> None:
    assert hidden(["a:5"], ["a/"]) == [(5, 0), (0, 0)]
    assert hidden(["a:5"], ["a/b:1"]) == [(5, 0), (0, 0)]


def test_a_file_with_two_names_counts_once() -> None:
    assert counted(["a:5", "b:5"]) == [LayerFiles(1, 5, 0, 0, 0, 0)]
    assert counted(["a:5", "b:5"], ["-a", "-b"])[0] == LayerFiles(1, 5, 0, 0, 1, 5)


def test_a_file_is_hidden_only_if_all_its_names_are() -> None:
    assert hidden(["a:5", "b:5"], ["-a"])[0] == (0, 0)
    assert hidden(["a:5", "b:5"], ["-b"])[0] == (0, 0)
    assert hidden(["a:5", "b:5"], ["a:7"])[0] == (0, 0)
    assert hidden(["a:5", "b:5"], ["b:7"])[0] == (0, 0)


def test_a_file_one_name_of_which_is_replaced_is_overwritten() -> None:
    assert hidden(["a:5", "b:5"], ["-a", "b:7"])[0] == (5, 0)


def test_a_hard_link_of_a_layer_above_keeps_a_file_and_brings_nothing() -> None:
    kept = [LayerFiles(1, 5, 0, 0, 0, 0), LayerFiles(0, 0, 0, 0, 0, 0)]
    assert counted(["a:5"], ["l=a"]) == kept
    assert counted(["a:5"], ["l=a"], ["-a"])[:2] == kept
    assert counted(["a:5"], ["b=a"], ["a:7"])[:2] == kept


def test_a_file_goes_when_that_hard_link_goes_too() -> None:
    assert hidden(["a:5"], ["l=a"], ["-a", "-l"])[0] == (0, 5)


def test_all_files_are_gone_through_twice_and_no_more() -> None:
    read = 0

    class Counting(Listed):
        def entries(self, start: bytes = b"") -> Iterator[FileEntry]:
            nonlocal read
            for one in super().entries(start):
                read += 1
                yield one

    layers = [Counting(layer(*(f"{n}" for n in range(1000))).entries()) for _ in range(3)]
    files_of_layers(layers)

    assert read <= 2 * 3000 + 10


@settings(deadline=None, max_examples=400)
@given(st.lists(any_layer(), max_size=4), st.randoms(use_true_random=False))
def test_it_is_what_a_look_at_every_name_of_every_file_finds(
    drawn: list[Listed], random: Random
) -> None:
    layers = [_with_links(contents, random) for contents in drawn]
    plain = Plain()
    for number, contents in enumerate(layers):
        plain.apply(number, contents)
        if not is_whole(plain.files.values()):
            return  # a hard link that leads to nothing: such an image is refused
    visible = {(one.layer, one.entry.inode) for one in plain.files.values()}

    assert files_of_layers(layers) == [
        _plainly(number, contents, visible, plain) for number, contents in enumerate(layers)
    ]


def _with_links(contents: Listed, random: Random) -> Listed:
    """The layer with sizes, and with some files that have several names."""
    entries = list(contents.entries())
    inodes = [one.inode for one in entries if one.kind == FILE]
    return Listed(
        _sized(one, random.choice(inodes)) if one.kind == FILE else one for one in entries
    )


def _sized(file: FileEntry, inode: int) -> FileEntry:
    return file._replace(inode=inode, size=inode % 97)


def _plainly(
    number: int, contents: Listed, visible: set[tuple[int, int]], image: Plain
) -> LayerFiles:
    names: dict[int, list[bytes]] = {}
    for one in contents.entries():
        if one.kind == FILE:
            names.setdefault(one.inode, []).append(one.name)
    gone = {inode for inode in names if (number, inode) not in visible}
    over = {inode for inode in gone if any(name in image.files for name in names[inode])}
    counts = [
        count
        for group in (names, over, gone - over)
        for count in (len(group), sum(inode % 97 for inode in group))
    ]
    return LayerFiles(*counts)
