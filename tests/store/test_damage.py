"""Damage, met by the real commands: found, named with the images it hurts, and removable."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from casstore.store import Store
from tests.transfer.building import docker_archive, layer

SHARED = layer("shared")
ARCHIVE = docker_archive(
    {"layers": [SHARED, layer("a")], "tags": ["a:1"]},
    {"layers": [SHARED, layer("b")], "tags": ["b:1"]},
)


def casstore(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casstore", "--store", str(root), *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "ab.tar").write_bytes(ARCHIVE)
    with Store(str(tmp_path / "store")) as store:
        store.load(str(tmp_path / "ab.tar"))
    return tmp_path / "store"


def blob(root: Path, name: str, what: str) -> Path:
    """The manifest of an image, its config, or the layer that both images share."""
    index = json.loads((root / "index.json").read_text())
    top: str
    (top,) = (m["digest"] for m in index["manifests"] if m["annotations"].popitem()[1][-3:] == name)
    if what != "manifest":
        manifest = json.loads((root / "blobs" / "sha256" / top[7:]).read_text())
        top = (manifest["config"] if what == "config" else manifest["layers"][0])["digest"]
    return root / "blobs" / "sha256" / top[7:]


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def emptied(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 0)


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "blob-missing": Path.unlink, "blob-corrupt": flipped, "blob-size": emptied,
    "blob-not-file": a_fifo,
}  # fmt: skip


@pytest.mark.parametrize("what", ["layer", "config", "manifest"])
@pytest.mark.parametrize("code", DAMAGES)
def test_damage_is_named_with_its_images_and_the_broken_image_can_be_removed(
    root: Path, code: str, what: str
) -> None:
    damage = DAMAGES[code]
    path = blob(root, "a:1", what)
    damage(path)
    found = casstore(root, "fsck")
    hurt = "a:1, b:1" if what == "layer" else "a:1"
    assert found.returncode == 12
    assert found.stdout.startswith(f"error {code} sha256:{path.name}: ")
    assert found.stdout.endswith(f"; needed by {hurt}\n")
    assert found.stdout.count("\n") == 1
    saved = casstore(root, "save", "a:1", "-o", str(root.parent / "out.tar"))
    assert (saved.returncode, os.path.exists(root.parent / "out.tar")) == (12, False)
    assert path.name in saved.stderr

    assert casstore(root, "rmi", *(["a:1", "b:1"] if what == "layer" else ["a:1"])).returncode == 0
    assert casstore(root, "gc").returncode == 0
    assert casstore(root, "fsck").stdout == ""


def test_a_lease_holds_while_its_command_lives_though_casstore_was_killed(root: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = ["lease", "run", "a:1", "--", sys.executable, "-c",
             "import os; print(os.getpid(), flush=True); input()"]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "casstore", "--store", str(root), *words],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        child = int(running.stdout.readline())
        running.send_signal(signal.SIGKILL)
        running.wait()
        image = casstore(root, "images", "-q", "a:1").stdout.strip()
        held = casstore(root, "rmi", "-f", image)
        assert held.returncode == 1
        assert "is held by hard lease" in held.stderr
        os.kill(child, signal.SIGKILL)
        running.stdout.read()  # until the child is gone

    assert casstore(root, "lease", "ls", "-q").stdout == ""
    assert casstore(root, "rmi", "-f", image).returncode == 0


def test_a_file_of_somebody_else_is_named_and_stays(root: Path) -> None:
    stranger = root / "notes.txt"
    stranger.write_text("somebody's")

    checked = casstore(root, "fsck")
    casstore(root, "gc")

    assert (checked.returncode, stranger.read_text()) == (0, "somebody's")
    assert "note foreign-file notes.txt: not part of the store" in checked.stdout


def test_a_file_that_is_no_blob_is_named_and_stays(root: Path) -> None:
    stranger = root / "blobs" / "sha256" / "notes.txt"
    stranger.write_text("somebody's")

    checked = casstore(root, "fsck")
    casstore(root, "gc")

    assert (checked.returncode, stranger.read_text()) == (0, "somebody's")
    assert "note blob-name-bad notes.txt: no digest; not part of the store" in checked.stdout


def test_repair_writes_an_index_that_says_something_else_anew(root: Path) -> None:
    path = root / "index.json"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"a:1", b"q:1"))
    assert casstore(root, "fsck").stdout == (
        "error index-bad index.json: differs from the database\n"
    )
    done = casstore(root, "fsck", "--repair")

    assert (done.returncode, done.stdout) == (
        0,
        "repaired: index.json written again\nrepaired: q:1 taken into the store from index.json\n",
    )
    assert b"a:1" in path.read_bytes()


MISFITS = {  # what a flipped bit in the head of a row can make of it, or a lost row
    "image.labels": "UPDATE image SET labels = x'00ff'",
    "image.size": "UPDATE image SET size = 'much'",
    "image.created": "UPDATE image SET created = 'then'",
    "image.digest": "UPDATE image SET digest = CAST(digest AS TEXT)",
    "blob.digest": "UPDATE blob SET digest = CAST(hex(digest) AS TEXT) WHERE kind = 3",
    "blob.size": "UPDATE blob SET size = 'much'",
    "layer.diff_id": "UPDATE layer SET diff_id = 'x'",
    "pin.image": "UPDATE image SET digest = 'x' || id; INSERT INTO pin SELECT id FROM image",
    "generation": "UPDATE meta SET value = 'old' WHERE key = 'generation'",
    "no generation": "DELETE FROM meta",
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_value_of_another_type_in_the_database_is_damage_that_a_rebuild_mends(
    root: Path, name: str
) -> None:
    with closing(sqlite3.connect(root / "casstore.db")) as connection:
        connection.executescript(MISFITS[name])
    for words in (["images"], ["inspect", "a:1"], ["tag", "a:1", "c:1"], ["gc"]):
        done = casstore(root, *words)
        assert done.returncode in {0, 1, 12}, done.stderr

    found = casstore(root, "fsck")
    assert (found.returncode, found.stdout.partition(":")[0]) == (
        12,
        "error db-bad casstore.db",
    ) or (
        name == "image.labels"  # bytes are well there, in JSON
    )
    assert casstore(root, "fsck", "--rebuild").returncode == 0
    listed = casstore(root, "images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    assert {"a:1", "b:1"} <= set(listed)


def test_repair_keeps_an_index_that_cannot_be_read_aside(root: Path) -> None:
    path = root / "index.json"
    good = path.read_bytes()
    bad = good.replace(b'"digest"', b'"dig\xffst"', 1)
    path.write_bytes(bad)
    casstore(root, "fsck", "--repair")

    (kept,) = root.glob("index.json.foreign-*")
    assert (path.read_bytes(), kept.read_bytes()) == (good, bad)
