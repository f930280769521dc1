"""Real clients pull from a store: skopeo, podman, casstore itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casstore.store import Store
from tests.compat.programs import podman, run
from tests.server.conftest import Serve
from tests.transfer.building import Layout


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    """A store with an image of two layers, under two hosts, and an index."""
    layout = Layout()
    image = layout.image("one", "two")
    for name in ("docker.io/library/app:1", "docker.io/library/app:2", "ghcr.io/owner/app:1"):
        layout.publish(image, name)
    layout.publish(layout.index(image, layout.image("three")), "docker.io/library/many:1")
    store.load(layout.write(str(tmp_path / "layout")))
    return store


def test_skopeo_copies_an_image_byte_for_byte(serve: Serve, filled: Store, tmp_path: Path) -> None:
    server = serve(filled)
    source = f"docker://{server.host}/library/app:1"
    run("skopeo", "copy", "--src-tls-verify=false", source, f"dir:{tmp_path}/dir")
    top = filled.get("app:1")
    manifest = json.loads((tmp_path / "dir" / "manifest.json").read_bytes())
    assert manifest["config"]["digest"] == top.id


def test_skopeo_copies_all_of_an_index(serve: Serve, filled: Store, tmp_path: Path) -> None:
    server = serve(filled)
    source = f"docker://{server.host}/library/many:1"
    run("skopeo", "copy", "--all", "--src-tls-verify=false", source, f"dir:{tmp_path}/dir")
    index = json.loads((tmp_path / "dir" / "manifest.json").read_bytes())
    assert len(index["manifests"]) == 2


def test_skopeo_lists_the_tags(serve: Serve, filled: Store) -> None:
    server = serve(filled)
    said = run("skopeo", "list-tags", "--tls-verify=false", f"docker://{server.host}/library/app")
    assert json.loads(said)["Tags"] == ["1", "2"]


def test_podman_pulls_an_image(serve: Serve, filled: Store) -> None:
    server = serve(filled)
    with podman() as own:
        name = f"{server.host}/ghcr.io/owner/app:1"
        said = own("pull", "--quiet", "--tls-verify=false", name)
    assert said.strip() == filled.get("app:1").id.removeprefix("sha256:")


def test_casstore_pulls_an_image(serve: Serve, filled: Store, tmp_path: Path) -> None:
    server = serve(filled)
    with Store(str(tmp_path / "other")) as other:
        other.pull(f"{server.host}/library/app:1")
        assert other.get(f"{server.host}/library/app:1").id == filled.get("app:1").id


def test_casstore_pulls_an_image_by_its_digest(serve: Serve, filled: Store, tmp_path: Path) -> None:
    server = serve(filled)
    digest = filled.session.view().tops_of(filled.get("app:1").id)[0].digest
    with Store(str(tmp_path / "other")) as other:
        other.pull(f"{server.host}/library/app@{digest}")
        assert other.get(f"{server.host}/library/app@{digest}").id == filled.get("app:1").id
