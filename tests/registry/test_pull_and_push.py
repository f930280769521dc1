"""pull and push against the real registry: the story of the rmi page, and all that goes with it."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from casstore.errors import NotFound, Refused, UsageError
from casstore.model.digest import sha256
from casstore.model.reference import parse_name
from casstore.registry.http import Transport
from casstore.store import Store
from casstore.transfer.place import parse_place
from tests.backends.local.behind import directory_of
from tests.compat.programs import podman, run
from tests.registry.conftest import NewStore, filled, names
from tests.registry.servers import Proxy, RealRegistry
from tests.sessions.commandline import casstore
from tests.transfer.building import (
    OCI_CONFIG,
    OCI_LAYER,
    Layout,
    config_of,
    docker_archive,
    layer,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "images"


def pushed(
    store: Store, host: str, path: Path, *texts: str, name: str = "test/busybox:latest"
) -> str:
    """Push an image of these layers; returns the digest of its manifest."""
    layout = Layout()
    digest = layout.publish(layout.image(*texts), f"{host}/{name}")
    filled(store, layout, path)
    store.push(f"{host}/{name}")
    return digest


def lines(store: Store, *words: str) -> list[str]:
    result = casstore(store.path, words)
    assert result.status == 0, result.err
    return result.out.splitlines()


def test_the_story_of_the_page_is_true(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = f"{registry.host}/story/busybox"
    digest = pushed(new_store(), registry.host, tmp_path, "a", "b", name="story/busybox:latest")
    store = new_store()
    assert lines(store, "pull", "-q", f"{name}@{digest}") == [f"{name}@{digest}"]
    image = store.get(f"{name}@{digest}")

    row = lines(store, "images", "--digests", "--no-trunc")[1].split()
    assert row[:4] == [name, "<none>", digest, image.id.hex]

    assert lines(store, "rmi", f"{name}@{digest}") == [
        f"Untagged: {name}@{digest}",
        f"Deleted: {image.id.hex}",
        *(f"Deleted: {one.hex}" for one in reversed(image.layers)),
    ]
    assert lines(store, "pull", name) == [
        "Using default tag: latest",
        "latest: Pulling from story/busybox",
        *(f"{one.short}: Pulling fs layer" for one in image.layers),
        *(f"{one.short}: Download complete" for one in image.layers),
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {name}:latest",
        f"{name}:latest",
    ]
    assert lines(store, "rmi", name)[:2] == [
        f"Untagged: {name}:latest",
        f"Untagged: {name}@{digest}",
    ]


def test_a_pull_by_tag_records_the_tag_and_then_the_digest(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = f"{registry.host}/both/app"
    digest = pushed(new_store(), registry.host, tmp_path, "x", name="both/app:1")
    store = new_store()
    store.pull(f"{name}:1")

    assert names(store, f"{name}:1") == [f"{name}:1", f"{name}@{digest}"]


def test_a_push_records_the_digest_that_the_registry_has(
    registry: RealRegistry, store: Store, tmp_path: Path
) -> None:
    digest = pushed(store, registry.host, tmp_path, "x", name="recorded/app:1")

    name = f"{registry.host}/recorded/app"
    assert names(store, f"{name}:1") == [f"{name}:1", f"{name}@{digest}"]


def test_what_is_there_is_neither_pulled_nor_pushed_again(
    proxy: Proxy, store: Store, tmp_path: Path
) -> None:
    pushed(store, proxy.host, tmp_path, "x", "y", name="again/app:1")
    before = len(proxy.seen)
    result = lines(store, "push", f"{proxy.host}/again/app:1")
    assert sum("already exists" in line for line in result) == 2
    assert [(one.method, one.path) for one in proxy.seen[before:]] == [
        ("GET", "/v2/"),  # whether it speaks TLS, as it is on this machine
        ("HEAD", "/v2/again/app/manifests/1"),
    ]

    before = len(proxy.seen)
    assert f"Status: Image is up to date for {proxy.host}/again/app:1" in lines(
        store, "pull", f"{proxy.host}/again/app:1"
    )
    assert not [one for one in proxy.seen[before:] if "/blobs/" in one.path]


def test_only_the_missing_layer_is_fetched(
    proxy: Proxy, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    pushed(origin, proxy.host, tmp_path / "1", "base", name="part/app:1")
    pushed(origin, proxy.host, tmp_path / "2", "base", "top", name="part/app:2")
    store.pull(f"{proxy.host}/part/app:1")
    before = len(proxy.seen)
    store.pull(f"{proxy.host}/part/app:2")

    fetched = [one for one in proxy.seen[before:] if "/blobs/" in one.path]
    assert len(fetched) == 2  # the config and the top layer


def test_a_layer_of_another_repository_is_mounted_and_not_sent(
    proxy: Proxy, store: Store, tmp_path: Path
) -> None:
    pushed(store, proxy.host, tmp_path, "x", name="mount/one:1")
    store.tag(f"{proxy.host}/mount/one:1", f"{proxy.host}/mount/two:1")

    told = lines(store, "push", f"{proxy.host}/mount/two:1")
    layer_id = store.get(f"{proxy.host}/mount/two:1").layers[0].short
    assert f"{layer_id}: Mounted from mount/one" in told
    sent = [one.path for one in proxy.seen if one.method == "PUT" and "mount/two/blobs" in one.path]
    assert not [path for path in sent if layer_id in path]


def test_all_tags_come_and_go(registry: RealRegistry, new_store: NewStore, tmp_path: Path) -> None:
    origin, store = new_store(), new_store()
    name = f"{registry.host}/every/app"
    layout = Layout()
    for tag in "1", "2", "3":
        layout.publish(layout.image(f"layer {tag}"), f"{name}:{tag}")
    filled(origin, layout, tmp_path)
    assert len(origin.push(name, all_tags=True)) == 3
    store.pull(name, all_tags=True)

    assert {n.familiar for image in store.images() for n in image.names if n.tag} == {
        f"{name}:1", f"{name}:2", f"{name}:3",
    }  # fmt: skip


def test_an_image_of_300_layers_comes_back_as_it_went(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    texts = [f"layer {number}" for number in range(300)]
    digest = pushed(origin, registry.host, tmp_path, *texts, name="deep/app:1")
    store.pull(f"{registry.host}/deep/app@{digest}")

    assert store.get(f"{registry.host}/deep/app@{digest}").layers == (
        origin.get(f"{registry.host}/deep/app:1").layers
    )
    assert len(store.get(f"{registry.host}/deep/app@{digest}").layers) == 300


def three_platforms(layout: Layout) -> dict[str, Any]:
    """An index with an image for each of three platforms."""
    children = []
    for architecture, variant in ("amd64", ""), ("arm64", "v8"), ("arm", "v7"):
        layers = [layer("base"), layer(architecture)]
        config = config_of(*layers, architecture=architecture, variant=variant)
        child = layout.image("base", architecture, config=config)
        platform = {"os": "linux", "architecture": architecture}
        if variant:
            platform["variant"] = variant
        children.append({**child, "platform": platform})
    return layout.index(*children)


def test_an_index_keeps_its_bytes_and_digest_through_push_and_pull(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    name = f"{registry.host}/multi/app"
    layout = Layout()
    digest = layout.publish(three_platforms(layout), f"{name}:1")
    filled(origin, layout, tmp_path)
    assert origin.push(f"{name}:1")[0].digest == digest
    store.pull(f"{name}:1", all_platforms=True)

    assert store.get(f"{name}:1").id == digest
    assert len(store.get(f"{name}:1").layers) == 6  # of three platforms, the base three times


@pytest.mark.parametrize(
    ("platform", "architecture"),
    [
        ("linux/arm64", "arm64"),
        ("linux/arm/v7", "arm"),
        ("amd64", "amd64"),
        ("linux/arm/v8", "arm"),
    ],
)
def test_a_platform_is_taken_from_an_index_and_the_digest_is_the_indexs(
    platform: str, architecture: str, registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    name = f"{registry.host}/choose/app"
    layout = Layout()
    digest = layout.publish(three_platforms(layout), f"{name}:1")
    filled(origin, layout, tmp_path)
    origin.push(f"{name}:1")
    store.pull(f"{name}:1", platform=platform)

    assert store.inspect(f"{name}:1")["Architecture"] == architecture
    assert names(store, f"{name}:1") == [f"{name}:1", f"{name}@{digest}"]
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        store.pull(f"{name}:1", platform="linux/s390x")


def test_an_image_of_another_platform_comes_with_a_warning(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pushed(new_store(), registry.host, tmp_path, "x", name="odd/app:1")
    result = new_store().pull(f"{registry.host}/odd/app:1", platform="linux/s390x")

    assert result.warnings == (
        f"{registry.host}/odd/app:1 is for linux/amd64, not for linux/s390x",
    )
    log = [one.getMessage() for one in caplog.records if one.name == "casstore"]
    assert log == list(result.warnings)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("{}/nosuch/app:1", "manifest for {}/nosuch/app:1 not found: manifest unknown"),
        ("{}/nosuch/app@sha256:" + "0" * 64, "not found: manifest unknown"),
        ("{}/Bad/app", "repository name must be lowercase"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    name: str, error: str, registry: RealRegistry, store: Store
) -> None:
    result = casstore(store.path, ["pull", name.format(registry.host)])

    assert result.status == 1
    assert error.format(registry.host) in result.err
    assert result.err.count("\n") == 1


def test_one_name_that_fails_does_not_stop_the_next(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    pushed(new_store(), registry.host, tmp_path, "x", name="next/app:1")
    store = new_store()
    result = casstore(
        store.path, ["pull", "-q", f"{registry.host}/next/none:1", f"{registry.host}/next/app:1"]
    )

    assert (result.status, result.out) == (1, f"{registry.host}/next/app:1\n")


def test_what_cannot_be_pushed_is_said_in_dockers_words(store: Store, tmp_path: Path) -> None:
    layout = Layout()
    digest = layout.publish(layout.image("x"), "localhost:1/app:1")
    filled(store, layout, tmp_path)

    with pytest.raises(NotFound, match="An image does not exist locally with the tag: nosuch"):
        store.push("nosuch:1")
    with pytest.raises(NotFound, match="tag does not exist: localhost:1/app:2"):
        store.push("localhost:1/app:2")
    with pytest.raises(Refused, match="cannot push a digest reference"):
        store.push(f"localhost:1/app@{digest}")
    with pytest.raises(UsageError, match="tag can't be used with --all-tags/-a"):
        store.push("localhost:1/app:1", all_tags=True)


def test_a_damaged_blob_never_becomes_whole_in_the_registry(
    registry: RealRegistry, store: Store, tmp_path: Path
) -> None:
    layout = Layout()
    layout.publish(layout.image("x"), f"{registry.host}/damaged/app:1")
    filled(store, layout, tmp_path)
    blob = Path(
        directory_of(store).blobs.path(store.get(f"{registry.host}/damaged/app:1").layers[0])
    )
    content = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    result = casstore(store.path, ["push", f"{registry.host}/damaged/app:1"])
    blob.write_bytes(content)

    assert result.status == 12
    assert "is damaged" in result.err
    with pytest.raises(NotFound):
        store.pull(f"{registry.host}/damaged/app:1")


def test_skopeo_reads_what_we_pushed_with_the_same_digest(
    registry: RealRegistry, store: Store, tmp_path: Path
) -> None:
    digest = pushed(store, registry.host, tmp_path, "x", "y", name="skopeo/app:1")
    seen = json.loads(
        run("skopeo", "inspect", "--tls-verify=false", f"docker://{registry.host}/skopeo/app:1")
    )

    assert seen["Digest"] == digest


def test_we_pull_what_skopeo_pushed_with_the_same_digest(
    registry: RealRegistry, store: Store, tmp_path: Path
) -> None:
    name = f"{registry.host}/theirs/multi"
    run("skopeo", "--insecure-policy", "copy", "--all", "--dest-tls-verify=false",
        f"oci:{FIXTURES / 'podman' / 'index-oci'}", f"docker://{name}:1")  # fmt: skip
    raw = run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}:1")
    store.pull(f"{name}:1", all_platforms=True)

    assert store.session.backend.blobs.read(store.get(f"{name}:1").id) == raw.encode()


def test_podman_pulls_what_we_pushed_and_the_other_way_round(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    name = f"{registry.host}/podman/app"
    digest = pushed(origin, registry.host, tmp_path, "x", "y", name="podman/app:1")
    with podman() as theirs:
        theirs("pull", "--tls-verify=false", f"{name}:1")
        assert digest in theirs("image", "inspect", "--format", "{{.Digest}}", f"{name}:1")

        theirs("push", "--tls-verify=false", f"{name}:1", f"docker://{name}:2")
    store.pull(f"{name}:2")
    assert store.get(f"{name}:2").id == origin.get(f"{name}:1").id


def test_connections_are_shared_among_pulls(
    proxy: Proxy, new_store: NewStore, tmp_path: Path, transport: Transport
) -> None:
    pushed(new_store(), proxy.host, tmp_path, "x", "y", name="shared/app:1")
    new_store().pull(f"{proxy.host}/shared/app:1", via=transport)
    before = proxy.connections
    new_store().pull(f"{proxy.host}/shared/app:1", via=transport)

    assert proxy.connections == before


def test_all_tags_come_when_one_has_moved_and_another_names_the_former_image(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    origin, store = new_store(), new_store()
    name = f"{registry.host}/moved/app"
    text, config = layer("old"), config_of(layer("old"))
    for one in origin, store:
        one.load(io.BytesIO(docker_archive({"layers": [text], "config": config})))
        one.tag(sha256(config), f"{name}:latest")
    other = Layout()  # the same image with gzip layers
    gzip = other.publish(other.image("old", config=config), f"{name}:other")
    filled(origin, other, tmp_path)
    filled(store, other, tmp_path)
    origin.tag(f"{name}:latest", f"{name}:was")
    newer = Layout()
    newer.publish(newer.image("new"), f"{name}:latest")
    filled(origin, newer, tmp_path / "newer")
    origin.push(name, all_tags=True)

    store.pull(name, all_tags=True)

    assert store.check().clean
    for tag in "latest", "was", "other":
        assert store.session.view().top_named(parse_name(f"{name}:{tag}").reference) == (
            origin.session.view().top_named(parse_name(f"{name}:{tag}").reference)
        )
        store.save([f"{name}:{tag}"], str(tmp_path / f"{tag}.tar"))
    assert gzip in {top.digest for top in store.session.view().tops_of(sha256(config))}


def test_a_push_whose_name_goes_meanwhile_records_nothing(
    registry: RealRegistry, store: Store, tmp_path: Path
) -> None:
    name = f"{registry.host}/meanwhile/app:1"
    config = config_of(layer("x"))
    layout = Layout()
    layout.publish(layout.image("x", config=config), name)
    filled(store, layout, tmp_path)
    store.copy_in(parse_place(f"casstore:{name}"), "kept:1")
    store.load(io.BytesIO(docker_archive({"layers": [layer("x")], "config": config})))
    another = Layout()  # the image's other manifest: its layer as it is
    plain = another.manifest(
        another.blob(config, OCI_CONFIG), [another.blob(layer("x"), OCI_LAYER)]
    )
    another.publish(plain, "kept:1")
    filled(store, another, tmp_path / "plain")

    def tell(what: str, to: str) -> None:
        if "digest:" in what:  # all has been sent
            with Store(store.path) as other:
                other.remove([name])

    pushed = store.push(name, tell=tell)

    assert [one.name.familiar for one in pushed] == [name]
    assert names(store, "kept:1") == ["kept:1"]


def test_a_pull_of_digests_alone_reads_no_layer_and_a_later_one_of_all_fetches_none(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = f"{registry.host}/digests/app"
    pushed(new_store(), registry.host, tmp_path, "a", "b", name="digests/app:1")
    store = new_store()

    store.pull(f"{name}:1", verify="digest")
    before = store.get(f"{name}:1").settled
    again = lines(store, "pull", "--verify", "all", f"{name}:1")

    assert (before, store.get(f"{name}:1").settled) == (False, True)
    assert not [line for line in again if "Pulling fs layer" in line]


def test_a_pull_of_digests_alone_takes_a_layer_that_lies_and_a_pull_of_all_does_not(
    registry: RealRegistry, new_store: NewStore, tmp_path: Path
) -> None:
    name = f"{registry.host}/digests/liar:1"
    layout = Layout()
    layers = [layout.blob(gzip.compress(layer("other"), mtime=0), OCI_LAYER + "+gzip")]
    layout.publish(layout.manifest(layout.blob(config_of(layer("a")), OCI_CONFIG), layers), "v1")
    layout.write(str(tmp_path / "layout"))
    copied = new_store()
    lines(copied, "copy", f"oci:{tmp_path / 'layout'}:v1", f"docker://{name}")

    with Store(tmp_path / "another") as store:
        with pytest.raises(Refused, match="invalid diffID"):
            store.pull(name)
        store.pull(name, verify="digest")

        assert store.settle().damaged[0].endswith(f"needed by {name}")
        with pytest.raises(Refused, match="invalid diffID"):
            store.pull(name)
