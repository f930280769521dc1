"""Inputs that are not quite what they should be: what comes in of them, and what a user is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import quote
from casstore.model.digest import sha256
from casstore.model.mediatype import OCI_CONFIG, OCI_LAYER
from tests.sessions.commandline import Result, casstore
from tests.transfer.building import Layout, config_of, docker_archive, layer, tar_of

WASM = "application/vnd.wasm.content.layer.v1+wasm"


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def load(store: str, layout: Layout) -> Result:
    return casstore(store, ["load"], layout.tar().getvalue())


def is_whole(store: str, layout: Layout, image: str) -> None:
    """fsck, gc, a second load, save and load, and a rebuild find what was loaded."""
    before = casstore(store, ["images", "-a", "--no-trunc"]).out
    assert image in before
    assert casstore(store, ["fsck"]) == (0, "", "")
    assert "Removed blobs: 0" in casstore(store, ["gc"]).out
    assert load(store, layout).status == 0
    assert casstore(store, ["fsck"]) == (0, "", "")
    for words in (["inspect", image], ["history", image], ["df", "-v"], ["tree"]):
        assert casstore(store, words).status == 0, words
    saved = f"{store}.tar"
    assert casstore(store, ["save", "--format", "oci", "-o", saved, image]) == (0, "", "")
    assert casstore(f"{store}2", ["load", saved]).status == 0
    assert image in casstore(f"{store}2", ["images", "-a", "--no-trunc"]).out
    os.unlink(f"{store}/casstore.db")
    assert casstore(store, ["fsck", "--rebuild"]).status == 0
    assert casstore(store, ["fsck"]) == (0, "", "")
    assert casstore(store, ["images", "-a", "--no-trunc"]).out == before
    assert casstore(store, ["rmi", "-f", image]).status == 0
    assert image not in casstore(store, ["images", "-a", "--no-trunc"]).out
    assert casstore(store, ["fsck"]) == (0, "", "")


# Things of unknown types


def test_what_is_no_image_in_index_json_is_kept(store: str) -> None:
    layout = Layout()
    layout.publish(layout.image("a"), "app:1")
    other = layout.publish(layout.blob(b"<component/>", "application/xml"))

    assert load(store, layout)[::2] == (0, "")

    is_whole(store, layout, other.hex)
    assert casstore(store, ["images", "-q", "app:1"]).out != ""


def test_what_is_no_image_and_not_there_is_told_of(store: str) -> None:
    layout = Layout()
    layout.publish(layout.image("a"), "app:1")
    absent = layout.blob(b"<component/>", "application/xml")
    layout.publish(absent)
    layout.remove(absent)

    result = load(store, layout)

    assert result.status == 0 and result.out == "Loaded image: app:1\n"
    assert result.err == (
        f'Warning: index.json lists {absent["digest"]} of the type "application/xml", which is no '
        "image and not here\n"
    )


def test_what_is_no_image_cannot_be_saved_for_docker(store: str, tmp_path: Path) -> None:
    layout = Layout()
    other = layout.publish(layout.blob(b"<component/>", "application/xml"))
    load(store, layout)

    result = casstore(store, ["save", "-o", str(tmp_path / "x.tar"), other.hex])

    assert result.status == 1 and result.err.count("\n") == 1
    assert not (tmp_path / "x.tar").exists()


@pytest.mark.parametrize("texts", [[], ["a"], ["a", "b"]])
@pytest.mark.parametrize("rootfs", [True, False])
def test_layers_of_unknown_types_need_no_diff_ids(
    texts: list[str],
    rootfs: bool,  # noqa: FBT001 - a parameter of pytest
    store: str,
) -> None:
    if texts and not rootfs:
        pytest.skip("a config without rootfs has no diff IDs for known layers")
    layout = Layout()
    config = config_of(*map(layer, texts), **({} if rootfs else {"rootfs": None}))
    known = [layout.blob(layer(text), OCI_LAYER) for text in texts]
    module = layout.blob(b"\0asm\1\0\0\0", WASM)
    top = layout.manifest(layout.blob(config, OCI_CONFIG), [*known, module])
    layout.publish(top, "spin/app:1")

    assert load(store, layout)[::2] == (0, "")

    is_whole(store, layout, top["digest"][7:])


def test_images_with_one_config_and_other_modules_are_two_images(store: str) -> None:
    layout = Layout()
    config = layout.blob(config_of(), OCI_CONFIG)
    for word in (b"one", b"two"):
        layout.publish(layout.manifest(config, [layout.blob(word, WASM)]), f"{word.decode()}:1")

    load(store, layout)

    assert len(set(casstore(store, ["images", "-q"]).out.split())) == 2


# Indexes whose platforms lack blobs


def platforms(layout: Layout, *lacking: str, drop: str) -> dict[str, Any]:
    """An index for amd64 and arm64; `drop` what of those in `lacking` is not there."""
    entries = []
    for architecture in ("amd64", "arm64"):
        config = config_of(layer(architecture), architecture=architecture)
        entry = layout.image(architecture, config=config)
        manifest = json.loads(layout.files[f"blobs/sha256/{entry['digest'][7:]}"])
        if architecture in lacking:
            if drop in ("config", "both"):
                layout.remove(manifest["config"])
            if drop in ("layer", "both"):
                layout.remove(manifest["layers"][0])
        entries.append({**entry, "platform": {"os": "linux", "architecture": architecture}})
    return layout.index(*entries)


@pytest.mark.parametrize("drop", ["config", "layer", "both"])
def test_a_platform_that_lacks_blobs_is_left_out_and_told_of(drop: str, store: str) -> None:
    layout = Layout()
    top = layout.publish(platforms(layout, "arm64", drop=drop), "box:1")

    result = load(store, layout)

    assert result.status == 0
    assert result.err.startswith(f"Warning: index {top.short} comes without linux/arm64: blob sha")
    assert result.err.endswith("is missing\n") and result.err.count("\n") == 1
    assert casstore(store, ["inspect", "--platform", "linux/amd64", "box:1"]).status == 0
    assert casstore(store, ["inspect", "--platform", "linux/s390x", "box:1"]).status == 1
    is_whole(store, layout, top.hex)


def test_a_platform_that_was_left_out_comes_in_later(store: str) -> None:
    partial, whole = Layout(), Layout()
    partial.publish(platforms(partial, "arm64", drop="layer"), "box:1")
    whole.publish(platforms(whole, drop=""), "box:1")
    assert casstore(store, ["load"], partial.tar().getvalue()).status == 0

    assert load(store, whole)[::2] == (0, "")

    arm = json.loads(casstore(store, ["inspect", "--platform", "linux/arm64", "box:1"]).out)[0]
    assert arm["Architecture"] == "arm64"
    assert casstore(store, ["fsck"]) == (0, "", "")


@pytest.mark.parametrize("drop", ["config", "layer"])
def test_an_index_with_no_platform_that_is_whole_is_refused(drop: str, store: str) -> None:
    layout = Layout()
    note = layout.image("note", config=config_of(layer("note"), os="unknown"))
    attestation = {**note, "platform": {"os": "unknown", "architecture": "unknown"}}
    index = platforms(layout, "amd64", "arm64", drop=drop)
    both = json.loads(layout.files[f"blobs/sha256/{index['digest'][7:]}"])["manifests"]
    layout.publish(layout.index(*both, attestation), "box:1")

    result = load(store, layout)

    assert result.status == 1 and result.err.endswith(" is missing\n")


def test_an_image_that_lacks_blobs_is_refused_where_index_json_lists_it_itself(store: str) -> None:
    layout = Layout()
    top = platforms(layout, "arm64", drop="layer")
    layout.publish(top, "box:1")
    manifests = json.loads(layout.files[f"blobs/sha256/{top['digest'][7:]}"])["manifests"]
    layout.publish(manifests[1], "arm:1")

    result = load(store, layout)

    assert result.status == 1 and result.err.endswith(" is missing\n")


# Names


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("docker.io/bazel/MyImage:tag", "must be lowercase"),
        ("app@sha256:" + "e" * 64, "it has the digest of something else"),
        ("v1", "it is a tag, and there is no name of a file to go with it"),
        ("a b", "invalid reference format"),
    ],
)
def test_a_name_that_cannot_be_used_is_told_of(name: str, says: str, store: str) -> None:
    layout = Layout()
    layout.publish(layout.image("a"), name)

    result = load(store, layout)

    image = sha256(config_of(layer("a")))
    assert result.status == 0 and result.out == f"Loaded image ID: {image.hex}\n"
    assert result.err.startswith(f"Warning: {image.short} comes without the name ")
    assert says in result.err and result.err.count("\n") == 1


# Nothing at all


@pytest.mark.parametrize(
    "files",
    [
        {"manifest.json": b"null"},
        {"manifest.json": b"[]"},
        {"repositories": b"{}"},
        {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": b'{"manifests":[]}'},
        # as umoci writes it
        {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": b'{"manifests":null}'},
    ],
)
def test_an_archive_of_no_images_is_told_of(files: dict[str, bytes], store: str) -> None:
    result = casstore(store, ["load"], tar_of(files))

    assert (result.status, result.out) == (0, "")
    assert result.err.endswith("lists no images, so nothing was loaded\n")


@pytest.mark.parametrize("index", [b"{}", b'{"schemaVersion":2}', b"null", b"[]"])
def test_an_index_json_that_lists_nothing_at_all_is_refused(index: bytes, store: str) -> None:
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}

    result = casstore(store, ["load"], tar_of(files))

    assert result.status == 1 and result.err.startswith("Error: index.json ")


# Words


def test_a_blob_behind_a_link_that_leads_out_is_not_called_missing(
    store: str, tmp_path: Path
) -> None:
    layout = Layout()
    layout.publish(layout.image("a"), "app:1")
    path = layout.write(str(tmp_path / "layout"))
    os.rename(f"{path}/blobs/sha256", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", f"{path}/blobs/sha256")
    first = casstore(store, ["load", path])
    os.unlink(f"{path}/blobs/sha256")
    os.mkdir(f"{path}/blobs/sha256")
    for name in os.listdir(tmp_path / "elsewhere"):
        os.symlink(f"../../../elsewhere/{name}", f"{path}/blobs/sha256/{name}")
    second = casstore(store, ["load", path])

    for result in (first, second):
        assert result.status == 1
        assert f"is a link that leads out of {quote(path)}\n" in result.err


@pytest.mark.parametrize(
    "files",
    [
        {"bin/sh": b"x", "etc/passwd": b"root"},
        {"./etc/passwd": b"root"},
        {"etc/passwd": b"root", "manifest.json": b'{"name":"web app"}'},
    ],
)
def test_a_root_file_system_is_told_to_be_one_for_import(
    files: dict[str, bytes], store: str
) -> None:
    result = casstore(store, ["load"], tar_of(files))

    assert result.status == 1 and result.err.count("\n") == 1
    assert "images" in result.err and result.err.endswith(" with casstore import\n")


def test_images_one_directory_down_are_told_of(store: str, tmp_path: Path) -> None:
    layout = Layout()
    layout.publish(layout.image("a"), "app:1")
    layout.write(str(tmp_path / "around" / "img"))
    inside = {f"img/{name}": data for name, data in layout.all_files().items()}
    docker = {f"img/{name}": b"" for name in ("manifest.json", "x/layer.tar")}

    assert (
        'its directory "img" has: load that'
        in casstore(store, ["load", str(tmp_path / "around")]).err
    )
    for files in (inside, docker):
        result = casstore(store, ["load"], tar_of(files))
        assert result.status == 1 and result.err.count("\n") == 1
        assert 'its directory "img" has: make the archive of what is in that' in result.err


def test_an_image_without_a_name_is_copied_by_its_position(store: str, tmp_path: Path) -> None:
    images = [config_of(layer("a"), author=author) for author in ("x", "y")]
    path = tmp_path / "two.tar"
    path.write_bytes(docker_archive(*({"layers": [layer("a")], "config": c} for c in images)))

    assert casstore(store, ["copy", f"docker-archive:{path}:@1", "got:1"]).status == 0
    assert casstore(store, ["images", "-q", "--no-trunc"]).out == f"{sha256(images[1]).hex}\n"
    assert casstore(store, ["copy", f"docker-archive:{path}:@2", "got:2"])[::2] == (
        1, f"Error: {quote(str(path))} has 2 images, so none at @2\n",
    )  # fmt: skip
    for nowhere in ("@", "@-1", "@x", "@" + "9" * 5000):
        assert casstore(store, ["copy", f"docker-archive:{path}:{nowhere}", "got:2"]).status == 1


# Images of other systems


@pytest.mark.parametrize("system", ["windows", "freebsd", "wasip1"])
def test_an_image_of_another_system_is_saved_in_a_form_that_is_loaded(
    system: str, store: str, tmp_path: Path
) -> None:
    layout = Layout()
    layout.publish(layout.image("a", config=config_of(layer("a"), os=system)), "win/a:1")
    layout.publish(layout.image("b"), "app:1")
    load(store, layout)
    for form in ("docker", "oci", "oci-dir"):
        out, other = str(tmp_path / form), str(tmp_path / f"other-{form}")
        words = ["save", "--format", form, "-o", out, "win/a:1", "app:1"]
        assert casstore(store, words) == (0, "", "")
        assert casstore(other, ["load", out]).status == 0
        assert casstore(other, ["images", "-a", "--no-trunc"]).out == (
            casstore(store, ["images", "-a", "--no-trunc"]).out
        )


def test_an_archive_of_linux_images_alone_is_no_layout(store: str, tmp_path: Path) -> None:
    layout = Layout()
    layout.publish(layout.image("a"), "app:1")
    load(store, layout)
    casstore(store, ["save", "-o", str(tmp_path / "x.tar"), "app:1"])

    listed = subprocess.run(
        ["tar", "tf", str(tmp_path / "x.tar")], capture_output=True, text=True, check=True
    )
    assert "index.json" not in listed.stdout


def test_a_docker_archive_of_another_system_is_refused_in_dockers_words(store: str) -> None:
    data = docker_archive({"layers": [layer("a")], "config": config_of(layer("a"), os="windows")})

    assert casstore(store, ["load"], data).err == "Error: cannot load windows image on linux\n"


# Padding


@pytest.mark.skipif(shutil.which("bsdtar") is None, reason="bsdtar is not installed")
@pytest.mark.parametrize("how", ["-z", "-j", "-J", "--zstd", ""])
def test_what_bsdtar_writes_to_a_pipe_is_imported_and_loaded(
    how: str, store: str, tmp_path: Path
) -> None:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "etc" / "motd").write_text("hi\n")
    words = ["bsdtar", "-c", *filter(None, [how]), "-f", "-", "-C"]
    data = subprocess.run([*words, str(tmp_path / "root"), "."], capture_output=True, check=True)
    assert casstore(store, ["import", "-", "imp:1"], data.stdout).status == 0

    layout = Layout()
    layout.publish(layout.image("a"), "app:1")
    path = layout.write(str(tmp_path / "layout"))
    data = subprocess.run([*words, path, "."], capture_output=True, check=True)
    assert casstore(store, ["load"], data.stdout).out == "Loaded image: app:1\n"
