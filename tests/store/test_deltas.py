"""save --delta-from: a layer is sent as what differs from a layer that the other side has."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Refused, StorageError, Unsupported, quote
from casstore.model.digest import Digest, sha256
from casstore.progress import ProgressUpdate
from casstore.store import Store
from casstore.transfer.outputlimit import BeyondLimit
from tests.sessions.commandline import casstore
from tests.store.test_encrypting import FOR_EC
from tests.store.test_gatekeeping import snapshot
from tests.store.test_thin import ALL, blob_of, content_of, thin_document
from tests.transfer.building import Layout, config_of, docker_archive, layer, tar_of
from tests.transfer.noise import noise

LIBRARIES = ("compression.zstd", "backports.zstd")
if sys.version_info < (3, 14):
    pytest.importorskip("backports.zstd")

every_format = pytest.mark.parametrize("format", ALL)
SHARED = layer("shared")


def files(changed: int = 0, moved: int = 0) -> dict[str, bytes]:
    """Files of an application, some of which are of another version, under another name or new."""
    found = {}
    for number in range(40):
        content = noise(20_000, seed=number)
        if number < changed:
            content = content[:7_000] + b"changed" + content[7_000:]
        name = f"opt/{number}" if 20 <= number < 20 + moved else f"usr/lib/{number}"
        found[name] = content
    return found


OLD, NEW = tar_of(files()), tar_of(files(changed=3, moved=2))
ONE_BASE = docker_archive({"layers": [SHARED, OLD], "tags": ["app:1"]})
BOTH = docker_archive(
    {"layers": [SHARED, OLD], "tags": ["app:1"]}, {"layers": [SHARED, NEW], "tags": ["app:2"]}
)
NEW_ID = sha256(config_of(SHARED, NEW))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "our store"))
    store.load(io.BytesIO(BOTH))
    return store


@pytest.fixture
def theirs(tmp_path: Path) -> Store:
    """The store of the other side, which has app:1."""
    store = Store(str(tmp_path / "their store"))
    store.load(io.BytesIO(ONE_BASE))
    return store


def saved(store: Store, path: Path, format: str = "docker") -> Path:
    store.save(["app:2"], path, format=format, delta_from=["app:1"])
    return path


def delta_in(path: Path) -> tuple[str, bytes]:
    """The delta in an archive: its name and its bytes."""
    (entry,) = (one["delta"] for one in thin_document(path)["layers"] if "delta" in one)
    digits = Digest(entry["digest"]).hex
    ((name, data),) = ((n, d) for n, d in content_of(path).items() if digits in n)
    assert (sha256(data), len(data)) == (entry["digest"], entry["size"])
    return name, data


@every_format
def test_a_delta_and_its_base_give_the_layer(
    store: Store, theirs: Store, tmp_path: Path, format: str
) -> None:
    path = saved(store, tmp_path / "out", format)
    _, delta = delta_in(path)
    (image,) = theirs.load(path).images

    assert len(delta) < len(NEW) // 20
    assert image.id == NEW_ID
    with theirs.open_layer(sha256(NEW)) as content:
        assert content.read() == NEW
    assert theirs.check().clean


@every_format
def test_layers_that_the_base_has_are_left_out(store: Store, tmp_path: Path, format: str) -> None:
    shared, new = thin_document(saved(store, tmp_path / "out", format))["layers"]

    assert (shared["diffID"], "delta" in shared) == (sha256(SHARED), False)
    assert (new["diffID"], new["from"]) == (sha256(NEW), sha256(OLD))
    assert not any(sha256(NEW).hex in name for name in content_of(tmp_path / "out"))


@pytest.mark.parametrize("format", ["oci", "oci-dir", "dir"])
@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_where_blobs_are_kept_byte_for_byte_the_blob_comes_out_and_manifests_stay_valid(
    theirs: Store, tmp_path: Path, format: str, compression: str
) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(BOTH), compression=compression)
        theirs.load(saved(store, tmp_path / "out", format))

        assert blob_of(theirs, NEW) == blob_of(store, NEW)
        forms = [one.inspect(NEW_ID)["Casstore"]["Manifests"] for one in (store, theirs)]
        assert [form["Digest"] for form in forms[0]] == [form["Digest"] for form in forms[1]]
    assert theirs.check().clean


@pytest.fixture
def packed(store: Store) -> Digest:
    """An image app:3 with a layer that was compressed by other means; the digest of its blob."""
    tar = tar_of(files(changed=5))
    layout = Layout()
    blob = layout.blob(gzip.compress(tar), "application/vnd.oci.image.layer.v1.tar+gzip")
    config = layout.blob(config_of(tar), "application/vnd.oci.image.config.v1+json")
    layout.publish(layout.manifest(config, [blob]), "app:3")
    store.load(layout.tar())
    return Digest(blob["digest"])


def test_a_blob_that_cannot_be_made_again_is_saved_whole_and_a_line_says_so(
    store: Store, packed: Digest, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = casstore(
        store.path,
        ["save", "--format", "oci", "--delta-from", "app:1", "-o", str(out), "app:3"],
    )

    assert (result.status, result.out) == (0, "")
    assert f"layer {packed.short} is saved whole" in result.err
    assert f"blobs/sha256/{packed.hex}" in content_of(out)
    assert "casstore-thin.json" not in content_of(out)


def test_in_a_docker_archive_it_does_not_matter_how_a_layer_was_compressed(
    store: Store, packed: Digest, theirs: Store, tmp_path: Path
) -> None:
    store.save(["app:3"], tmp_path / "out", delta_from=["app:1"])

    assert theirs.load(tmp_path / "out").images[0].id == store.get("app:3").id


@every_format
@pytest.mark.parametrize("compression", ["gzip", "none", "zstd:3"])
def test_the_base_may_be_compressed_in_any_way(
    store: Store, tmp_path: Path, format: str, compression: str
) -> None:
    path = saved(store, tmp_path / "out", format)
    with Store(str(tmp_path / "other")) as other:
        other.load(io.BytesIO(docker_archive({"layers": [SHARED], "tags": ["shared:1"]})))
        other.load(io.BytesIO(ONE_BASE), compression=compression)

        assert other.load(path).images[0].id == NEW_ID
        assert other.check().clean


@every_format
def test_a_store_without_the_base_is_told_which_and_stays_as_it_was(
    store: Store, tmp_path: Path, format: str
) -> None:
    path = saved(store, tmp_path / "out", format)
    with Store(str(tmp_path / "other")) as other:
        other.load(io.BytesIO(docker_archive({"layers": [SHARED], "tags": ["shared:1"]})))
        before = snapshot(other)
        result = casstore(other.path, ["load", "-i", str(path)])

        assert (result.status, result.out) == (1, "")
        assert result.err == (
            f"Error: {quote(str(path))} builds on layers that the store does not have:"
            f" {sha256(OLD)}; load app:1 first\n"
        )
        assert snapshot(other) == before


@every_format
def test_the_same_images_give_the_same_bytes(store: Store, tmp_path: Path, format: str) -> None:
    one, two = (saved(store, tmp_path / name, format) for name in ("one", "two"))

    assert content_of(one) == content_of(two)
    if one.is_file():
        stream = io.BytesIO()
        store.save(["app:2"], stream, format=format, delta_from=["app:1"])
        assert stream.getvalue() == one.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["one", "our store", "two"]


def test_scratch_files_are_beside_the_output_or_where_the_system_has_them(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    saved(store, tmp_path / "out")

    for place in ("/dev/null", io.BytesIO()):  # nothing can be written beside these
        with pytest.raises(StorageError, match=r"^cannot save to .*: no such file or directory$"):
            store.save(["app:2"], place, delta_from=["app:1"])


@every_format
def test_a_base_that_is_only_promised_is_read_first_on_both_sides(
    store: Store, tmp_path: Path, format: str
) -> None:
    store.save(["app:1"], tmp_path / "base", format="oci")
    store.save(["app:2"], tmp_path / "new", format="oci")
    with Store(str(tmp_path / "first")) as first, Store(str(tmp_path / "second")) as second:
        first.load(tmp_path / "base", verify="digest")
        first.load(tmp_path / "new")
        second.load(tmp_path / "base", verify="digest")
        second.load(saved(first, tmp_path / "out", format))

        assert delta_in(tmp_path / "out")
        assert second.get(NEW_ID).settled
        assert second.check().clean


def test_stores_in_memory_send_and_take_deltas(tmp_path: Path) -> None:
    first, second = Store.in_memory(), Store.in_memory()
    first.load(io.BytesIO(BOTH))
    second.load(io.BytesIO(ONE_BASE))

    assert second.load(saved(first, tmp_path / "out")).images[0].id == NEW_ID
    assert second.check().clean


def test_an_encrypted_base_is_no_base(store: Store, theirs: Store, tmp_path: Path) -> None:
    path = saved(store, tmp_path / "out")
    theirs.encrypt("app:1", "app:sealed", [FOR_EC])
    theirs.save(["app:sealed"], tmp_path / "sealed", format="oci")
    with Store(str(tmp_path / "other")) as other:
        other.load(tmp_path / "sealed")
        with pytest.raises(Refused, match="load app:1 first"):
            other.load(path)

    store.encrypt("app:1", "app:sealed", [FOR_EC])
    store.save(["app:2"], tmp_path / "whole", delta_from=["app:sealed"])
    assert "casstore-thin.json" not in content_of(tmp_path / "whole")


@every_format
def test_a_base_that_is_removed_while_it_is_used_is_pinned(
    store: Store, theirs: Store, tmp_path: Path, format: str
) -> None:
    path = saved(store, tmp_path / "out", format)
    removed: list[int] = []

    def remove(update: ProgressUpdate) -> None:
        if update.name == "Committing" and not removed:
            with Store(theirs.path) as other:
                removed.append(other.remove(["app:1"]).exit_code)

    with Store(theirs.path, progress=remove) as loading:
        loading.load(path)

    assert removed == [0]
    assert theirs.get(NEW_ID).id == NEW_ID
    assert theirs.check().clean


def test_an_archive_for_another_system_can_have_deltas(
    store: Store, theirs: Store, tmp_path: Path
) -> None:
    config = config_of(SHARED, NEW, os="windows")
    layout = Layout()
    layers = [layout.blob(x, "application/vnd.oci.image.layer.v1.tar") for x in (SHARED, NEW)]
    descriptor = layout.blob(config, "application/vnd.oci.image.config.v1+json")
    layout.publish(layout.manifest(descriptor, layers), "app:3")
    store.load(layout.tar())
    store.save(["app:3"], tmp_path / "out", delta_from=["app:1"])

    assert {"index.json", "manifest.json"} < set(content_of(tmp_path / "out"))
    assert theirs.load(tmp_path / "out").images[0].id == sha256(config)
    assert theirs.check().clean


# Deltas that are wrong


def with_delta(path: Path, data: bytes | None, *, told: bool = False) -> io.BytesIO:
    """A docker archive with other bytes for a delta; with `told`, it says so of itself."""
    name, old = delta_in(path)
    found = content_of(path)
    del found[name]
    if data is not None:
        found[name] = data
        if told:
            document = json.loads(found["casstore-thin.json"])
            entry: dict[str, Any] = document["layers"][-1]["delta"]
            assert entry["digest"] == sha256(old)
            entry.update(digest=sha256(data), size=len(data))
            found["casstore-thin.json"] = json.dumps(document).encode()
            found[f"{sha256(data).hex}.delta"] = found.pop(name)
    return io.BytesIO(tar_of(found))


def refused(theirs: Store, archive: io.BytesIO, match: str) -> None:
    before = snapshot(theirs)
    with pytest.raises(Refused, match=match):
        theirs.load(archive)
    assert snapshot(theirs) == before


def test_a_delta_that_is_not_its_digest_is_refused(
    store: Store, theirs: Store, tmp_path: Path
) -> None:
    path = saved(store, tmp_path / "out")
    _, data = delta_in(path)
    wrong = bytes([data[-1] ^ 1])

    for other in (data[:-1] + wrong, data[:-1], data + b"x", b""):
        refused(theirs, with_delta(path, other), "is damaged: its content has another digest$")


def test_a_delta_that_is_missing_is_refused(store: Store, theirs: Store, tmp_path: Path) -> None:
    path = saved(store, tmp_path / "out")

    refused(theirs, with_delta(path, None), "no such file or directory$")


def test_whatever_a_delta_says_nothing_but_the_layer_comes_in(
    store: Store, theirs: Store, tmp_path: Path
) -> None:
    path = saved(store, tmp_path / "out")
    _, data = delta_in(path)
    chance = random.Random(5)  # noqa: S311 - nothing here is a secret
    places = [*range(0, 200, 3), *(chance.randrange(200, len(data)) for _ in range(40))]

    for at in places:
        changed = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        try:
            theirs.load(with_delta(path, changed, told=True))
        except Refused as error:
            assert str(error).startswith("the delta ") or isinstance(error, BeyondLimit)  # noqa: PT017
        else:  # a bit that means nothing, as one of the target's digest that is not looked at
            with theirs.open_layer(sha256(NEW)) as content:
                assert content.read() == NEW
            theirs.remove(["app:2"])
        assert theirs.get("app:1").id == store.get("app:1").id
    for end in (0, 4, 8, 50, 112, 120, 150, len(data) // 2, len(data) - 1):
        refused(theirs, with_delta(path, data[:end], told=True), "^the delta .* is wrong: ")
    assert theirs.check().clean


def test_a_delta_from_another_base_than_it_says_is_refused(
    store: Store, theirs: Store, tmp_path: Path
) -> None:
    path = saved(store, tmp_path / "out")
    found = content_of(path)
    document = json.loads(found["casstore-thin.json"])
    document["layers"][-1]["from"] = sha256(SHARED)
    found["casstore-thin.json"] = json.dumps(document).encode()

    refused(theirs, io.BytesIO(tar_of(found)), "is wrong: it is from another base$")


@pytest.mark.parametrize(
    "values",
    [
        {"compression": "zstd:19"},
        {"compression": "lz4"},
        {"compression": ""},
        {"mediaType": "text/x"},
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"},
        {"delta": {"mediaType": "text/x", "digest": sha256(b""), "size": 0}},
        {"delta": []},
        {"from": ""},
        {"diffID": None},
    ],
)
def test_a_delta_in_a_form_that_save_does_not_write_is_refused(
    store: Store, theirs: Store, tmp_path: Path, values: dict[str, Any]
) -> None:
    found = content_of(saved(store, tmp_path / "out", "oci"))
    document = json.loads(found["casstore-thin.json"])
    document["layers"][-1].update(values)
    found["casstore-thin.json"] = json.dumps(document).encode()

    refused(theirs, io.BytesIO(tar_of(found)), "newer casstore knows|not a JSON object|invalid")


def test_what_comes_out_of_a_delta_has_a_limit(store: Store, theirs: Store, tmp_path: Path) -> None:
    path = saved(store, tmp_path / "out")
    theirs.max_layer_size = len(NEW) - 1
    with pytest.raises(BeyondLimit, match="--max-layer-size raises"):
        theirs.load(path)
    theirs.max_layer_size = len(NEW)

    assert theirs.load(path).images[0].id == NEW_ID


# Which layers


def test_the_layer_of_the_base_that_has_most_in_common_is_the_partner(tmp_path: Path) -> None:
    old = [tar_of({f"{n}": noise(300_000, seed=n)}) for n in range(4)]
    new = [tar_of({f"{n}": noise(300_000, seed=n), "more": b"more"}) for n in (2, 0, 3)]
    with Store(str(tmp_path / "store")) as store:
        for name, layers in (("old:1", old), ("new:1", new)):
            store.load(io.BytesIO(docker_archive({"layers": layers, "tags": [name]})))
        store.save(["new:1"], tmp_path / "out", delta_from=["old:1"])

    partners = [one["from"] for one in thin_document(tmp_path / "out")["layers"]]
    assert partners == [sha256(old[n]) for n in (2, 0, 3)]


def test_several_images_can_be_bases(store: Store, theirs: Store, tmp_path: Path) -> None:
    other = tar_of({"x": noise(100_000, seed=77)})
    newer = tar_of({"x": noise(100_000, seed=77) + b"!"})
    for tar, name in ((other, "x:1"), (newer, "x:2")):
        store.load(io.BytesIO(docker_archive({"layers": [tar], "tags": [name]})))
    theirs.load(io.BytesIO(docker_archive({"layers": [other], "tags": ["x:1"]})))
    store.save(["app:2", "x:2"], tmp_path / "out", delta_from=["app:1", "x:1"])

    partners = {one["from"] for one in thin_document(tmp_path / "out")["layers"] if "from" in one}
    assert partners == {sha256(OLD), sha256(other)}
    assert len(theirs.load(tmp_path / "out").images) == 2


@pytest.mark.parametrize("format", ["docker", "oci"])
def test_a_layer_that_is_smaller_than_its_delta_is_saved_whole(
    store: Store, tmp_path: Path, format: str
) -> None:
    zeros = tar_of({"zeros": bytes(100_000)})
    small = tar_of({"small": b"small"})
    store.load(io.BytesIO(docker_archive({"layers": [zeros, small], "tags": ["x:1"]})))
    store.save(["x:1"], tmp_path / "out", format=format, delta_from=["app:1"])
    files_in = content_of(tmp_path / "out")

    tars = {sha256(small)} if format == "docker" else {blob_of(store, x) for x in (zeros, small)}
    assert all(any(digest.hex in name for name in files_in) for digest in tars)


# The library


def test_without_a_library_that_can_make_them_one_line_says_what_to_install(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in LIBRARIES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unsupported, match=r"install casstore\[delta\]$"):
        saved(store, tmp_path / "out")

    assert os.listdir(tmp_path) == ["our store"]


def test_loading_needs_no_such_library(
    store: Store, theirs: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(store, tmp_path / "out")
    for name in LIBRARIES:
        monkeypatch.setitem(sys.modules, name, None)

    assert theirs.load(path).images[0].id == NEW_ID


def test_a_delta_is_told_as_progress_before_the_archive(store: Store, tmp_path: Path) -> None:
    told: list[tuple[str, int | None]] = []
    with Store(store.path, progress=lambda one: told.append((one.name, one.total))) as other:
        saved(other, tmp_path / "out")

    assert list(dict.fromkeys(told)) == [
        ("Comparing", len(NEW)), ("Saving", len(delta_in(tmp_path / "out")[1])),
    ]  # fmt: skip
