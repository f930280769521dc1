"""An index.json that another tool wrote into the store: nothing that it added is lost."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casstore.backends.local.admission import Admission
from casstore.backends.local.care import adoption
from casstore.backends.local.edits import LocalEdits
from casstore.errors import Damaged, StorageError
from casstore.model.digest import Digest, sha256
from casstore.model.record import ImageRecord
from casstore.store import Store
from tests.backends.local.behind import directory_of, view_of
from tests.transfer.building import Layout, config_of, docker_archive, layer

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


def test_a_list_with_nothing_new_in_another_form_is_no_news(store: Store) -> None:
    rewrite(store)
    store.gc()

    assert store.notices == []
    assert names(store) == ["a:1", "a:2"]


def test_nobody_has_tagged_a_name_that_came_with_another_tool(store: Store) -> None:
    rewrite(store, foreign_image(store, "new", name="new:1"))
    store.gc()

    assert not view_of(store).last_tagged(store.get("new:1").id)


def test_what_another_tool_wrote_is_on_the_disk_before_the_index_names_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(os.listdir(directory_of(store).blobs.directory))
    rewrite(store, foreign_image(store, "new", name="new:1"))
    new = set(os.listdir(directory_of(store).blobs.directory)) - before
    order: list[str] = []
    fsync, admit = os.fsync, Admission.admit

    def note(descriptor: int) -> None:
        order.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def admitted(edits: LocalEdits, image: ImageRecord) -> None:
        order.append("admitted")
        admit(edits, image)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(LocalEdits, "admit", admitted, raising=False)
    store.gc()

    flushed = order[: order.index("admitted")]
    assert len(new) == 3 and new <= set(flushed)
    assert flushed[-1] == "sha256"  # the directory, where their names are


def artifact(
    store: Store, leaf: bytes, stored: bytes, name: str, **claims: object
) -> dict[str, Any]:
    """An artifact of one blob, put into the store by another tool; and what the blob has in it."""
    layout = Layout()
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    descriptor = layout.blob(leaf, "application/vnd.example.thing") | claims
    top = layout.manifest(empty, [descriptor])
    layout.files[f"blobs/sha256/{descriptor['digest'][7:]}"] = stored
    for path, data in layout.files.items():
        if path.startswith("blobs/"):
            (Path(store.path) / path).write_bytes(data)
    return {**top, "annotations": {"org.opencontainers.image.ref.name": name}}


def test_every_byte_of_an_artifact_is_read_before_it_is_taken_in(store: Store) -> None:
    leaf = bytes(range(256)) * 5000  # more than is read at a time
    good = artifact(store, leaf, leaf, "good:1")
    bad = artifact(store, leaf + b"a", leaf + b"b", "bad:1")
    long = artifact(store, leaf, leaf, "long:1", size=len(leaf) + 1)
    rewrite(store, good, bad, long)
    store.tag("a:1", "b:1")

    assert names(store) == ["a:1", "a:2", "b:1", "good:1"]
    (kept,) = Path(store.path).glob("index.json.foreign-*")
    assert json.loads(kept.read_text())["manifests"] == [bad, long]


def test_a_known_layer_that_is_damaged_by_now_is_no_part_of_a_new_image(store: Store) -> None:
    rewrite(store, foreign_image(store, "shared", "one", name="one:1"))
    store.gc()
    second = foreign_image(store, "shared", "two", name="two:1")
    rewrite(store, second)
    shared = sha256(gzip.compress(layer("shared"), mtime=0))
    path = Path(directory_of(store).blobs.path(shared))
    path.chmod(0o644)
    os.truncate(path, 10)
    store.tag("a:1", "b:1")

    assert names(store) == ["a:1", "a:2", "b:1", "one:1"]
    assert len(list(Path(store.path).glob("index.json.foreign-*"))) == 1


def with_parent(descriptor: dict[str, Any], parent: str) -> dict[str, Any]:
    annotations = {**descriptor.get("annotations", {}), "io.casstore.image.parent": parent}
    return {**descriptor, "annotations": annotations}


def id_of(store: Store, *layers: str) -> Digest:
    """The ID of the image that `foreign_image` makes of these layers."""
    return sha256(config_of(*map(layer, layers)))


def test_a_new_image_has_the_parent_that_it_came_with_wherever_that_is_listed(
    store: Store,
) -> None:
    child, parent = id_of(store, "one", "two"), id_of(store, "one")
    known = store.get("a:1").id
    rewrite(
        store,
        with_parent(foreign_image(store, "one", "two", name="child:1"), parent),
        with_parent(foreign_image(store, "one"), known),
        with_parent(foreign_image(store, "else", name="else:1"), "sha256:" + "0" * 64),
    )
    store.tag("a:1", "b:1")

    view = view_of(store)
    assert (view.parent_of(child), view.parent_of(parent)) == (parent, known)
    assert view.parent_of(store.get("else:1").id) is None
    assert store.check().clean


def test_parents_that_lead_in_a_circle_are_linked_as_far_as_they_do_not(store: Store) -> None:
    first, second, third = (id_of(store, text) for text in ("one", "two", "three"))
    rewrite(
        store,
        with_parent(foreign_image(store, "one"), second),
        with_parent(foreign_image(store, "two"), third),
        with_parent(foreign_image(store, "three"), first),
    )
    store.tag("a:1", "b:1")

    view = view_of(store)
    assert [view.parent_of(one) for one in (first, second, third)] == [second, third, None]


def test_an_image_that_is_known_keeps_its_parent_whatever_another_tool_says(store: Store) -> None:
    rewrite(store, foreign_image(store, "one", name="one:1"))
    store.gc()
    image = store.get("a:1").id
    index = json.loads(Path(directory_of(store).layout.path).read_bytes())
    listed = with_parent(index["manifests"][-1], image)
    listed["annotations"]["org.opencontainers.image.ref.name"] = "uno:1"
    index["manifests"].append(listed)
    Path(directory_of(store).layout.path).write_text(json.dumps(index))
    store.tag("a:1", "b:1")

    assert store.get("uno:1").id == store.get("one:1").id
    assert view_of(store).parent_of(store.get("one:1").id) is None


def test_an_index_json_that_the_disk_does_not_give_stops_every_change(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(store, foreign_image(store, "new", name="new:1"))

    def fail(_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(adoption, "read_file", fail)

    with pytest.raises(StorageError, match=r"cannot read index\.json: input/output error; nothing"):
        store.tag("a:1", "b:1")
    assert names(store) == ["a:1", "a:2"]
    monkeypatch.undo()
    store.gc()
    assert names(store) == ["a:1", "a:2", "new:1"]


def test_where_the_rest_cannot_be_kept_aside_nothing_is_taken_in(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    good = foreign_image(store, "good", name="good:1")
    rewrite(store, good, spoilt(store))
    monkeypatch.setattr(adoption, "keep_aside", full)
    with pytest.raises(StorageError, match=r"cannot take in what is in index\.json: no space"):
        store.tag("a:1", "b:1")

    assert names(store) == ["a:1", "a:2"]
    monkeypatch.undo()
    store.tag("a:1", "b:1")
    assert names(store) == ["a:1", "a:2", "b:1", "good:1"]


# An index.json of our own form, changed by hand


def test_a_repair_takes_in_what_is_new_in_it_and_moves_no_name(store: Store) -> None:
    store.load(io.BytesIO(docker_archive({"layers": [layer("b")], "tags": ["b:1"]})))
    path = Path(directory_of(store).layout.path)
    good = path.read_bytes()
    swapped = good.replace(b"a:1", b"!").replace(b"b:1", b"a:1").replace(b"!", b"b:1")
    path.write_bytes(swapped)
    images = [store.get(name).id for name in ("a:1", "b:1")]

    assert store.check(repair=True).repaired == ("index.json written again",)

    assert path.read_bytes() == good
    assert [store.get(name).id for name in ("a:1", "b:1")] == images


def with_record(store: Store, descriptor: dict[str, Any]) -> None:
    """Add a record to index.json, in our own form."""
    path = Path(directory_of(store).layout.path)
    head, separator, tail = path.read_bytes().partition(b"\n],")
    path.write_bytes(head + b",\n" + json.dumps(descriptor).encode() + separator + tail)


def test_a_repair_tells_what_it_took_in_from_a_changed_list_and_what_it_could_not(
    store: Store,
) -> None:
    with_record(store, foreign_image(store, "new", name="new:1"))
    with_record(store, spoilt(store))

    repaired = store.check(repair=True).repaired

    (kept,) = Path(store.path).glob("index.json.foreign-*")
    assert repaired[:2] == (
        "index.json written again",
        "new:1 taken into the store from index.json",
    )
    assert repaired[2].startswith("what cannot be used (sha256:")
    assert repaired[2].endswith(f"is kept as {kept.name}")
    assert names(store) == ["a:1", "a:2", "new:1"]


def test_a_repair_keeps_a_list_that_cannot_be_parsed_aside(store: Store) -> None:
    path = Path(directory_of(store).layout.path)
    good = path.read_bytes()
    bad = good.replace(b'"digest"', b'"dig\xffst"', 1)
    path.write_bytes(bad)

    (line,) = store.check(repair=True).repaired

    (kept,) = Path(store.path).glob("index.json.foreign-*")
    assert line.startswith("index.json written again; what was there (")
    assert line.endswith(f"is kept as {kept.name}")
    assert (path.read_bytes(), kept.read_bytes()) == (good, bad)


def test_a_repair_leaves_a_list_alone_that_is_published_on_demand(store: Store) -> None:
    store.publish(on_demand=True)
    store.tag("a:1", "b:1")

    assert store.check(repair=True).repaired == ()
    assert directory_of(store).layout.is_withdrawn()


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
    taken, told = store.notices
    assert taken == "another tool wrote index.json: good:1 taken into the store"
    assert "is corrupt" in told or bad["digest"] in told
    assert f"it is kept as {kept.name}, and gc removes no blob" in told
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
    new = foreign_image(store, "new", name="new:1")
    rewrite(store, new)

    (found,) = (finding for finding in store.check().findings if finding.object == "index.json")
    assert (found.level, found.code) == ("warn", "index-foreign")
    assert found.text == f"another tool wrote it; the next change takes in {new['digest']}"


def test_fsck_calls_a_list_of_another_form_bad_where_it_has_nothing_new(store: Store) -> None:
    rewrite(store)

    (found,) = store.check().findings
    assert (found.level, found.code) == ("error", "index-bad")
    assert found.text == "not as casstore wrote it; the next change writes it again"


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
