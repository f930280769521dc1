"""An index.json that another tool wrote into the store: nothing that it added is lost."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Damaged
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.transfer.building import Layout, docker_archive, layer

ARCHIVE = docker_archive({"layers": [layer("a")], "tags": ["a:1", "a:2"]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def names(store: Store) -> list[str]:
    return sorted(name.familiar for image in store.images(all=True) for name in image.names)


def rewrite(store: Store, *more: dict[str, Any], without: str = "") -> None:
    """Rewrite index.json as other tools do: the same records in another form, and some more."""
    path = Path(directory_of(store).layout.path)
    index = json.loads(path.read_text())
    if without:
        index["manifests"] = [m for m in index["manifests"] if without not in str(m)]
    index["manifests"] += more
    path.write_text(json.dumps(index))


def foreign_image(store: Store, *layers: str, name: str | None = None) -> dict[str, Any]:
    """Put an image's blobs into the store as another tool does; returns its descriptor."""
    layout = Layout()
    descriptor = layout.image(*layers)
    for path, data in layout.files.items():
        target = Path(store.path) / path
        if path.startswith("blobs/") and not target.exists():
            target.write_bytes(data)
            target.chmod(0o644)
    annotations = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
    return {**descriptor, **annotations}


def test_an_image_that_another_tool_added_is_in_the_store_after_the_next_change(
    store: Store,
) -> None:
    rewrite(store, foreign_image(store, "new", name="new:1"))
    store.gc()

    assert names(store) == ["a:1", "a:2", "new:1"]
    assert store.check().findings == ()
    store.save(["new:1"], io.BytesIO())
    assert "new:1" in store.notices[0]


def test_a_bare_word_is_a_repository(store: Store) -> None:
    rewrite(store, foreign_image(store, "new", name="web"))
    store.gc()

    assert names(store) == ["a:1", "a:2", "web:latest"]


def written(store: Store) -> list[str]:
    """What index.json calls its images, for other tools."""
    index = json.loads((Path(store.path) / "index.json").read_bytes())
    key = "org.opencontainers.image.ref.name"
    return [entry["annotations"][key] for entry in index["manifests"] if "annotations" in entry]


def test_the_tool_that_wrote_a_name_finds_it_again(store: Store) -> None:
    rewrite(store, foreign_image(store, "new", name="web"))
    store.tag("a:1", "a:3")

    assert written(store) == ["a:1", "a:2", "web", "a:3"]
    assert store.check().findings == ()
    os.unlink(f"{store.path}/casstore.db")
    store = Store(store.path)
    store.tag("a:1", "a:4")
    assert names(store) == ["a:1", "a:2", "a:3", "a:4", "web:latest"]
    assert written(store) == ["a:1", "a:2", "web", "a:3", "a:4"]
    assert store.check().findings == ()


def test_a_name_that_we_give_anew_is_written_in_our_form(store: Store) -> None:
    rewrite(store, foreign_image(store, "new", name="web"))
    store.tag("web", "kept:1")
    store.tag("a:1", "web")

    assert written(store) == ["a:1", "a:2", "kept:1", "web:latest"]
    store.remove(["web"])
    store.tag("kept:1", "web")
    assert written(store)[-1] == "web:latest"
    assert store.check().findings == ()


def test_a_name_that_is_not_valid_is_told(store: Store) -> None:
    rewrite(store, foreign_image(store, "new", name="No/Name:1"))
    store.gc()

    assert names(store) == ["a:1", "a:2"]
    assert '(without the name "No/Name:1", which is not valid)' in store.notices[0]


def test_an_image_without_a_name_is_kept_too(store: Store) -> None:
    rewrite(store, foreign_image(store, "new"))
    store.gc()

    assert len(store.images(all=True)) == 2
    assert store.check().findings == ()


def test_a_removal_comes_after_what_it_shares_was_taken_in(store: Store) -> None:
    first = foreign_image(store, "shared", "one", name="one:1")
    rewrite(store, first)
    store.gc()
    rewrite(store, foreign_image(store, "shared", "two", name="two:1"))
    store.remove(["one:1"])

    assert names(store) == ["a:1", "a:2", "two:1"]
    assert store.check().clean


def test_a_name_that_another_tool_moved_is_moved(store: Store) -> None:
    rewrite(store, foreign_image(store, "new", name="a:1"), without='a:1"')
    image = store.get("a:2").id
    store.gc()

    assert names(store) == ["a:1", "a:2"]
    assert store.get("a:1").id != image


def test_a_name_that_we_changed_meanwhile_is_not_moved_back(store: Store) -> None:
    path = Path(directory_of(store).layout.path)
    old = path.read_text()
    store.load(io.BytesIO(docker_archive({"layers": [layer("b")], "tags": ["a:1"]})))
    image = store.get("a:1").id
    path.write_text(json.dumps(json.loads(old)))
    store.gc()

    assert store.get("a:1").id == image


def test_what_another_tool_left_out_comes_back(store: Store) -> None:
    rewrite(store, without="a:2")
    store.gc()

    assert names(store) == ["a:1", "a:2"]
    assert "a:2" in Path(directory_of(store).layout.path).read_text()


