"""The pull side of the distribution API: what is at each path, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from casstore.model.digest import sha256
from casstore.model.mediatype import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST
from casstore.store import Store
from tests.server.conftest import Serve
from tests.transfer.building import (
    OCI_INDEX,
    OCI_MANIFEST,
    Layout,
    config_of,
    docker_archive,
    layer,
)

NOBODY = "sha256:" + "0" * 64


class Images:
    """What the store under test holds."""

    def __init__(self, store: Store, directory: Path) -> None:
        self.store = store
        self._directory = directory
        self._count = 0

    def load(self, layout: Layout) -> None:
        self._count += 1
        self.store.load(layout.write(str(self._directory / f"layout-{self._count}")))

    def image(self, *names: str, text: str = "text") -> dict[str, Any]:
        """An image with one layer, and its names; returns its manifest's descriptor."""
        layout = Layout()
        made = layout.image(text)
        for name in names:
            layout.publish(made, name)
        self.load(layout)
        return {**made, "content": layout.of(made)}


@pytest.fixture
def images(store: Store, tmp_path: Path) -> Images:
    return Images(store, tmp_path)


def errors(body: bytes) -> list[str]:
    return [error["code"] for error in json.loads(body)["errors"]]


def test_the_base_says_what_this_is(serve: Serve, store: Store) -> None:
    status, headers, body = serve(store).get("/v2/")
    assert (status, body) == (200, b"{}")
    assert headers["docker-distribution-api-version"] == "registry/2.0"


# Manifests


@pytest.mark.parametrize("by", ["1", "digest"])
def test_a_manifest_is_its_stored_bytes(serve: Serve, images: Images, by: str) -> None:
    made = images.image("docker.io/library/app:1")
    word = made["digest"] if by == "digest" else by
    status, headers, body = serve(images.store).get(f"/v2/library/app/manifests/{word}")

    assert (status, body) == (200, made["content"])
    assert headers["content-type"] == OCI_MANIFEST
    assert headers["docker-content-digest"] == made["digest"]
    assert headers["etag"] == f'"{made["digest"]}"'


def test_head_of_a_manifest_says_how_long_it_is(serve: Serve, images: Images) -> None:
    made = images.image("docker.io/library/app:1")
    status, headers, body = serve(images.store).ask("HEAD /v2/library/app/manifests/1 HTTP/1.1")
    assert (status, body) == (200, b"")
    assert headers["content-length"] == str(made["size"])
    assert headers["docker-content-digest"] == made["digest"]


def test_dockers_own_types_are_served_as_they_came(serve: Serve, images: Images) -> None:
    layout = Layout()
    content = layer("text")
    config = layout.blob(config_of(content), DOCKER_CONFIG)
    manifest = {
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config,
        "layers": [layout.blob(content, DOCKER_LAYER)],
    }  # fmt: skip
    layout.publish(layout.json_blob(manifest, DOCKER_MANIFEST), "docker.io/library/app:1")
    images.load(layout)
    _, headers, _ = serve(images.store).get("/v2/library/app/manifests/1", f"Accept: {OCI_INDEX}")
    assert headers["content-type"] == DOCKER_MANIFEST


def test_an_index_and_what_is_below_it_are_served(serve: Serve, images: Images) -> None:
    layout = Layout()
    children = [layout.image("one"), layout.image("two")]
    layout.publish(layout.index(*children), "docker.io/library/app:1")
    images.load(layout)
    server = serve(images.store)
    assert server.get("/v2/library/app/manifests/1")[1]["content-type"] == OCI_INDEX
    for child in children:
        status, headers, body = server.get(f"/v2/library/app/manifests/{child['digest']}")
        assert (status, headers["content-type"]) == (200, OCI_MANIFEST)
        assert body == layout.of(child)


