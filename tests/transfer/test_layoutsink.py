"""A layout that blobs are added to: at each moment whole, and on the disk when it says so."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused, StorageError
from casstore.files import durable
from casstore.model.descriptor import Descriptor
from casstore.model.digest import sha256
from casstore.transfer.layoutsink import LayoutSink

BLOBS = [b"one", b"two" * 1000, b"three"]
TOP = b'{"schemaVersion":2}'
KIND = "application/vnd.oci.image.manifest.v1+json"
EFFECTS = ("rename", "fsync", "mkdir", "link", "unlink", "rmdir")


def descriptor(data: bytes) -> Descriptor:
    return Descriptor(KIND, sha256(data), len(data))


def copy(path: Path, reference: str = "x") -> None:
    with LayoutSink(str(path)) as sink:
        for data in BLOBS:
            sink.write(descriptor(data), io.BytesIO(data), lambda: False)
        sink.add(descriptor(TOP), TOP)
        sink.publish(descriptor(TOP), reference)


def add(path: Path, streams: dict[bytes, bytes], meanwhile: Callable[[], object] = str) -> None:
    """Add blobs, each from a stream of these bytes."""
    with LayoutSink(str(path)) as sink:
        meanwhile()
        for data, sent in streams.items():
            sink.write(descriptor(data), io.BytesIO(sent), lambda: False)


def blob(path: Path, data: bytes) -> Path:
    return path / "blobs" / "sha256" / sha256(data).hex


def problem(path: Path) -> str:
    """What is wrong with a layout as other tools read it; nothing where there is none yet."""
    if not (path / "oci-layout").exists():
        return ""
    if (path / "oci-layout").read_bytes() != b'{"imageLayoutVersion":"1.0.0"}':
        return "oci-layout"
    if not (path / "index.json").exists():
        return "" if not (path / "blobs").exists() else "no list"
    for entry in json.loads((path / "index.json").read_bytes())["manifests"]:
        if entry["digest"] == sha256(TOP) and not all(
            blob(path, data).read_bytes() == data for data in (*BLOBS, TOP)
        ):
            return "a blob"
    for one in (path / "blobs" / "sha256").glob("*"):
        if sha256(one.read_bytes()).hex != one.name:
            return "a blob's content"
    return ""


def before(monkeypatch: pytest.MonkeyPatch, act: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Call `act` before each effect on the disk, with its name and arguments."""

    def wrapped(name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            act(name, args)
            return effect(*args, **named)

        return call

    for name in EFFECTS:
        monkeypatch.setattr(os, name, wrapped(name, getattr(os, name)))


@pytest.mark.parametrize("there", [False, True])
def test_a_copy_that_is_killed_at_whatever_moment_leaves_a_layout(
    there: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    kills = 0
    while True:
        path = tmp_path / f"{kills}"
        if there:
            copy(path, "theirs")
            for data in BLOBS[1:]:
                blob(path, data).unlink()
        child = os.fork()
        if child == 0:
            left = [kills]

            def count(name: str, args: tuple[Any, ...], left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            with pytest.MonkeyPatch.context() as patched:
                before(patched, count)
                try:
                    copy(path)
                finally:
                    os._exit(0)
        if os.WIFEXITED(os.waitpid(child, 0)[1]):
            break
        if not there:
            assert problem(path) == "", kills
        copy(path)
        assert problem(path) == "", kills
        assert not [one for one in os.listdir(path) if one.startswith(".")], kills
        kills += 1

    assert kills > 10


@pytest.mark.parametrize("large", [False, True])
def test_a_name_comes_when_what_it_names_is_on_the_disk(
    large: bool,  # noqa: FBT001
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if large:
        monkeypatch.setattr(durable, "BEGUN", 10)
    path = tmp_path / "out"
    LayoutSink(str(path))
    flushed: set[int] = set()  # inodes; of directories as well
    unflushed: set[int] = set()  # directories with new names
    wrong: list[str] = []

    def look(name: str, args: tuple[Any, ...]) -> None:
        if name == "fsync":
            inode = os.fstat(args[0]).st_ino
            flushed.add(inode)
            unflushed.discard(inode)
        if name == "rename":
            if os.stat(args[0]).st_ino not in flushed:
                wrong.append(f"{args[1]} is not flushed")
            if os.path.basename(args[1]) == "index.json" and unflushed:
                wrong.append("names are not flushed")
            unflushed.add(os.stat(os.path.dirname(args[1])).st_ino)

    with monkeypatch.context() as patched:
        before(patched, look)
        copy(path)

    assert (wrong, unflushed) == ([], set())
    assert problem(path) == ""


def test_a_blob_of_another_size_or_digest_gets_no_name(tmp_path: Path) -> None:
    for wrong in b"onf", b"ones", b"on", b"":
        with pytest.raises(Refused, match=descriptor(b"one").digest):
            add(tmp_path / "out", {b"one": wrong})

        assert os.listdir(tmp_path) == []


def test_what_was_made_for_nothing_is_taken_back_unless_somebody_uses_it(tmp_path: Path) -> None:
    path, wrong = tmp_path / "out", {b"one": b"two"}
    with pytest.raises(Refused):
        add(path, wrong, lambda: copy(path, "theirs"))
    assert json.loads((path / "index.json").read_bytes())["manifests"] != []

    other = LayoutSink(str(tmp_path / "other"))
    with pytest.raises(Refused):
        add(tmp_path / "other", wrong, other.__enter__)
    other.add(descriptor(TOP), TOP)
    other.publish(descriptor(TOP), "x")
    other.__exit__(None, None, None)
    assert json.loads((tmp_path / "other" / "index.json").read_bytes())["manifests"] != []
    assert (tmp_path / "other" / "oci-layout").exists()


def test_what_is_complete_stays_when_the_rest_fails(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        add(tmp_path / "out", {b"one": b"one", b"two": b"TWO"})

    assert blob(tmp_path / "out", b"one").read_bytes() == b"one"
    assert problem(tmp_path / "out") == ""
    assert LayoutSink(str(tmp_path / "out")).has(descriptor(b"one"))


def test_a_full_disk_is_told_and_changes_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    copy(path, "theirs")
    before_it = (path / "index.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "sync_files", full)
    with pytest.raises(StorageError, match=r"cannot write .*no space left"):
        copy(path, "ours")

    assert (path / "index.json").read_bytes() == before_it


def test_files_have_the_rights_that_the_user_gives_files(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        copy(tmp_path / "out")
    finally:
        os.umask(mask)

    modes = {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "out").rglob("*")}
    assert modes == {0o750, 0o640}
