"""Real clients pull from a store, and push to it: skopeo, podman, casstore itself."""

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


def pushed(store: Store, name: str) -> str:
    """The ID of an image that was pushed; all of it is in the store as it should be."""
    report = store.check(content=True)
    assert [finding for finding in report.findings if finding.level == "error"] == []
    assert store.settle().damaged == ()
    return store.get(name).id


def test_skopeo_pushes_an_image(serve: Serve, store: Store, filled: Store, tmp_path: Path) -> None:
    server = serve(store)
    filled.save(["app:1"], tmp_path / "app", format="oci-dir")
    target = f"docker://{server.host}/team/pushed:1"
    run("skopeo", "copy", "--dest-tls-verify=false", f"oci:{tmp_path}/app:app:1", target)
    assert pushed(store, "team/pushed:1") == filled.get("app:1").id


def test_skopeo_pushes_all_of_an_index(
    serve: Serve, store: Store, filled: Store, tmp_path: Path
) -> None:
    server = serve(store)
    filled.save(["many:1"], tmp_path / "many", format="oci-dir")
    target = f"docker://{server.host}/team/pushed:1"
    run("skopeo", "copy", "--all", "--dest-tls-verify=false", f"oci:{tmp_path}/many:many:1", target)
    assert pushed(store, "team/pushed:1") == filled.get("many:1").id
    names = [name.familiar for name in store.session.view().all_names()]
    assert sum(name.startswith("team/pushed@") for name in names) == 1


def test_skopeo_deletes_an_image(serve: Serve, filled: Store) -> None:
    server = serve(filled)
    run("skopeo", "delete", "--tls-verify=false", f"docker://{server.host}/ghcr.io/owner/app:1")
    assert not any(name.startswith("ghcr.io") for name in filled.names())


def test_podman_pushes_an_image(serve: Serve, store: Store, filled: Store) -> None:
    server = serve(store)
    with podman() as own:
        own("pull", "--quiet", "--tls-verify=false", f"{server.host}/library/app:1")
        own(
            "push", "--quiet", "--tls-verify=false", f"{server.host}/library/app:1",
            f"{server.host}/team/pushed:1",
        )  # fmt: skip
    assert pushed(store, "team/pushed:1")


@pytest.mark.parametrize("name", ["app:1", "many:1"])
def test_casstore_pushes_an_image(
    serve: Serve, store: Store, filled: Store, tmp_path: Path, name: str
) -> None:
    server = serve(store)
    with Store(str(tmp_path / "other")) as other:
        filled.save([name], tmp_path / "saved.tar", format="oci")
        other.load(tmp_path / "saved.tar")
        other.tag(name, f"{server.host}/team/pushed:1")
        other.push(f"{server.host}/team/pushed:1")
    assert pushed(store, "team/pushed:1") == filled.get(name).id