def test_an_image_of_a_docker_archive_has_a_manifest_too(
    serve: Serve, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "image.tar"
    content = layer("text")
    config = config_of(content)
    path.write_bytes(docker_archive({"config": config, "layers": [content], "tags": ["app:1"]}))
    store.load(str(path))
    server = serve(store)
    _, headers, body = server.get("/v2/library/app/manifests/1")
    assert headers["content-type"] == OCI_MANIFEST
    digest = json.loads(body)["config"]["digest"]
    assert server.get(f"/v2/library/app/blobs/{digest}")[2] == config


def test_a_client_that_has_a_manifest_is_told_so(serve: Serve, images: Images) -> None:
    made = images.image("docker.io/library/app:1")
    server = serve(images.store)
    path = "/v2/library/app/manifests/1"
    for tag in (f'"{made["digest"]}"', f'W/"{made["digest"]}"', f'"x", "{made["digest"]}"', "*"):
        status, headers, body = server.get(path, f"If-None-Match: {tag}")
        assert (status, body, headers["etag"]) == (304, b"", f'"{made["digest"]}"')
    assert server.get(path, 'If-None-Match: "x"')[0] == 200


@pytest.mark.parametrize("word", ["2", ".INVALID", NOBODY, "sha512:" + "0" * 128])
def test_a_manifest_that_is_not_there_is_unknown(serve: Serve, images: Images, word: str) -> None:
    images.image("docker.io/library/app:1")
    status, _, body = serve(images.store).get(f"/v2/library/app/manifests/{word}")
    assert (status, errors(body)) == (404, ["MANIFEST_UNKNOWN"])


@pytest.mark.parametrize("word", ["sha256:abc", "sha256:" + "G" * 64, ":", "SHA256:" + "0" * 64])
def test_a_digest_that_is_none_is_invalid(serve: Serve, store: Store, word: str) -> None:
    server = serve(store)
    for kind in ("manifests", "blobs", "referrers"):
        status, _, body = server.get(f"/v2/library/app/{kind}/{word}")
        assert (status, errors(body)) == (400, ["DIGEST_INVALID"])


def test_a_manifest_is_served_only_where_it_belongs(serve: Serve, images: Images) -> None:
    mine = images.image("docker.io/library/mine:1", text="mine")
    images.image("docker.io/library/other:1", text="other")
    server = serve(images.store)
    assert server.get(f"/v2/library/mine/manifests/{mine['digest']}")[0] == 200
    assert server.get(f"/v2/library/other/manifests/{mine['digest']}")[0] == 404


def test_a_manifest_is_not_served_after_its_removal(serve: Serve, images: Images) -> None:
    made = images.image("docker.io/library/app:1")
    server = serve(images.store)
    assert server.get("/v2/library/app/manifests/1")[0] == 200
    images.store.remove(["app:1"])
    assert server.get("/v2/library/app/manifests/1")[0] == 404
    assert server.get(f"/v2/library/app/manifests/{made['digest']}")[0] == 404


def test_an_image_that_came_meanwhile_is_served(serve: Serve, images: Images) -> None:
    server = serve(images.store)
    assert server.get("/v2/library/app/manifests/1")[0] == 404
    images.image("docker.io/library/app:1")
    assert server.get("/v2/library/app/manifests/1")[0] == 200


def test_a_pull_is_a_use_of_the_image(serve: Serve, images: Images) -> None:
    images.image("docker.io/library/app:1")
    before = images.store.session.backend.uses.read(1 << 62)
    serve(images.store).get("/v2/library/app/manifests/1")
    image = images.store.get("app:1").id
    assert images.store.session.backend.uses.read(1 << 62)[image] > before[image]


def test_a_read_only_server_writes_nothing(serve: Serve, images: Images) -> None:
    images.image("docker.io/library/app:1")
    before = images.store.session.backend.uses.read(1 << 62)
    serve(images.store, read_only=True).get("/v2/library/app/manifests/1")
    assert images.store.session.backend.uses.read(1 << 62) == before


# Blobs


@pytest.fixture
def blob(images: Images) -> tuple[str, bytes]:
    """A path and its content: ten digits, in a layer of a made-up type."""
    layout = Layout()
    content = b"0123456789"
    descriptor = layout.blob(content, "text/plain")
    manifest = layout.manifest(
        layout.blob(b"{}", "application/vnd.oci.empty.v1+json"), [descriptor], artifactType="a/b"
    )
    layout.publish(manifest, "docker.io/library/digits:1")
    images.load(layout)
    return f"/v2/library/digits/blobs/{descriptor['digest']}", content


def test_a_blob_is_its_bytes(serve: Serve, store: Store, blob: tuple[str, bytes]) -> None:
    path, content = blob
    status, headers, body = serve(store).get(path)
    assert (status, body) == (200, content)
    assert headers["docker-content-digest"] == sha256(content)
    assert headers["accept-ranges"] == "bytes"
    assert headers["content-length"] == "10"


def test_head_of_a_blob_says_how_long_it_is(
    serve: Serve, store: Store, blob: tuple[str, bytes]
) -> None:
    status, headers, body = serve(store).ask(f"HEAD {blob[0]} HTTP/1.1")
    assert (status, body, headers["content-length"]) == (200, b"", "10")


def test_a_range_of_a_head_is_passed_over(
    serve: Serve, store: Store, blob: tuple[str, bytes]
) -> None:
    status, headers, _ = serve(store).ask(f"HEAD {blob[0]} HTTP/1.1", "Range: bytes=0-1")
    assert (status, headers["content-length"]) == (200, "10")


@pytest.mark.parametrize("size", [1 << 16, (1 << 16) + 1, 5 << 20])
def test_large_blobs_are_whole(serve: Serve, images: Images, size: int) -> None:
    layout = Layout()
    content = b"casstore" * (size // 8) + b"x" * (size % 8)
    descriptor = layout.blob(content, "text/plain")
    manifest = layout.manifest(
        layout.blob(b"{}", "application/vnd.oci.empty.v1+json"), [descriptor], artifactType="a/b"
    )
    layout.publish(manifest, "docker.io/library/large:1")
    images.load(layout)
    path = f"/v2/library/large/blobs/{descriptor['digest']}"
    server = serve(images.store)
    assert server.get(path)[2] == content
    assert server.get(path, f"Range: bytes=1-{size - 2}")[2] == content[1:-1]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=8-99", b"89"),
        ("bytes=-3", b"789"),
        ("bytes=-99", b"0123456789"),
        ("Bytes=0-1", b"01"),
    ],
)
def test_a_part_of_a_blob_is_sent(
    serve: Serve, store: Store, blob: tuple[str, bytes], wanted: str, expected: bytes
) -> None:
    status, headers, body = serve(store).get(blob[0], f"Range: {wanted}")
    at = b"0123456789".index(expected)
    assert (status, body) == (206, expected)
    assert headers["content-range"] == f"bytes {at}-{at + len(expected) - 1}/10"


