"""fsck in a store that is in use: as clean as in one at rest, whatever goes while it looks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from casstore.backends.local.blobs import BlobDirectory
from casstore.backends.local.care import fsck
from casstore.backends.local.care.checks import Problem, blob_problem
from casstore.backends.local.care.fsck import _Check
from casstore.model.state import BlobState
from casstore.store import Store
from tests.backends.local.behind import directory_of
from tests.store.olderstores import make_older
from tests.transfer.building import Layout, docker_archive, layer

LARGE = os.urandom(fsck.SMALL + 1).hex()  # is read by the threads, side by side


def filled(path: Path) -> Store:
    store = Store(str(path))
    images = [{"layers": [layer("base"), layer(f"own {n}")], "tags": [f"a:{n}"]} for n in range(4)]
    store.load(io.BytesIO(docker_archive(*images)))
    store.load(io.BytesIO(docker_archive({"layers": [layer(LARGE)], "tags": ["large:1"]})))
    layout = Layout()
    layout.publish(layout.index(layout.image("one"), layout.image("two")), "index:1")
    store.load(layout.tar())
    store.import_image(io.BytesIO(layer("child")), "child:1", parent="a:1")
    store.remove(["a:3"], keep=3600.0)  # into the trash
    return store


def removing_all(store: Store) -> None:
    store.trash.empty()
    store.remove(["child:1", "large:1", "index:1", "a:0", "a:1", "a:2"])


def removing_by_prune(store: Store) -> None:
    store.prune(all=True, filters=["until=1s"])
    store.prune(all=True)


def replacing(store: Store) -> None:
    removing_all(store)
    store.load(io.BytesIO(docker_archive({"layers": [layer("base")], "tags": ["a:1"]})))


def collecting(store: Store) -> None:
    removing_all(store)
    store.gc(empty_trash=True)


def loading(store: Store) -> None:
    store.load(io.BytesIO(docker_archive({"layers": [layer("late")], "tags": ["late:1"]})))


@pytest.mark.parametrize(
    "meanwhile", [removing_all, removing_by_prune, replacing, collecting, loading]
)
@pytest.mark.parametrize("after", ["_open", "_database", "_files", "_trees", "_directory"])
def test_what_goes_or_comes_while_fsck_looks_is_no_finding(
    after: str,
    meanwhile: Callable[[Store], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with filled(tmp_path / "store") as store, Store(str(tmp_path / "store")) as other:
        step = getattr(_Check, after)
        done = False

        def and_meanwhile(check: _Check, *args: object, **options: object) -> None:
            nonlocal done
            step(check, *args, **options)
            if after == "_open":
                check._view.stored_bytes()  # from here on it has its snapshot
            if not done:
                done = True
                meanwhile(other)

        monkeypatch.setattr(_Check, after, and_meanwhile)

        assert store.check().findings == ()
        assert done


def test_a_blob_that_goes_between_the_second_look_at_the_index_and_at_the_file_is_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(tmp_path / "store") as store, Store(str(tmp_path / "store")) as other:
        images = iter(["large:1", "index:1", "a:2"])

        def too_late(blobs: BlobDirectory, state: BlobState, *, content: bool) -> Problem | None:
            other.remove([image for image in [next(images, None)] if image])
            return blob_problem(blobs, state, content=content)

        monkeypatch.setattr(fsck, "blob_problem", too_late)
        monkeypatch.setattr(fsck, "is_right", lambda *_: False)
        monkeypatch.setattr(fsck, "shape_problem", lambda *_: ("blob-missing", "so it seems"))

        assert store.check(content=False).findings == ()


@pytest.mark.parametrize("content", [True, False])
def test_what_is_missing_for_good_is_found_beside_writers_too(
    tmp_path: Path, *, content: bool
) -> None:
    with filled(tmp_path / "store") as store:
        gone = store.get("large:1").id
        os.unlink(directory_of(store).blobs.path(gone))

        found = [(f.code, f.object) for f in store.check(content=content).findings]

    assert found == [("blob-missing", gone)]


WRITER = """
import io, sys, time
from casstore.store import Store
from tests.transfer.building import docker_archive, layer
who, end = sys.argv[2], time.monotonic() + float(sys.argv[3])
turn = 0
with Store(sys.argv[1]) as store:
    while time.monotonic() < end:
        turn += 1
        texts = [f"{who} {turn % 3} {n}" for n in range(3)]
        images = [{"layers": [layer("base"), layer(t)], "tags": [f"{who}:{n}"]}
                  for n, t in enumerate(texts)]
        store.load(io.BytesIO(docker_archive(*images)))
        if turn % 4 == 0:
            store.prune(all=True, filters=[f"reference={who}"])
        elif turn % 4 == 1:
            store.remove([f"{who}:0", f"{who}:1", f"{who}:2"], keep=3600.0)
            store.trash.empty()
        else:
            store.remove([f"{who}:0", f"{who}:1", f"{who}:2"])
        if turn % 5 == 0:
            store.gc()
"""


def test_fsck_beside_several_writers_finds_nothing_ever(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store(str(root)) as store:
        store.load(io.BytesIO(docker_archive({"layers": [layer("base")], "tags": ["base:1"]})))
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))}
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(root), who, "4"], env=env)
            for who in ("one", "two", "three")
        ]
        found: list[object] = []
        looks = 0
        while any(writer.poll() is None for writer in writers):
            found += [f for f in store.check().findings if f.level != "note"]
            looks += 1

    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert (found, looks > 0) == ([], True)


def without_database(root: Path) -> None:
    for path in root.glob("casstore.db*"):
        path.unlink()


def of_an_older_version(root: Path) -> None:
    with Store(str(root)) as store:
        store.trash.empty()
        make_older(store)


@pytest.mark.parametrize("made", [without_database, of_an_older_version, None])
def test_an_iterator_goes_on_while_a_change_is_made_on_the_same_store(
    made: Callable[[Path], None] | None, tmp_path: Path
) -> None:
    filled(tmp_path / "store").close()
    if made is not None:
        made(tmp_path / "store")
    with Store(str(tmp_path / "store")) as store:
        images = store.each_image()
        first = next(images)
        store.tag("a:1", "b:1")
        store.leases.hold("a:1").release()

        assert len([first, *images]) == 6
