"""What fsck --repair mends, in the words of its result, and what it leaves alone."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from casstore.files import rights
from casstore.model.digest import Digest, sha256
from casstore.store import Store
from tests.backends.local.behind import directory_of, view_of
from tests.transfer.building import Layout, config_of, docker_archive, layer

ARCHIVE = docker_archive(
    *({"layers": [layer("base"), layer(name)], "tags": [f"{name}:1"]} for name in "abcd")
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        store.load(io.BytesIO(ARCHIVE))
        yield store


def edit(store: Store, sql: str, *values: object) -> None:
    """Change the index behind casstore's back."""
    view_of(store).connection.execute(sql, values)


def path_of(store: Store, digest: str) -> Path:
    return Path(directory_of(store).blobs.path(Digest(digest)))


def overwritten(store: Store, digest: str, *, mode: int = 0o444) -> None:
    path = path_of(store, digest)
    path.chmod(0o644)
    path.write_bytes(b"\0" * path.stat().st_size)
    path.chmod(mode)


def manifest(store: Store, name: str) -> Digest:
    (top,) = view_of(store).tops_of(store.get(name).id)
    return top.digest


def codes(store: Store) -> list[str]:
    return [finding.code for finding in store.check().findings]


def asides(store: Store) -> list[Path]:
    """Databases that gave way to another."""
    return list(Path(store.path).glob("casstore.db.damaged-*"))


def test_wrong_counts_are_corrected_and_told_with_their_number(store: Store) -> None:
    edit(store, "UPDATE blob SET refcount = 7 WHERE id IN (1, 2, 3)")

    assert store.check(repair=True).repaired == ("3 reference counts corrected",)
    assert codes(store) == []


def test_a_blob_that_can_be_written_to_is_made_read_only(store: Store) -> None:
    image = store.get("a:1").id
    path_of(store, image).chmod(0o644)

    assert store.check(repair=True).repaired == (f"{image} made read-only",)
    assert path_of(store, image).stat().st_mode & 0o777 == 0o444


def test_a_mode_that_cannot_be_changed_is_not_told_as_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path_of(store, store.get("a:1").id).chmod(0o644)

    def refuse(_: str) -> bool:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(rights, "protect", refuse)

    assert store.check(repair=True).repaired == ()
    assert codes(store) == ["blob-mode"]


@pytest.mark.parametrize("mode", [0o444, 0o644])
def test_a_corrupt_blob_is_put_aside_as_it_is_durably(
    store: Store, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    image = store.get("a:1").id
    overwritten(store, image, mode=mode)
    bad = path_of(store, image).read_bytes()
    flushed: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    (line,) = store.check(repair=True).repaired

    assert line == f"{image} moved to quarantine/: load its image again"
    (kept,) = Path(store.path, "quarantine").iterdir()
    assert kept.name.startswith(image.hex) and kept.read_bytes() == bad
    at = flushed.index(str(kept.parent))
    assert store.path in flushed[:at]  # the directory's own name, which the file depends on
    assert codes(store) == ["blob-missing"]


def test_what_is_kept_aside_and_can_be_read_by_now_is_taken_in(store: Store) -> None:
    unread = Path(store.path, "index.json.foreign-0")
    unread.write_bytes(b"{")
    layout = Layout()
    layout.publish(layout.image("new"), "new:1")
    layout.publish(layout.image("taken"), "a:1")
    for name, data in layout.all_files().items():
        if name.startswith("blobs/"):
            Path(store.path, name).write_bytes(data)
    listed = Path(store.path, "index.json.foreign-1")
    listed.write_bytes(layout.all_files()["index.json"])
    image = store.get("a:1").id
    taken = sha256(config_of(layer("taken")))

    repaired = store.check(repair=True).repaired

    assert repaired == (
        f"new:1 taken into the store from {listed.name}",
        f"{taken.short} taken into the store from {listed.name}",
        f"{listed.name} removed: all that it lists is in the store",
    )
    assert not listed.exists() and unread.exists()
    assert store.get("a:1").id == image


def test_a_database_that_says_other_than_the_blobs_is_not_made_anew_from_bad_ones(
    store: Store,
) -> None:
    edit(store, "DELETE FROM edge WHERE parent = (SELECT min(parent) FROM edge)")
    path_of(store, store.get("d:1").id).unlink()

    store.check(repair=True)

    assert asides(store) == []
    assert {"blob-missing", "edge-missing"} <= set(codes(store))


def test_a_name_whose_manifest_its_image_has_lost_holds_it_again(store: Store) -> None:
    ids = {name: store.get(f"{name}:1").id for name in "abcd"}
    edit(store, "DELETE FROM holding")
    first = manifest_of_name(store, "a:1")
    overwritten(store, first)  # cannot be read
    move_name(store, "b:1", manifest_of_name(store, "c:1"))  # is another image's
    move_name(store, "c:1", ids["c"])  # is no manifest

    with store.session.change() as change:
        change.publish(anew=True)  # index.json has none of these names either

    repaired = store.check(repair=True).repaired

    assert [line for line in repaired if "held" in line] == ["d:1 is held by its image again"]
    assert view_of(store).tops_of(ids["d"])


def manifest_of_name(store: Store, name: str) -> Digest:
    top = "SELECT digest FROM blob WHERE id = (SELECT manifest FROM reference WHERE name = ?)"
    full = f"docker.io/library/{name}"
    return Digest.of_bytes(view_of(store).connection.execute(top, (full,)).fetchone()[0])


def move_name(store: Store, name: str, to: Digest) -> None:
    edit(
        store,
        "UPDATE reference SET manifest = (SELECT id FROM blob WHERE digest = ?) WHERE name = ?",
        to.raw, f"docker.io/library/{name}",
    )  # fmt: skip