@pytest.mark.parametrize(
    "wanted", ["bytes=4-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes=-", "bytes"]
)
def test_what_is_no_single_range_is_passed_over(
    serve: Serve, store: Store, blob: tuple[str, bytes], wanted: str
) -> None:
    status, _, body = serve(store).get(blob[0], f"Range: {wanted}")
    assert (status, body) == (200, b"0123456789")


@pytest.mark.parametrize(
    "wanted", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=" + "9" * 30 + "-"]
)
def test_a_part_that_is_not_there_is_told(
    serve: Serve, store: Store, blob: tuple[str, bytes], wanted: str
) -> None:
    status, headers, _ = serve(store).get(blob[0], f"Range: {wanted}")
    assert (status, headers["content-range"]) == (416, "bytes */10")


def test_a_range_of_something_else_is_not_given(
    serve: Serve, store: Store, blob: tuple[str, bytes]
) -> None:
    server = serve(store)
    lines = ["Range: bytes=0-1", f'If-Range: "{NOBODY}"']
    assert server.get(blob[0], *lines)[0] == 200
    lines[1] = f'If-Range: "{sha256(blob[1])}"'
    assert server.get(blob[0], *lines)[0] == 206


def test_a_blob_is_served_in_every_repository(
    serve: Serve, store: Store, blob: tuple[str, bytes]
) -> None:
    assert serve(store).get(blob[0].replace("digits", "another"))[0] == 200


@pytest.mark.parametrize("digest", [NOBODY, "sha512:" + "0" * 128])
def test_a_blob_that_is_not_there_is_unknown(serve: Serve, store: Store, digest: str) -> None:
    status, _, body = serve(store).get(f"/v2/library/app/blobs/{digest}")
    assert (status, errors(body)) == (404, ["BLOB_UNKNOWN"])


def test_a_blob_that_lost_bytes_is_an_error_and_no_short_answer(
    serve: Serve, store: Store, blob: tuple[str, bytes]
) -> None:
    path = store.session.backend.blobs.file_of(sha256(blob[1]))
    assert path is not None
    Path(path).chmod(0o644)
    Path(path).write_bytes(b"012")
    assert serve(store).get(blob[0])[0] == 500


# Lists


