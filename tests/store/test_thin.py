"""Thin archives: layers that the other side has stay behind, and it takes them from its store."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import Damaged, NotFound, Refused, quote
from casstore.model.digest import Digest, sha256
from casstore.progress import ProgressUpdate
from casstore.store import Store
from tests.sessions.commandline import casstore
from tests.store.test_encrypting import FOR_EC
from tests.store.test_gatekeeping import snapshot
from tests.transfer.building import Layout, config_of, docker_archive, layer, tar_of
from tests.transfer.noise import noise

ALL = ("docker", "oci", "oci-dir", "dir")
every_format = pytest.mark.parametrize("format", ALL)

BASE = [layer("base"), tar_of({"noise": noise(100_000)})]
APP = [*BASE, layer("app")]
NEWER = [*APP, layer("newer")]
ONE_BASE = docker_archive({"layers": BASE, "tags": ["base:1"]})
ALL_IMAGES = docker_archive(
    {"layers": BASE, "tags": ["base:1"]},
    {"layers": APP, "tags": ["app:1"]},
    {"layers": NEWER, "tags": ["newer:1"]},
)
APP_ID = sha256(config_of(*APP))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "our store"))
    store.load(io.BytesIO(ALL_IMAGES))
    return store


@pytest.fixture
def theirs(tmp_path: Path) -> Store:
    """The store of the other side, which has base:1."""
    store = Store(str(tmp_path / "their store"))
    store.load(io.BytesIO(ONE_BASE))
    return store


def blob_of(store: Store, tar: bytes) -> Digest:
    record = store.session.view().layer_with_diff_id(sha256(tar))
    assert record is not None
    return record.digest


def content_of(path: Path) -> dict[str, bytes]:
    """The files of an archive or a directory."""
    if path.is_file():
        with tarfile.open(path) as tar:
            files = [member for member in tar if member.isfile()]
            return {one.name: tar.extractfile(one).read() for one in files}  # type: ignore[union-attr]  # they are files
    return {
        str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()
    }


def thin_document(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(content_of(path)["casstore-thin.json"])
    return value


def saved_thin(store: Store, path: Path, format: str, image: str = "app:1") -> Path:
    store.save([image], path, format=format, exclude_base=["base:1"])
    return path


@every_format
def test_layers_of_the_base_are_left_out_and_taken_from_the_store_that_has_them(
    store: Store, theirs: Store, tmp_path: Path, format: str
) -> None:
    path = saved_thin(store, tmp_path / "out", format)
    files = content_of(path)
    (image,) = theirs.load(path).images

    for tar in BASE:
        assert not any(sha256(tar).hex in name for name in files)
        assert not any(blob_of(store, tar).hex in name for name in files)
    assert image.id == APP_ID
    with theirs.open_layer(sha256(BASE[1])) as content:
        assert content.read() == BASE[1]
    assert theirs.check().clean
    if format != "docker":
        forms = [each.inspect(APP_ID)["Casstore"]["Manifests"] for each in (theirs, store)]
        assert forms[0][0]["Digest"] == forms[1][0]["Digest"]


@every_format
def test_an_archive_says_what_it_leaves_out(store: Store, tmp_path: Path, format: str) -> None:
    path = saved_thin(store, tmp_path / "out", format)
    document = thin_document(path)

    assert document["bases"] == [{"name": "base:1", "id": store.get("base:1").id}]
    assert [one["diffID"] for one in document["layers"]] == [sha256(tar) for tar in BASE]
    assert [one["base"] for one in document["layers"]] == [0, 0]
    if format == "docker":
        assert [one["size"] for one in document["layers"]] == [len(tar) for tar in BASE]
    else:
        assert [one["digest"] for one in document["layers"]] == [blob_of(store, x) for x in BASE]
    if format.startswith("oci"):
        annotations = json.loads(content_of(path)["index.json"])["annotations"]
        said = sha256(content_of(path)["casstore-thin.json"])
        assert annotations == {"io.casstore.thin": said}


@every_format
def test_a_store_without_the_base_refuses_names_it_and_stays_as_it_was(
    store: Store, tmp_path: Path, format: str
) -> None:
    path = saved_thin(store, tmp_path / "out", format)
    missing = [sha256(tar) if format == "docker" else blob_of(store, tar) for tar in BASE]
    with Store(str(tmp_path / "other")) as other:
        other.load(io.BytesIO(docker_archive({"layers": [layer("x")], "tags": ["x:1"]})))
        before = snapshot(other)
        result = casstore(other.path, ["load", "-i", str(path)])

        assert (result.status, result.out) == (1, "")
        assert result.err == (
            f"Error: {quote(str(path))} leaves out layers that the store does not have: "
            f"{missing[0]}, {missing[1]}; load base:1 first\n"
        )
        assert snapshot(other) == before


@every_format
def test_an_archive_that_leaves_nothing_out_is_the_usual_one(
    store: Store, tmp_path: Path, format: str
) -> None:
    store.load(io.BytesIO(docker_archive({"layers": [layer("x")], "tags": ["x:1"]})))
    store.save(["app:1"], tmp_path / "thin", format=format, exclude_base=["x:1"])
    store.save(["app:1"], tmp_path / "plain", format=format)

    assert content_of(tmp_path / "thin") == content_of(tmp_path / "plain")


@every_format
def test_the_same_images_and_bases_give_the_same_bytes(
    store: Store, tmp_path: Path, format: str
) -> None:
    one, two = (saved_thin(store, tmp_path / name, format) for name in ("one", "two"))

    assert content_of(one) == content_of(two)
    if one.is_file():
        assert one.read_bytes() == two.read_bytes()
        stream = io.BytesIO()
        store.save(["app:1"], stream, format=format, exclude_base=["base:1"])
        assert stream.getvalue() == one.read_bytes()


@every_format
def test_an_earlier_archive_says_what_the_other_side_has(
    store: Store, theirs: Store, tmp_path: Path, format: str
) -> None:
    store.save(["base:1"], tmp_path / "earlier", format=format)
    store.save(["app:1"], tmp_path / "out", format=format, since=[tmp_path / "earlier"])

    assert [one["diffID"] for one in thin_document(tmp_path / "out")["layers"]] == [
        sha256(tar) for tar in BASE
    ]
    assert theirs.load(tmp_path / "out").images[0].id == APP_ID


@every_format
def test_archives_follow_one_another_each_since_the_one_before(
    store: Store, tmp_path: Path, format: str
) -> None:
    out = [tmp_path / name for name in ("first", "second", "third")]
    store.save(["base:1"], out[0], format=format)
    store.save(["app:1"], out[1], format=format, since=[out[0]])
    store.save(["newer:1"], out[2], format=format, since=[str(out[1])])

    assert len(thin_document(out[2])["layers"]) == len(APP)
    with Store(str(tmp_path / "other")) as other:
        loaded = [image.id for path in out for image in other.load(path).images]
        assert loaded == [store.get(name).id for name in ("base:1", "app:1", "newer:1")]
        assert other.check().clean


def test_an_earlier_archive_may_be_compressed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "base.tar.gz").write_bytes(gzip.compress(ONE_BASE))
    store.save(["app:1"], tmp_path / "out", since=[tmp_path / "base.tar.gz"])

    assert len(thin_document(tmp_path / "out")["layers"]) == len(BASE)


@every_format
@pytest.mark.parametrize("of", ["diff IDs", "blobs"])
def test_a_list_of_digests_says_what_the_other_side_has(
    store: Store, theirs: Store, tmp_path: Path, format: str, of: str
) -> None:
    digests = [sha256(tar) if of == "diff IDs" else blob_of(store, tar) for tar in BASE]
    lines = ["# of base:1", "", *digests, f"{sha256(b'other')}  # not in it"]
    (tmp_path / "list").write_text("\n".join(lines))
    store.save(["app:1"], tmp_path / "out", format=format, since=[tmp_path / "list"])

    assert len(thin_document(tmp_path / "out")["layers"]) == len(BASE)
    assert theirs.load(tmp_path / "out").images[0].id == APP_ID


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sha256:12\n", "is a list of digests, but has an invalid digest"),
        (b"# x\nbusybox:1\n", "is a list of digests, but has an invalid digest"),
        (b"busybox:1\n", "is a list of digests, but has an invalid digest"),
        (b"", "is empty"),
        (tar_of({"x": b"y"}), "is neither an archive of images nor a list of digests"),
    ],
)
def test_what_is_neither_an_archive_nor_a_list_is_refused(
    store: Store, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(Refused, match=message):
        store.save(["app:1"], tmp_path / "out", since=[tmp_path / "list"])
    assert not (tmp_path / "out").exists()


def test_a_base_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No such image: old:1"):
        store.save(["app:1"], tmp_path / "out", exclude_base=["old:1"])
    with pytest.raises(NotFound, match="no such file or directory"):
        store.save(["app:1"], tmp_path / "out", since=[tmp_path / "missing"])
    assert not (tmp_path / "out").exists()


def test_of_a_base_without_a_name_the_id_is_told(store: Store, tmp_path: Path) -> None:
    base = store.get("base:1").id
    store.save(["app:1"], tmp_path / "out", exclude_base=[base.short])
    with (
        Store(str(tmp_path / "other")) as other,
        pytest.raises(Refused, match=rf"; load {base} first$"),
    ):
        other.load(tmp_path / "out")


@every_format
def test_a_base_that_is_only_promised_is_read_first(
    store: Store, tmp_path: Path, format: str
) -> None:
    path = saved_thin(store, tmp_path / "thin", format)
    store.save(["base:1"], tmp_path / "base", format="oci")
    with Store(str(tmp_path / "other")) as other:
        other.load(tmp_path / "base", verify="digest")
        assert not other.get("base:1").settled
        (image,) = other.load(path).images

        assert image.id == APP_ID
        assert other.get(APP_ID).settled
        assert other.check().clean


def test_a_promise_that_was_a_lie_is_damage_of_the_base_and_nothing_comes_in(
    store: Store, tmp_path: Path
) -> None:
    layout = Layout()
    lie = layout.blob(gzip.compress(layer("lie")), "application/vnd.oci.image.layer.v1.tar+gzip")
    rest = layout.blob(BASE[1], "application/vnd.oci.image.layer.v1.tar")
    config = layout.blob(config_of(*BASE), "application/vnd.oci.image.config.v1+json")
    layout.publish(layout.manifest(config, [lie, rest]), "base:1")
    path = saved_thin(store, tmp_path / "thin", "docker")
    with Store(str(tmp_path / "other")) as other:
        other.load(layout.tar(), verify="digest")
        with pytest.raises(Damaged):
            other.load(path)

        assert [image.names for image in other.images()] == [("docker.io/library/base:1",)]


def test_an_encrypted_base_has_no_layers_for_an_image_in_the_clear(
    store: Store, tmp_path: Path
) -> None:
    path = saved_thin(store, tmp_path / "thin", "docker")
    store.encrypt("base:1", "base:sealed", [FOR_EC])
    store.save(["base:sealed"], tmp_path / "sealed", format="oci")
    with Store(str(tmp_path / "other")) as other:
        other.load(tmp_path / "sealed")
        with pytest.raises(Refused, match="load base:1 first"):
            other.load(path)


def test_encrypted_layers_are_left_out_by_their_blobs(store: Store, tmp_path: Path) -> None:
    store.encrypt("app:1", "app:sealed", [FOR_EC])
    store.save(["app:sealed"], tmp_path / "first", format="oci")
    store.save(["app:sealed"], tmp_path / "out", format="oci", since=[tmp_path / "first"])

    assert [set(one) for one in thin_document(tmp_path / "out")["layers"]] == [
        {"mediaType", "digest", "size"}
    ] * len(APP)
    with Store(str(tmp_path / "other")) as other:
        other.load(tmp_path / "first")
        assert len(other.load(tmp_path / "out").images) == 1


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_blob_is_made_anew_of_a_layer_that_the_store_has_in_another_form(
    store: Store, tmp_path: Path, compression: str
) -> None:
    path = saved_thin(store, tmp_path / "out", "oci")
    with Store(str(tmp_path / "other")) as other:
        other.load(io.BytesIO(ONE_BASE), compression=compression)
        assert blob_of(other, BASE[1]) != blob_of(store, BASE[1])
        other.load(path)

        assert other.get("app:1").id == APP_ID
        other.save(["app:1"], tmp_path / "whole", format="oci")
        assert f"blobs/sha256/{blob_of(store, BASE[1]).hex}" in content_of(tmp_path / "whole")
        assert other.check().clean


def test_a_blob_that_cannot_be_made_anew_is_told_as_missing(tmp_path: Path, theirs: Store) -> None:
    big = tar_of({str(n): bytes(str(n), "ascii") * 5000 for n in range(40)})
    archive = docker_archive({"layers": [big], "tags": ["base:1"]})
    with Store(str(tmp_path / "store")) as store:
        store.load(io.BytesIO(archive), compression="zstd:19")
        wanted = blob_of(store, big)
        store.tag("base:1", "app:1")
        saved_thin(store, tmp_path / "out", "oci")
    theirs.load(io.BytesIO(archive))
    before = snapshot(theirs)
    with pytest.raises(Refused, match=f"does not have: {wanted}; load base:1 first"):
        theirs.load(tmp_path / "out")

    assert snapshot(theirs) == before


@every_format
def test_a_base_that_is_removed_while_its_layers_are_used_is_pinned(
    store: Store, theirs: Store, tmp_path: Path, format: str
) -> None:
    path = saved_thin(store, tmp_path / "out", format)
    removed: list[int] = []

    def remove(update: ProgressUpdate) -> None:
        if update.name == "Committing" and not removed:
            with Store(theirs.path) as other:
                removed.append(other.remove(["base:1"]).exit_code)

    with Store(theirs.path, progress=remove) as loading:
        loading.load(path)

    assert removed == [0]
    assert theirs.get(APP_ID).id == APP_ID
    assert theirs.check().clean


def test_what_is_put_back_into_an_archive_need_not_be_in_the_store(
    store: Store, tmp_path: Path
) -> None:
    path = saved_thin(store, tmp_path / "out", "oci-dir")
    store.save(["base:1"], tmp_path / "base", format="oci-dir")
    for tar in BASE:
        name = f"blobs/sha256/{blob_of(store, tar).hex}"
        os.link(tmp_path / "base" / name, path / name)
    with Store(str(tmp_path / "other")) as other:
        assert other.load(path).images[0].id == APP_ID


def test_an_archive_for_another_system_is_thin_in_both_of_its_forms(tmp_path: Path) -> None:
    config = config_of(*APP, os="windows")
    with Store(str(tmp_path / "store")) as store:
        layout = Layout()
        layers = [layout.blob(x, "application/vnd.oci.image.layer.v1.tar") for x in APP]
        descriptor = layout.blob(config, "application/vnd.oci.image.config.v1+json")
        layout.publish(layout.manifest(descriptor, layers), "app:1")
        store.load(io.BytesIO(ONE_BASE))
        store.load(layout.tar())
        path = saved_thin(store, tmp_path / "out", "docker")
    assert {"index.json", "manifest.json"} < set(content_of(path))
    with Store(str(tmp_path / "other")) as other:
        other.load(io.BytesIO(ONE_BASE))
        (image,) = other.load(path).images

        assert image.id == sha256(config)
        assert other.check().clean


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(key)


def _of_layer(**values: object) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["layers"][0].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(version=2), "only a newer casstore knows"),
        (_without("mediaType"), "only a newer casstore knows"),
        (_of_layer(diffID="sha256:12"), "invalid digest"),
        (_of_layer(diffID=None), "has no digest"),
        (_of_layer(base=7), "is of a base that is not listed"),
        (_of_layer(size=-1), "is not a size"),
        (lambda document: document.update(layers={}), "is not a list"),
        (lambda document: document.update(bases=[{"name": "x"}]), "invalid digest"),
    ],
)
def test_a_list_of_what_is_left_out_that_is_wrong_is_refused(
    store: Store,
    theirs: Store,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    files = content_of(saved_thin(store, tmp_path / "out", "docker"))
    document = json.loads(files["casstore-thin.json"])
    change(document)
    with pytest.raises(Refused, match=message):
        theirs.load(
            io.BytesIO(tar_of({**files, "casstore-thin.json": json.dumps(document).encode()}))
        )
    assert len(list(theirs.images(all=True))) == 1


def test_a_list_that_leaves_out_a_layer_which_nobody_mentioned_is_no_excuse(
    store: Store, theirs: Store, tmp_path: Path
) -> None:
    files = content_of(saved_thin(store, tmp_path / "out", "docker", "newer:1"))
    lost = next(name for name in files if sha256(NEWER[-1]).hex in name)
    del files[lost]
    with pytest.raises(Refused, match=f"^open {lost}: no such file or directory$"):
        theirs.load(io.BytesIO(tar_of(files)))


def test_a_thin_archive_is_made_and_named_on_the_command_line(
    store: Store, theirs: Store, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    result = casstore(
        store.path,
        ["save", "--format", "oci", "--exclude-base", "base:1", "-o", str(path), "app:1"],
    )
    assert (result.status, result.out, result.err) == (0, "", "")
    loaded = casstore(theirs.path, ["load", "--tag", "mine:1", "--no-clobber", "-i", str(path)])
    assert loaded.out == "Loaded image: mine:1\n"
