"""index.json: a splice and a whole write give the same bytes."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casstore.backends.local import published as layoutfile
from casstore.backends.local.published import LayoutFile
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
