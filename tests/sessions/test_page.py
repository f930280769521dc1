"""The three sessions of the examples on Docker's rmi page, with images of the page's shape.

IDs differ and the columns are as wide as their content; every other character is the page's.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from casstore.cli.app import App
from tests.sessions.commandline import casstore
from tests.sessions.recording import DATED

NOW = datetime(2013, 12, 11, 5, 47, 16, tzinfo=UTC)
CREATED = "2013-12-11T05:46:53Z"  # 23 seconds ago
NINE_WEEKS_AGO = "2013-10-08T05:47:16Z"
BASE_SIZE = 4_964_000
NAMES = ("test1:latest", "test:latest", "test2:latest")
CONFLICT = (
    "Error: Conflict, cannot delete image {} because it is tagged in multiple repositories,"
    " use -f to force"
)


@pytest.fixture(autouse=True)
def _as_the_page_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(App, "now", lambda _self: int(NOW.timestamp()) * 10**9)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _config(layers: list[bytes], steps: int, created: str) -> bytes:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}" for layer in layers]},
        "history": [
            {"created": created, "created_by": f"step {step}", "empty_layer": step >= len(layers)}
            for step in range(steps)
        ],
    }
    return json.dumps(document).encode()


def _three_tags(directory: Path, *, own_layer: bool) -> tuple[str, str]:
    """A store with an image of three tags over a tagged parent; the store, and the image's ID."""
    below = _tar({"base": bytes(BASE_SIZE)})
    layers = [below, _tar({"file": b"7 bytes"})] if own_layer else [below]
    parent, image = _config([below], 1, CREATED), _config(layers, 2, CREATED)
    manifest = [
        {"Config": "parent.json", "RepoTags": ["busybox:latest"], "Layers": ["0.tar"]},
        {
            "Config": "image.json",
            "RepoTags": list(NAMES[:1]),
            "Layers": [f"{at}.tar" for at in range(len(layers))],
            "Parent": f"sha256:{_digest(parent)}",
        },
    ]
    members = {"manifest.json": json.dumps(manifest).encode()}
    members |= {"parent.json": parent, "image.json": image}
    members |= {f"{at}.tar": layer for at, layer in enumerate(layers)}
    (directory / "page.tar").write_bytes(_tar(members))
    store = str(directory / "store")
    assert casstore(store, ["load", str(directory / "page.tar")]).status == 0
    for name in NAMES[1:]:
        assert casstore(store, ["tag", NAMES[0], name]).status == 0
    return store, _digest(image)


def _listing(image: str, size: str) -> str:
    short = image[:12]
    return (
        "REPOSITORY          TAG                 IMAGE ID            CREATED             SIZE\n"
        f"test1               latest              {short}        23 seconds ago      {size}\n"
        f"test                latest              {short}        23 seconds ago      {size}\n"
        f"test2               latest              {short}        23 seconds ago      {size}\n"
    )


@pytest.mark.parametrize(
    ("own_layer", "size"), [(True, "7 B (virtual 4.964 MB)"), (False, "0 B (virtual 4.964 MB)")]
)
def test_images_lists_the_three_tags_as_on_the_page(
    own_layer: bool,  # noqa: FBT001 - a parameter of the test
    size: str,
    tmp_path: Path,
) -> None:
    store, image = _three_tags(tmp_path, own_layer=own_layer)
    assert casstore(store, ["images", "test*"]).out == _listing(image, size)


def test_an_image_of_three_tags_goes_with_the_last_of_them(tmp_path: Path) -> None:
    store, image = _three_tags(tmp_path, own_layer=False)
    refused = casstore(store, ["rmi", image[:12]])
    assert (refused.status, refused.out) == (1, "")
    conflict, dated = refused.err.splitlines()
    assert conflict == CONFLICT.format(image[:12])
    assert DATED.fullmatch(dated)
    for name, expected in (
        ("test1", "Untagged: test1:latest\n"),
        ("test2", "Untagged: test2:latest\n"),
        ("test", f"Untagged: test:latest\nDeleted: {image}\n"),
    ):
        assert casstore(store, ["rmi", name]) == (0, expected, "")


def test_force_by_id_removes_the_names_in_the_order_they_were_made(tmp_path: Path) -> None:
    store, image = _three_tags(tmp_path, own_layer=False)
    assert casstore(store, ["rmi", "-f", image[:12]]) == (
        0,
        (
            "Untagged: test1:latest\n"
            "Untagged: test:latest\n"
            "Untagged: test2:latest\n"
            f"Deleted: {image}\n"
        ),
        "",
    )


def test_a_layer_of_its_own_has_a_line_after_the_image(tmp_path: Path) -> None:
    store, image = _three_tags(tmp_path, own_layer=True)
    lines = casstore(store, ["rmi", "-f", image[:12]]).out.splitlines()
    assert lines[3] == f"Deleted: {image}"
    assert len(lines) == 5 and lines[4].startswith("Deleted: ")


def _by_digest(directory: Path) -> tuple[str, str, str, list[str]]:
    """A layout whose index has a digest reference and no tag: name, manifest, image, layers."""
    layers = [_tar({"bin": bytes(2_429_993)}), _tar({"file": b"7 bytes"})]
    config = _config(layers, 2, NINE_WEEKS_AGO)
    oci = "application/vnd.oci.image."

    def descriptor(kind: str, data: bytes) -> dict[str, object]:
        return {"mediaType": oci + kind, "digest": f"sha256:{_digest(data)}", "size": len(data)}

    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{oci}manifest.v1+json",
            "config": descriptor("config.v1+json", config),
            "layers": [descriptor("layer.v1.tar", layer) for layer in layers],
        }
    ).encode()
    name = f"localhost:5000/test/busybox@sha256:{_digest(manifest)}"
    entry = descriptor("manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for data in (manifest, config, *layers):
        (blobs / _digest(data)).write_bytes(data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return name, _digest(manifest), _digest(config), [_digest(layer) for layer in layers]


def test_an_image_known_by_a_digest_alone_is_listed_and_removed_as_on_the_page(
    tmp_path: Path,
) -> None:
    name, manifest, image, (bottom, top) = _by_digest(tmp_path / "layout")
    store = str(tmp_path / "store")
    assert casstore(store, ["load", str(tmp_path / "layout")]).status == 0
    digest = f"sha256:{manifest}"
    assert casstore(store, ["images", "--digests"]).out == (
        "REPOSITORY                    TAG       "
        f"{'DIGEST':74}IMAGE ID        CREATED         SIZE\n"
        "localhost:5000/test/busybox   <none>    "
        f"{digest}   {image[:12]}    9 weeks ago     2.43 MB\n"
    )
    assert casstore(store, ["rmi", name]) == (
        0,
        f"Untagged: {name}\nDeleted: {image}\nDeleted: {top}\nDeleted: {bottom}\n",
        "",
    )
    assert casstore(store, ["images", "-aq"]).out == ""