def spoilt(store: Store) -> dict[str, Any]:
    bad = foreign_image(store, "bad", name="bad:1")
    Path(directory_of(store).blobs.directory, bad["digest"][7:]).write_bytes(b"{}")
    return bad


def test_what_cannot_be_taken_in_is_kept_aside_and_stops_the_sweep(store: Store) -> None:
    bad, good = spoilt(store), foreign_image(store, "good", name="good:1")
    rewrite(store, bad, good)
    blobs = sorted(os.listdir(directory_of(store).blobs.directory))
    with pytest.raises(Damaged, match=r"nothing is removed while index\.json\.foreign-"):
        store.gc()

    assert names(store) == ["a:1", "a:2", "good:1"]
    assert sorted(os.listdir(directory_of(store).blobs.directory)) == blobs
    (kept,) = Path(store.path).glob("index.json.foreign-*")
    assert json.loads(kept.read_text())["manifests"] == [bad]
    assert [f.code for f in store.check().findings if f.level == "warn"] == ["index-kept"]


def test_a_repair_takes_in_what_was_kept_aside_and_is_whole_now(store: Store) -> None:
    bad = spoilt(store)
    rewrite(store, bad)
    store.tag("a:1", "b:1")
    Path(directory_of(store).blobs.directory, bad["digest"][7:]).unlink()
    foreign_image(store, "bad")
    result = store.check(repair=True)

    assert result.findings == ()
    assert names(store) == ["a:1", "a:2", "b:1", "bad:1"]
    assert not list(Path(store.path).glob("index.json.foreign-*"))
    store.gc()


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"manifests":7}', b"\xff\xfe"])
def test_an_unreadable_index_json_is_kept_aside_and_stops_the_sweep(
    store: Store, text: bytes
) -> None:
    Path(directory_of(store).layout.path).write_bytes(text)
    with pytest.raises(Damaged, match="nothing is removed"):
        store.gc()

    (kept,) = Path(store.path).glob("index.json.foreign-*")
    assert kept.read_bytes() == text
    kept.unlink()
    store.gc()
    assert store.check().findings == ()


@pytest.mark.parametrize("text", [b"", b"\0" * 512])
def test_an_empty_index_json_lists_nothing_and_stops_nothing(store: Store, text: bytes) -> None:
    Path(directory_of(store).layout.path).write_bytes(text)
    store.gc()

    assert names(store) == ["a:1", "a:2"]
    assert store.check().findings == ()


def test_adopted_blobs_are_read_only(store: Store) -> None:
    rewrite(store, foreign_image(store, "new", name="new:1"))
    store.gc()

    blobs = Path(directory_of(store).blobs.directory).iterdir()
    assert {path.stat().st_mode & 0o777 for path in blobs} == {0o444}


def test_fsck_says_that_another_tool_wrote_it(store: Store) -> None:
    rewrite(store, foreign_image(store, "new", name="new:1"))

    assert [f.code for f in store.check().findings if f.level == "warn"] == ["index-foreign"]


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_an_image_that_skopeo_copied_into_the_store_is_there(store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "b.tar"
    archive.write_bytes(docker_archive({"layers": [layer("b")], "tags": ["b:1"]}))
    subprocess.run(
        ["skopeo", "copy", "-q", f"docker-archive:{archive}", f"oci:{store.path}:copied"],
        check=True,
    )
    store.gc()

    assert names(store) == ["a:1", "a:2", "copied:latest"]
    assert store.check().findings == ()


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
def test_a_name_that_umoci_gave_in_the_store_is_there(store: Store) -> None:
    subprocess.run(["umoci", "tag", "--image", f"{store.path}:a:1", "more"], check=True)
    store.gc()

    assert names(store) == ["a:1", "a:2", "more:latest"]


def test_a_parent_that_is_no_digest_is_none_and_blocks_nothing(store: Store) -> None:
    added = foreign_image(store, "new", name="new:1")
    added["annotations"]["io.casstore.image.parent"] = "sha256:../../x"
    rewrite(store, added)
    store.tag("a:1", "c:1")

    assert names(store) == ["a:1", "a:2", "c:1", "new:1"] and store.check().clean


def test_without_a_database_a_parent_that_is_no_digest_blocks_nothing(store: Store) -> None:
    path = Path(directory_of(store).layout.path)
    index = json.loads(path.read_text())
    index["manifests"][0]["annotations"]["io.casstore.image.parent"] = "junk"
    path.write_text(json.dumps(index))
    store.close()
    os.unlink(directory_of(store).database)

    assert names(store) == ["a:1", "a:2"]
    store.check(rebuild=True)
    assert names(store) == ["a:1", "a:2"] and store.check().clean


def test_a_generation_of_thousands_of_digits_is_none_of_ours(store: Store) -> None:
    path = Path(directory_of(store).layout.path)
    index = json.loads(path.read_text())
    index["annotations"]["io.casstore.index.generation"] = "9" * 5000
    path.write_text(json.dumps(index))
    store.tag("a:1", "c:1")

    assert names(store) == ["a:1", "a:2", "c:1"] and store.check().clean
