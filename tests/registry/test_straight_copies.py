"""Copies between registries and layouts go straight, also into layouts that exist."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from casstore.cli.commands import copy as command
from casstore.model.digest import Digest
from casstore.store import Store
from tests.compat.programs import run
from tests.registry.conftest import NewStore
from tests.registry.servers import Ask, Proxy, RealRegistry, Reply, Request
from tests.registry.test_pull_and_push import three_platforms
from tests.sessions.commandline import Result, casstore
from tests.transfer.building import OCI_CONFIG, REF_NAME, Layout, config_of, layer

MANY = 6  # layers, more than are copied at a time


@pytest.fixture(autouse=True)
def nothing_goes_through_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_through_a_store", lambda *_: pytest.fail("not straight"))


def copy(*words: object) -> Result:
    return casstore("/nonexistent", ["copy", *map(str, words)])


def copied(*words: object) -> str:
    result = copy(*words)
    assert result.status == 0, result.err
    return result.out.strip()


def refused(*words: object) -> str:
    result = copy(*words)
    assert (result.status, result.out) == (1, "")
    return result.err


def layout_of(path: Path, *texts: str, ref: str | None = "app:1") -> tuple[str, Digest]:
    """A layout with one image; its place without a reference, and the digest of the image."""
    layout = Layout()
    digest = layout.publish(layout.image(*texts), ref)
    return f"oci:{layout.write(str(path))}", digest


def entries(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((path / "index.json").read_bytes())["manifests"]
    return found


def names(path: Path) -> list[tuple[str | None, str]]:
    return [(one.get("annotations", {}).get(REF_NAME), one["digest"]) for one in entries(path)]


def files(path: Path) -> set[str]:
    return {str(one.relative_to(path)) for one in path.rglob("*") if one.is_file()}


def is_whole(path: Path, new_store: NewStore) -> bool:
    """Whether a layout can be loaded; each image by each of its names."""
    store = new_store()
    store.load(str(path))
    return len(store.images(all=True)) == len({digest for _, digest in names(path)})


# Into a layout that exists


def test_what_others_wrote_into_a_layout_stays(tmp_path: Path, new_store: NewStore) -> None:
    theirs = Layout()
    first = theirs.publish(theirs.image("theirs"), "theirs:1", **{"org.example.note": "é"})
    theirs.entries[0]["org.example"] = {"kept": [1, None]}
    path = tmp_path / "theirs"
    theirs.files["README"] = b"mine"
    theirs.write(str(path))
    before = entries(path)
    source, second = layout_of(tmp_path / "source", "x", "y")
    assert copied(f"{source}:app:1", f"oci:{path}:app:2") == second

    assert entries(path)[:-1] == before
    assert names(path) == [("theirs:1", first), ("app:2", second)]
    assert (path / "README").read_bytes() == b"mine"
    assert is_whole(path, new_store)
    assert json.loads(run("skopeo", "inspect", f"oci:{path}:app:2"))["Digest"] == second
    assert json.loads(run("skopeo", "inspect", f"oci:{path}:theirs:1"))["Digest"] == first


def test_skopeo_and_casstore_write_into_one_layout(tmp_path: Path, new_store: NewStore) -> None:
    source, digest = layout_of(tmp_path / "source", "x")
    path = tmp_path / "both"
    run("skopeo", "copy", "-q", "--insecure-policy", f"{source}:app:1", f"oci:{path}:a")
    copied(f"{source}:app:1", f"oci:{path}:b")
    run("skopeo", "copy", "-q", "--insecure-policy", f"{source}:app:1", f"oci:{path}:c")
    for name in "bc":  # skopeo 1.9 lets an image have its last name alone
        assert json.loads(run("skopeo", "inspect", f"oci:{path}:{name}"))["Digest"] == digest

    assert is_whole(path, new_store)


def test_a_name_moves_and_what_had_it_stays(tmp_path: Path, new_store: NewStore) -> None:
    path = tmp_path / "out"
    one, first = layout_of(tmp_path / "one", "one")
    two, second = layout_of(tmp_path / "two", "two")
    copied(f"{one}:app:1", f"oci:{path}:latest")
    copied(f"{two}:app:1", f"oci:{path}:latest")
    assert names(path) == [(None, first), ("latest", second)]
    copied(f"{one}:app:1", f"oci:{path}:latest")

    assert names(path) == [(None, second), ("latest", first)]
    assert is_whole(path, new_store)


def test_a_new_layout_is_made(tmp_path: Path, new_store: NewStore) -> None:
    source, digest = layout_of(tmp_path / "source", *map(str, range(MANY)))
    (tmp_path / "empty" / "lost+found").mkdir(parents=True)
    for path in tmp_path / "new", tmp_path / "empty":
        copied(source, f"oci:{path}")
        assert names(path) == [(None, digest)]
        assert files(path) == files(Path(source[4:]))
        assert is_whole(path, new_store)


def test_what_is_no_layout_is_not_written_into(tmp_path: Path) -> None:
    source, _ = layout_of(tmp_path / "source", "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "file").touch()
    old = Layout()
    old.files["oci-layout"] = b'{"imageLayoutVersion":"2.0.0"}'
    old.write(str(tmp_path / "old"))
    neither = "neither a layout nor an empty directory"
    for name, why in ("full", neither), ("file", neither), ("old", "only 1.0.0 is known"):
        before = files(tmp_path / name)
        assert why in refused(source, f"oci:{tmp_path / name}:x")
        assert files(tmp_path / name) == before


def test_a_store_is_told_from_a_layout(tmp_path: Path, store: Store) -> None:
    source, _ = layout_of(tmp_path / "source", "x")
    store.load(source[4:])

    assert "is a store of casstore" in refused(source, f"oci:{store.path}:x")


# Nothing new


def changes(path: Path) -> set[tuple[str, int, int]]:
    return {
        (str(one), one.stat().st_ino, one.stat().st_mtime_ns) for one in (path, *path.rglob("*"))
    }


def test_what_is_there_is_neither_asked_for_nor_written(proxy: Proxy, tmp_path: Path) -> None:
    source, digest = layout_of(tmp_path / "source", "x", "y")
    here, there = f"{proxy.host}/nothing/new:1", f"{proxy.host}/nothing/other:1"
    path = tmp_path / "out"
    ends = [
        (source, f"docker://{here}", ["HEAD /v2/nothing/new/manifests/1"]),
        (f"docker://{here}", f"oci:{path}:1", ["GET /v2/nothing/new/manifests/1"]),
        (source, f"oci:{path}:1", []),
        (
            f"docker://{here}",
            f"docker://{there}",
            ["GET /v2/nothing/new/manifests/1", "HEAD /v2/nothing/other/manifests/1"],
        ),
    ]
    for one, other, _ in ends:
        assert copied(one, other) == digest
    before = changes(path)
    for one, other, asked in ends:
        proxy.seen.clear()
        assert copied(one, other) == digest
        seen = [f"{one.method} {one.path}" for one in proxy.seen]
        assert [one for one in seen if one != "GET /v2/"] == asked

    assert changes(path) == before


def test_only_the_missing_blob_is_fetched(proxy: Proxy, tmp_path: Path) -> None:
    source, _ = layout_of(tmp_path / "source", "base", "top")
    copied(source, f"docker://{proxy.host}/missing/app:1")
    layout_of(tmp_path / "other", "base")
    path = tmp_path / "other"
    proxy.seen.clear()
    copied(f"docker://{proxy.host}/missing/app:1", f"oci:{path}:new")

    assert len([one for one in proxy.seen if "/blobs/" in one.path]) == 2  # a layer, the config
    assert len(entries(path)) == 2


def test_a_blob_that_was_cut_off_is_written_again(tmp_path: Path, new_store: NewStore) -> None:
    source, digest = layout_of(tmp_path / "source", "x", "y")
    path = tmp_path / "out"
    copied(source, f"oci:{path}:1")
    for blob in (path / "blobs" / "sha256").iterdir():
        blob.chmod(0o644)
        blob.write_bytes(blob.read_bytes()[:-1])
    assert copied(source, f"oci:{path}:1") == digest

    assert is_whole(path, new_store)


def test_blobs_are_mounted_where_the_registry_has_them(proxy: Proxy, tmp_path: Path) -> None:
    source, digest = layout_of(tmp_path / "source", "x", "y")
    copied(source, f"docker://{proxy.host}/mount/from:1")
    proxy.seen.clear()
    assert copied(f"docker://{proxy.host}/mount/from:1", f"docker://{proxy.host}/mount/to:1") == (
        digest
    )

    posts = [one.path for one in proxy.seen if one.method == "POST"]
    assert len(posts) == 3
    assert all("mount=" in post and "from=mount%2Ffrom" in post for post in posts)
    config = blobs_of(tmp_path / "source")[0]
    gets = [one.path for one in proxy.seen if one.method == "GET" and "/blobs/" in one.path]
    assert [get[-64:] for get in gets] == [config[7:]]  # it says for which platform it is
    assert copied(f"docker://{proxy.host}/mount/to:1", f"oci:{tmp_path}/out") == digest


# What is checked


def spoilt(path: Path, digest: str) -> None:
    blob = path / "blobs" / "sha256" / digest[7:]
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def blobs_of(path: Path) -> list[str]:
    """Digests of config and layers of the one image of a layout, and of its manifest."""
    (top,) = entries(path)
    manifest = json.loads((path / "blobs" / "sha256" / top["digest"][7:]).read_bytes())
    return [one["digest"] for one in (manifest["config"], *manifest["layers"])] + [top["digest"]]


@pytest.mark.parametrize("which", [0, 1, -1])
def test_bytes_of_another_digest_go_nowhere(which: int, alone: Proxy, tmp_path: Path) -> None:
    source, _ = layout_of(tmp_path / "source", *map(str, range(MANY)))
    wrong = blobs_of(tmp_path / "source")[which]
    spoilt(tmp_path / "source", wrong)
    _, first = layout_of(tmp_path / "there", "first")
    before = files(tmp_path / "there")
    assert wrong in refused(source, f"oci:{tmp_path}/new:1")
    assert wrong in refused(source, f"oci:{tmp_path}/there:1")

    assert names(tmp_path / "there") == [("app:1", first)]
    assert f"blobs/sha256/{wrong[7:]}" not in files(tmp_path / "there")
    assert before <= files(tmp_path / "there")
    assert not (tmp_path / "new").exists() or names(tmp_path / "new") == []

    stored: list[str] = []

    def registry(request: Request, ask: Ask) -> Reply:
        if request.method == "POST":
            return Reply(202, {"Location": f"http://{alone.host}/up"}, b"")
        if request.method == "PUT":
            stored.append(request.path)
            return Reply(201, {}, b"")
        return Reply(404, {}, b"")

    alone.rule(registry)
    assert wrong in refused(source, f"docker://{alone.host}/a/b:1")
    assert not [one for one in stored if wrong[7:] in one or "/manifests/" in one]


def test_a_registry_that_sends_other_bytes_changes_nothing(proxy: Proxy, tmp_path: Path) -> None:
    source, _ = layout_of(tmp_path / "source", "x", "y")
    wrong = blobs_of(tmp_path / "source")[1]
    copied(source, f"docker://{proxy.host}/wrong/app:1")

    def lie(request: Request, ask: Ask) -> Reply | None:
        if request.method != "GET" or wrong[7:] not in request.path:
            return None
        reply = ask()
        return reply._replace(body=reply.body[:-1] + b"!")

    proxy.rule(lie)
    assert wrong in refused(f"docker://{proxy.host}/wrong/app:1", f"oci:{tmp_path}/new:1")
    assert not (tmp_path / "new" / "blobs" / "sha256" / wrong[7:]).exists()
    with_other = RealRegistryBehind(proxy)
    assert wrong in refused(
        f"docker://{proxy.host}/wrong/app:1", f"docker://{with_other.host}/right/app:1"
    )
    assert not [one for one in with_other.seen if one.method == "PUT" and wrong[7:] in one.path]
    with_other.stop()


class RealRegistryBehind(Proxy):
    """Another way to the same registry, which is another registry by its name."""

    def __init__(self, other: Proxy) -> None:
        super().__init__(other.upstream)


def test_a_manifest_of_another_digest_is_refused(tmp_path: Path, registry: RealRegistry) -> None:
    source, digest = layout_of(tmp_path / "source", "x")
    manifest = tmp_path / "source" / "blobs" / "sha256" / digest.hex
    said = manifest.read_bytes()
    manifest.write_bytes(said.replace(b'"schemaVersion": 2', b'"schemaVersion" :2'))
    assert manifest.read_bytes() != said
    assert "has other content" in refused(source, f"oci:{tmp_path}/new")
    assert "has other content" in refused(source, f"docker://{registry.host}/other/content:1")

    assert not (tmp_path / "new").exists()


def test_a_copy_that_fails_waits_for_no_other_blob(proxy: Proxy, tmp_path: Path) -> None:
    source, _ = layout_of(tmp_path / "source", *map(str, range(MANY)))
    copied(source, f"docker://{proxy.host}/stalls/app:1")
    _, wrong, stalls, *_ = blobs_of(tmp_path / "source")
    asked, end = threading.Event(), threading.Event()

    def answer(request: Request, ask: Ask) -> Reply | None:
        if request.method != "GET":
            return None
        if stalls[7:] in request.path:
            asked.set()
            end.wait(40)
        if wrong[7:] in request.path:
            asked.wait(40)
            reply = ask()
            return reply._replace(body=bytes(len(reply.body)))
        return None

    proxy.rule(answer)
    begun = time.monotonic()
    refused(f"docker://{proxy.host}/stalls/app:1", f"oci:{tmp_path}/out")
    assert time.monotonic() - begun < 30
    end.set()


@pytest.mark.parametrize("change", ["layers", "manifests", "schemaVersion"])
def test_a_manifest_that_is_none_is_refused(change: str, tmp_path: Path) -> None:
    layout = Layout()
    fields: dict[str, Any] = {"layers": None, "manifests": [], "schemaVersion": 1}
    image = json.loads(layout.of(layout.image("x")))
    image[change] = fields[change] if change != "layers" else [{"digest": "x"}]
    layout.publish(layout.json_blob(image, "application/vnd.oci.image.manifest.v1+json"), "1")
    layout.write(str(tmp_path / "source"))
    refused(f"oci:{tmp_path}/source", f"oci:{tmp_path}/new")

    assert not (tmp_path / "new").exists()


def test_one_platform_or_all_of_them_and_only_those_that_are_there(
    registry: RealRegistry, tmp_path: Path, new_store: NewStore
) -> None:
    layout = Layout()
    index = three_platforms(layout)
    digest = layout.publish(index, "multi:1")
    source, there = f"oci:{layout.write(str(tmp_path / 'source'))}", f"{registry.host}/all/multi:1"
    out = tmp_path / "out"
    assert copied("--all", source, f"docker://{there}") == digest
    assert copied("--all", f"docker://{there}", f"oci:{out}:all") == digest
    arm = copied("--platform", "linux/arm64", f"docker://{there}", f"oci:{out}:arm")
    assert copied("--platform", "linux/arm64", source, f"docker://{registry.host}/one/arm:1") == arm
    assert is_whole(out, new_store)
    assert files(out) == files(tmp_path / "source")
    assert "no matching manifest for linux/riscv64" in refused(
        "--platform", "linux/riscv64", source, f"oci:{tmp_path}/none"
    )
    assert not (tmp_path / "none").exists()

    children = json.loads(layout.of(index))["manifests"]
    for child in children[1:]:
        layout.remove(child)
    part = layout.write(str(tmp_path / "part"))
    assert copied("--all", f"oci:{part}", f"oci:{tmp_path}/some:1") == digest
    layout.remove(children[0])
    none = layout.write(str(tmp_path / "bare"))
    assert "none of its manifests" in refused("--all", f"oci:{none}", f"oci:{tmp_path}/bare2:1")


def test_an_image_for_another_platform_is_told(registry: RealRegistry, tmp_path: Path) -> None:
    layout = Layout()
    content = layer("x")
    layout.publish(layout.image("x", config=config_of(content, architecture="s390x")), "1")
    name = f"docker://{registry.host}/other/platform:1"
    copied(f"oci:{layout.write(str(tmp_path / 'source'))}", name)
    for _ in range(2):
        result = copy(name, f"oci:{tmp_path}/out:1", "--platform", "linux/amd64")

        assert result.status == 0
        assert "is for linux/s390x, not for linux/amd64" in result.err


def test_a_foreign_layer_is_not_pushed_and_has_to_be_there_for_a_layout(
    registry: RealRegistry, tmp_path: Path
) -> None:
    layout = Layout()
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    foreign = layout.blob(b"foreign", kind, urls=["https://elsewhere.example/layer"])
    image = layout.manifest(layout.blob(config_of(b"x"), OCI_CONFIG), [foreign])
    digest = layout.publish(image, "1")
    source = f"oci:{layout.write(str(tmp_path / 'source'))}"
    assert copied(source, f"oci:{tmp_path}/with") == digest
    layout.remove(foreign)
    without = f"oci:{layout.write(str(tmp_path / 'without'))}"
    assert copied(without, f"docker://{registry.host}/foreign/app:1") == digest

    assert "a foreign layer, to be fetched from elsewhere" in refused(without, f"oci:{tmp_path}/x")


def test_of_several_images_one_has_to_be_named(tmp_path: Path) -> None:
    layout = Layout()
    first = layout.publish(layout.image("1"), "docker.io/shop/app:1")
    second = layout.publish(layout.image("2"), "1")
    third = layout.publish(layout.image("3"), "not a name")
    source = f"oci:{layout.write(str(tmp_path / 'shop'))}"
    assert "has several images" in refused(source, f"oci:{tmp_path}/out")
    assert "has no image" in refused(f"{source}:nosuch", f"oci:{tmp_path}/out")
    for name, digest in {
        "shop/app:1": first, "docker.io/shop/app:1": first, "1": second, "shop:1": second,
        "not a name": third,
    }.items():  # fmt: skip
        assert copied(f"{source}:{name}", f"oci:{tmp_path}/out:{name}") == digest


# Stopped, and at once


def cut(proxy: Proxy, digest: str) -> None:
    """Let a blob break off each time."""

    def rule(request: Request, ask: Ask) -> Reply | None:
        is_asked = request.method == "GET" and digest[7:] in request.path
        return ask()._replace(cut=1) if is_asked else None

    proxy.rule(rule)


def test_a_copy_that_failed_leaves_a_layout_and_is_gone_on_with(
    proxy: Proxy, tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("casstore.registry.http.FIRST_WAIT", 0.0)
    source, digest = layout_of(tmp_path / "source", *map(str, range(MANY)))
    name = f"docker://{proxy.host}/again/from:1"
    copied(source, name)
    last = blobs_of(tmp_path / "source")[-2]
    cut(proxy, last)
    out = tmp_path / "out"
    refused(name, f"oci:{out}:1")
    assert names(out) == []
    assert not [one for one in os.listdir(out) if one.startswith(".")]
    run("skopeo", "copy", "-q", "--insecure-policy", source, f"oci:{out}:theirs")
    before = len(files(out))
    assert before > 4
    proxy.rules.clear()
    assert copied(name, f"oci:{out}:1") == digest

    assert is_whole(out, new_store)


def test_what_a_killed_copy_has_left_is_removed_by_the_next(
    proxy: Proxy, tmp_path: Path, new_store: NewStore
) -> None:
    source, digest = layout_of(tmp_path / "source", *map(str, range(MANY)))
    name = f"docker://{proxy.host}/killed/from:1"
    copied(source, name)
    last = blobs_of(tmp_path / "source")[-2]
    arrived, end = threading.Event(), threading.Event()

    def stall(request: Request, ask: Ask) -> Reply | None:
        if request.method == "GET" and last[7:] in request.path and not end.is_set():
            arrived.set()
            end.wait(60)
        return None

    proxy.rule(stall)
    out = tmp_path / "out"
    words = [sys.executable, "-m", "casstore", "copy", name, f"oci:{out}:1"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert arrived.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    end.set()
    assert [one for one in os.listdir(out) if one.startswith(".casstore-copy-")]
    assert names(out) == []
    assert copied(name, f"oci:{out}:1") == digest

    assert not [one for one in os.listdir(out) if one.startswith(".")]
    assert is_whole(out, new_store)


def test_copies_at_once_lose_no_names(tmp_path: Path, new_store: NewStore) -> None:
    sources = [layout_of(tmp_path / f"source{n}", "base", f"{n}") for n in range(8)]
    out = tmp_path / "out"
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "casstore", "copy", source, f"oci:{out}:n{number}"],
            stdout=subprocess.DEVNULL,
        )
        for number, (source, _) in enumerate(sources)
    ]
    assert [process.wait(60) for process in running] == [0] * len(sources)

    assert sorted(names(out), key=str) == [
        (f"n{number}", digest) for number, (_, digest) in enumerate(sources)
    ]
    assert is_whole(out, new_store)


# Through a store


def test_a_layout_that_also_has_dockers_list_goes_through_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = layout_of(tmp_path / "source", "x")
    (tmp_path / "source" / "manifest.json").write_text("[]")
    there = "sha256:" + "0" * 64
    monkeypatch.setattr(command, "_through_a_store", lambda *_: Digest(there))

    assert copied(source, f"oci:{tmp_path}/out") == there