def test_tags_are_listed_in_the_order_of_their_bytes(serve: Serve, images: Images) -> None:
    images.image(*(f"docker.io/library/app:{tag}" for tag in ("b", "a", "B", "1.0", "10", "_x")))
    images.image("docker.io/library/app-2:other", text="other")
    _, _, body = serve(images.store).get("/v2/library/app/tags/list")
    assert json.loads(body) == {
        "name": "library/app",
        "tags": ["1.0", "10", "B", "_x", "a", "b"],
    }


def test_tags_come_in_pages(serve: Serve, images: Images) -> None:
    images.image(*(f"docker.io/library/app:{tag}" for tag in "abcde"))
    server = serve(images.store)
    path, seen = "/v2/library/app/tags/list?n=2", []
    while path:
        _, headers, body = server.get(path)
        seen.append(json.loads(body)["tags"])
        path = headers.get("link", "").partition(">")[0].removeprefix("<")
    assert seen == [["a", "b"], ["c", "d"], ["e"]]


def test_a_page_begins_after_a_tag_that_need_not_be_there(serve: Serve, images: Images) -> None:
    images.image(*(f"docker.io/library/app:{tag}" for tag in "ace"))
    server = serve(images.store)
    for last, expected in (("b", ["c", "e"]), ("c", ["e"]), ("z", [])):
        _, _, body = server.get(f"/v2/library/app/tags/list?last={last}")
        assert json.loads(body)["tags"] == expected


def test_no_tags_are_wanted_with_n_of_none(serve: Serve, images: Images) -> None:
    images.image("docker.io/library/app:1")
    _, headers, body = serve(images.store).get("/v2/library/app/tags/list?n=0")
    assert (json.loads(body)["tags"], "link" in headers) == ([], False)


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "9" * 30])
def test_a_count_that_is_none_is_refused(serve: Serve, store: Store, n: str) -> None:
    server = serve(store)
    assert server.get(f"/v2/library/app/tags/list?n={n}")[0] == 400
    assert server.get(f"/v2/_catalog?n={n}")[0] == 400


def test_a_repository_that_is_not_there_has_no_tags(serve: Serve, store: Store) -> None:
    status, _, body = serve(store).get("/v2/library/app/tags/list")
    assert (status, errors(body)) == (404, ["NAME_UNKNOWN"])


def test_the_catalog_lists_repositories_with_the_hosts_of_others(
    serve: Serve, images: Images
) -> None:
    images.image(
        "docker.io/library/b:1", "docker.io/library/b:2", "ghcr.io/owner/a:1", "docker.io/x/a:1"
    )
    server = serve(images.store)
    _, _, body = server.get("/v2/_catalog")
    assert json.loads(body)["repositories"] == ["ghcr.io/owner/a", "library/b", "x/a"]
    _, headers, body = server.get("/v2/_catalog?n=1&last=ghcr.io/owner/a")
    assert json.loads(body)["repositories"] == ["library/b"]
    assert headers["link"] == '</v2/_catalog?n=1&last=library%2Fb>; rel="next"'


def test_the_catalog_shows_a_name_that_would_be_taken_for_a_host_with_its_own(
    serve: Serve, images: Images
) -> None:
    images.image("docker.io/my.org/app:1")
    server = serve(images.store)
    (shown,) = json.loads(server.get("/v2/_catalog")[2])["repositories"]
    assert server.get(f"/v2/{shown}/manifests/1")[0] == 200


# Referrers


def test_what_refers_to_a_manifest_is_listed_by_type(serve: Serve, images: Images) -> None:
    layout = Layout()
    subject = layout.image("text")
    layout.publish(subject, "docker.io/library/app:1")
    empty = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    made = {}
    for kind in ("text/one", "text/two"):
        made[kind] = layout.manifest(
            empty, [], subject=subject, artifactType=kind, annotations={"kind": kind}
        )
        layout.publish(made[kind])
    images.load(layout)
    server = serve(images.store)
    path = f"/v2/library/app/referrers/{subject['digest']}"

    status, headers, body = server.get(path)
    assert (status, headers["content-type"]) == (200, OCI_INDEX)
    assert "oci-filters-applied" not in headers
    assert {one["digest"] for one in json.loads(body)["manifests"]} == {
        one["digest"] for one in made.values()
    }

    _, headers, body = server.get(f"{path}?artifactType=text/two")
    assert headers["oci-filters-applied"] == "artifactType"
    assert json.loads(body)["manifests"] == [
        {
            "mediaType": OCI_MANIFEST,
            "digest": made["text/two"]["digest"],
            "size": made["text/two"]["size"],
            "artifactType": "text/two",
            "annotations": {"kind": "text/two"},
        }
    ]
    assert server.get(f"/v2/library/app/manifests/{made['text/one']['digest']}")[0] == 200


