"""What each layer of an image brings, and what of it is hidden: `Store.layers`, tree --layers, and
the report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore import LayerUse, NotFound, Store
from casstore.store import reportedlayers
from tests.look.looking import LAYERS, NAME, PASSWD, Command, command_on, store_with
from tests.look.randomimages import HARD_LINK, Layers, Member

MORE: Layers = [*LAYERS, [Member(b"usr/bin/.wh.sh"), Member(b"etc/.wh.passwd")]]
LONGER = len(PASSWD) + 21  # bytes of the second layer's passwd
ELF = len(b"\x7fELF shell")


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store.in_memory() if request.param == "memory" else Store(tmp_path / "a store") as store:
        yield store_with((NAME, LAYERS), ("more:1", MORE), store=store)


def counts(uses: list[LayerUse]) -> list[tuple[int, int, int, int]]:
    """Files, their bytes, and the bytes overwritten and deleted, of each layer."""
    return [(use.files, use.size, use.overwritten, use.deleted) for use in uses]


# Store.layers


def test_a_layer_has_the_bytes_that_a_layer_above_overwrites_or_deletes(store: Store) -> None:
    lowest, upper = store.layers(NAME)

    assert counts([lowest, upper]) == [
        (3, ELF + 4 + len(PASSWD), len(PASSWD), 4),
        (2, LONGER + 3, 0, 0),
    ]
    assert (lowest.overwritten_files, lowest.deleted_files) == (1, 1)
    assert lowest.hidden == len(PASSWD) + 4
    with store.files(NAME) as files:
        assert (lowest.digest, upper.digest) == files.layers


def test_what_is_hidden_of_a_layer_depends_on_the_image(store: Store) -> None:
    here, there = store.layers(NAME), store.layers("more:1")

    assert [use.digest for use in here] == [use.digest for use in there[:2]]
    # usr/bin/ash is still there, which is the same file as usr/bin/sh; passwd is not
    assert counts(there) == [
        (3, ELF + 4 + len(PASSWD), 0, 4 + len(PASSWD)), (2, LONGER + 3, 0, LONGER), (0, 0, 0, 0),
    ]  # fmt: skip


def test_a_layer_by_itself_hides_nothing(store: Store) -> None:
    (use,) = store.layers(store.layers(NAME)[0].digest)

    assert (use.hidden, use.created_by) == (0, "")


def test_a_hard_link_to_a_lower_layer_keeps_what_it_links_to() -> None:
    linked: Layers = [
        [Member(b"a", content=b"12345")],
        [Member(b"l", HARD_LINK, target=b"a")],
        [Member(b".wh.a")],
    ]
    store = store_with(("linked:1", linked))

    assert counts(store.layers("linked:1")) == [(1, 5, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)]


def test_layers_of_an_image_that_is_not_there_are_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        store.layers("gone")


# tree --layers


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    return command_on(store_with((NAME, LAYERS), ("more:1", MORE)), capfdbinary)


def test_layers_are_lines_from_the_bottom_and_a_sum(run: Command) -> None:
    status, out, err = run("tree", "--layers", NAME)
    header, lowest, upper, total = out.splitlines()

    assert (status, err) == (0, "")
    assert header.split() == [
        "LAYER", "DIGEST", "FILES", "SIZE", "OVERWRITTEN", "DELETED", "CREATED", "BY",
    ]  # fmt: skip
    assert re.fullmatch(r"1 +[0-9a-f]{12} +3 +40 B +26 B +4 B", lowest)
    assert re.fullmatch(r"2 +[0-9a-f]{12} +2 +50 B +0 B +0 B", upper)
    assert total == "5 files, 90 B; hidden 30 B; efficiency 66.6%"


def test_layers_in_json_are_an_object_a_line(run: Command) -> None:
    lines = run("tree", "--layers", "--format", "json", NAME).out.splitlines()
    lowest, upper = map(json.loads, lines)

    assert {key: value for key, value in lowest.items() if key != "Digest"} == {
        "CreatedBy": "", "DeletedBytes": 4, "DeletedFiles": 1, "Files": 3, "Image": NAME,
        "Layer": 1, "OverwrittenBytes": 26, "OverwrittenFiles": 1, "SizeBytes": 40,
    }  # fmt: skip
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", upper["Digest"])


def test_several_images_have_their_names_before_them(run: Command) -> None:
    status, out, err = run("tree", "--layers", NAME, "gone", "more:1")
    first, second = out.split("\n\n")

    assert (first.splitlines()[0], second.splitlines()[0]) == (NAME, "more:1")
    assert (status, err) == (1, "Error: No such image: gone:latest\n")


@pytest.mark.parametrize("words", [("--layers",), (NAME,)])
def test_images_and_the_option_go_together(run: Command, words: tuple[str, ...]) -> None:
    status, out, err = run("tree", *words)

    assert (status, out) == (2, "")
    assert err.splitlines()[1] == "See 'casstore tree --help'."


# report


def reported(store: Store, folder: Path, *, files: bool = False) -> dict[str, Any]:
    """What the page has of each image's layers, by its name."""
    store.report(folder / "page.html", files=files)
    page = (folder / "page.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script', page, re.DOTALL)
    assert found is not None
    return {image["names"][0]: image["layers"] for image in json.loads(found[1])["images"]}


def tables(store: Store) -> int:
    return len(list(store.session.backend.contents.walk()))


def test_a_report_reads_no_layer(store: Store, tmp_path: Path) -> None:
    assert reported(store, tmp_path) == {NAME: None, "more:1": None}
    assert tables(store) == 0


def test_a_report_shows_what_somebody_has_found_in_the_layers(store: Store, tmp_path: Path) -> None:
    store.layers(NAME)
    shown = reported(store, tmp_path)

    assert [row[1:] for row in shown[NAME]] == [[40, 26, 4], [50, 0, 0]]
    assert shown["more:1"] is None  # nobody has looked into its third layer


def test_a_report_with_files_reads_the_layers(store: Store, tmp_path: Path) -> None:
    shown = reported(store, tmp_path, files=True)

    assert [row[1:] for row in shown[NAME]] == [[40, 26, 4], [50, 0, 0]]
    assert [row[1:] for row in shown["more:1"]] == [[40, 0, 30], [50, 0, 47], [0, 0, 0]]
    assert tables(store) == 3
    assert reported(store, tmp_path) == shown


def test_a_layer_that_stands_twice_in_an_image_is_shown_once(tmp_path: Path) -> None:
    layer = [Member(b"a", content=b"12345")]
    store = store_with(("twice:1", [layer, [Member(b".wh.a")], layer]))

    assert [row[1:] for row in reported(store, tmp_path, files=True)["twice:1"]] == [
        [10, 5, 0], [0, 0, 0],
    ]  # fmt: skip


def test_a_report_goes_through_so_many_entries_and_no_more(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported(store, tmp_path, files=True)
    monkeypatch.setattr(reportedlayers, "MOST_ENTRIES", 15)  # one image's, not both

    assert sum(layers is None for layers in reported(store, tmp_path).values()) == 1


def test_a_report_with_files_tells_what_it_cannot_look_into(tmp_path: Path) -> None:
    broken: Layers = [[Member(b"l", HARD_LINK, target=b"gone")]]
    store = store_with((NAME, LAYERS), ("broken:1", broken))
    shown = reported(store, tmp_path, files=True)

    assert shown["broken:1"] is None
    assert shown[NAME] is not None
    assert [notice.split(":")[0] for notice in store.notices] == ["cannot look into broken"]