def test_what_nothing_refers_to_has_an_empty_list(serve: Serve, store: Store) -> None:
    status, _, body = serve(store).get(f"/v2/library/app/referrers/{NOBODY}")
    assert (status, json.loads(body)["manifests"]) == (200, [])


# Names


@pytest.mark.parametrize(
    ("path", "repository"),
    [
        ("/v2/app", "docker.io/library/app"),
        ("/v2/library/app", "docker.io/library/app"),
        ("/v2/docker.io/library/app", "docker.io/library/app"),
        ("/v2/ghcr.io/owner/app", "ghcr.io/owner/app"),
        ("/v2/localhost:5000/app", "localhost:5000/app"),
        ("/v2/localhost/app", "localhost/app"),
    ],
)
def test_a_path_names_a_repository_of_any_host(
    serve: Serve, images: Images, path: str, repository: str
) -> None:
    images.image(f"{repository}:1")
    assert serve(images.store).get(f"{path}/manifests/1")[0] == 200


def test_containerd_names_the_host_beside_the_path(serve: Serve, images: Images) -> None:
    images.image("ghcr.io/owner/app:1")
    images.image("docker.io/library/app:1", text="other")
    server = serve(images.store)
    assert server.get("/v2/owner/app/manifests/1?ns=ghcr.io")[0] == 200
    assert server.get("/v2/owner/app/manifests/1")[0] == 404
    assert server.get("/v2/library/app/manifests/1?ns=registry-1.docker.io")[0] == 200


def test_another_host_can_be_the_one_that_paths_mean(serve: Serve, images: Images) -> None:
    images.image("ghcr.io/owner/app:1")
    server = serve(images.store, registry_mirror="ghcr.io")
    assert server.get("/v2/owner/app/manifests/1")[0] == 200
    assert json.loads(server.get("/v2/_catalog")[2])["repositories"] == ["owner/app"]


@pytest.mark.parametrize(
    "path", ["App", "a//b", "a/-b", "a:b", "a@b", "a?ns=nohost", "a?ns=-", "x" * 300, "a/b c"]
)
def test_a_name_that_breaks_the_grammar_is_invalid(serve: Serve, store: Store, path: str) -> None:
    name, _, query = path.partition("?")
    name = name.replace(" ", "%20")
    status, _, body = serve(store).get(f"/v2/{name}/tags/list?{query}")
    assert (status, errors(body)) == (400, ["NAME_INVALID"])


@pytest.mark.parametrize(
    "path", ["/v3/", "/v2/app", "/v2/app/x/y", "/v2/manifests/1", "/favicon.ico"]
)
def test_nothing_is_at_other_paths(serve: Serve, store: Store, path: str) -> None:
    assert serve(store).get(path)[0] == 404


def test_a_method_that_a_path_has_not_is_told_with_those_that_it_has(
    serve: Serve, store: Store
) -> None:
    status, headers, _ = serve(store).ask("POST /v2/ HTTP/1.1", "Content-Length: 0")
    assert (status, headers["allow"]) == (405, "GET")


def test_a_browser_is_shown_the_report(serve: Serve, images: Images) -> None:
    images.image("docker.io/library/app:1")
    status, headers, body = serve(images.store).get("/", "Accept: text/html")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'"app:latest"' not in body
    assert b'"app:1"' in body


def test_a_store_that_is_none_is_told(serve: Serve, tmp_path: Path) -> None:
    status, _, body = serve(str(tmp_path / "none")).get("/v2/library/app/manifests/1")
    assert (status, errors(body)) == (500, ["UNKNOWN"])


def test_what_is_pulled_needs_no_more_files_than_at_first(serve: Serve, images: Images) -> None:
    made = images.image("docker.io/library/app:1")
    server = serve(images.store)
    server.get("/v2/library/app/manifests/1")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        server.get("/v2/library/app/manifests/1")
        server.get(f"/v2/library/app/blobs/{json.loads(made['content'])['config']['digest']}")
    for client in server.clients:
        client.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
