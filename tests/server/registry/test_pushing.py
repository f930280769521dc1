"""The push side of the distribution API: uploads, manifests, and what removes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from casstore.model.digest import sha256
from casstore.store import Store
from tests.server.conftest import Running, Serve, parsed
from tests.transfer.building import OCI_MANIFEST, Layout

CONTENT = b"the bytes of a blob"
DIGEST = sha256(CONTENT)
NOBODY = "sha256:" + "0" * 64
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def server(serve: Serve, store: Store) -> Running:
    return serve(store)


def ask(server: Running, method: str, path: str, *lines: str, body: bytes = b"") -> Answer:
    length = f"Content-Length: {len(body)}"
    return server.ask(f"{method} {path} HTTP/1.1", length, *lines, body=body)


def begin(server: Running, arguments: str = "") -> str:
    status, headers, _ = ask(server, "POST", f"/v2/team/app/blobs/uploads/{arguments}")
    assert status == 202
    return headers["location"]


def upload(server: Running, content: bytes = CONTENT) -> None:
    place = f"/v2/team/app/blobs/uploads/?digest={sha256(content)}"
    assert ask(server, "POST", place, body=content)[0] == 201


def put(server: Running, data: bytes, word: str, *lines: str) -> Answer:
    kind = f"Content-Type: {OCI_MANIFEST}"
    return ask(server, "PUT", f"/v2/team/app/manifests/{word}", kind, *lines, body=data)


def push(server: Running, layout: Layout, top: dict[str, Any], word: str) -> Answer:
    for name, data in layout.files.items():
        if name.startswith("blobs/"):
            upload(server, data)
    return put(server, layout.of(top), word)


def code_of(answer: Answer) -> tuple[int, str]:
    return answer[0], json.loads(answer[2])["errors"][0]["code"]


# Uploads


def test_a_blob_comes_in_one_request(server: Running) -> None:
    place = f"/v2/team/app/blobs/uploads/?digest={DIGEST}"
    status, headers, _ = ask(server, "POST", place, body=CONTENT)

    assert status == 201
    assert headers["location"] == f"/v2/team/app/blobs/{DIGEST}"
    assert headers["docker-content-digest"] == DIGEST
    assert server.get(headers["location"])[2] == CONTENT


def test_a_blob_comes_in_pieces_the_last_with_its_digest(server: Running) -> None:
    place = begin(server)

    status, headers, _ = ask(server, "PATCH", place, body=CONTENT[:5])
    assert (status, headers["range"]) == (202, "0-4")
    status, headers, _ = ask(
        server, "PATCH", headers["location"], "Content-Range: 5-9", body=CONTENT[5:10]
    )
    assert (status, headers["range"]) == (202, "0-9")
    status, headers, _ = ask(server, "GET", headers["location"])
    assert (status, headers["range"]) == (204, "0-9")
    status, _, _ = ask(server, "PUT", f"{place}?digest={DIGEST}", body=CONTENT[10:])

    assert status == 201
    status, headers, _ = server.ask(f"HEAD /v2/team/app/blobs/{DIGEST} HTTP/1.1")
    assert (status, headers["content-length"]) == (200, str(len(CONTENT)))


def test_a_stream_of_chunks_is_taken(server: Running) -> None:
    place = begin(server)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CONTENT), CONTENT)

    status, headers, _ = server.ask(
        f"PATCH {place} HTTP/1.1", "Transfer-Encoding: chunked", body=body
    )

    assert (status, headers["range"]) == (202, f"0-{len(CONTENT) - 1}")
    assert ask(server, "PUT", f"{place}?digest={DIGEST}")[0] == 201


def test_another_process_goes_on_with_an_upload(serve: Serve, store: Store) -> None:
    place = begin(serve(store))
    other = serve(store)

    assert ask(other, "PATCH", place, body=CONTENT)[0] == 202
    assert ask(other, "PUT", f"{place}?digest={DIGEST}")[0] == 201


def test_a_piece_out_of_order_is_refused_and_what_there_is_is_told(server: Running) -> None:
    place = begin(server)
    ask(server, "PATCH", place, body=CONTENT[:5])

    answer = ask(server, "PATCH", place, "Content-Range: 7-8", body=b"xx")

    assert code_of(answer) == (416, "BLOB_UPLOAD_INVALID")
    assert answer[1]["range"] == "0-4"
    assert answer[1]["location"] == place


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("0-5", "SIZE_INVALID"),
        ("5", "BLOB_UPLOAD_INVALID"),
        ("x-y", "BLOB_UPLOAD_INVALID"),
        ("-3", "BLOB_UPLOAD_INVALID"),
        ("9-2", "SIZE_INVALID"),
    ],
)
def test_a_range_that_is_none_or_not_of_the_body_is_refused(
    server: Running, said: str, code: str
) -> None:
    answer = ask(server, "PATCH", begin(server), f"Content-Range: {said}", body=b"xx")

    assert code_of(answer) == (400, code)


def test_a_range_as_http_writes_it_is_understood(server: Running) -> None:
    place = begin(server)

    assert ask(server, "PATCH", place, "Content-Range: bytes 0-1/*", body=b"xx")[0] == 202


def test_content_of_another_digest_is_refused(server: Running) -> None:
    place = begin(server)

    answer = ask(server, "PUT", f"{place}?digest={NOBODY}", body=CONTENT)

    assert code_of(answer) == (400, "DIGEST_INVALID")
    assert server.get(f"/v2/team/app/blobs/{DIGEST}")[0] == 404
    assert code_of(ask(server, "GET", place)) == (404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("digest", ["", "sha256:1", "sha512:" + "0" * 128])
def test_an_upload_ends_with_a_digest_that_the_store_knows(server: Running, digest: str) -> None:
    answer = ask(server, "PUT", f"{begin(server)}?digest={digest}", body=CONTENT)

    assert code_of(answer) == (400, "DIGEST_INVALID")


def test_an_upload_that_breaks_off_goes_on_where_it_was(server: Running, store: Store) -> None:
    place = begin(server)
    client = server.client()
    client.send(
        f"PATCH {place} HTTP/1.1", f"Host: {server.host}", "Content-Length: 19", body=b"the bytes"
    )
    uploads, upload = store.session.backend.uploads(), place.rpartition("/")[2]
    while uploads.size(upload) < 9:
        pass  # until it has come: the test's own limit ends this
    client.close()

    place += f"?digest={DIGEST}"
    while (answer := ask(server, "PUT", place, body=CONTENT[9:]))[0] == 503:
        pass  # until the server has seen that the client has gone

    assert answer[0] == 201
    assert answer[1]["docker-content-digest"] == DIGEST


def test_a_cancelled_upload_is_gone(server: Running) -> None:
    place = begin(server)

    assert ask(server, "DELETE", place)[0] == 204

    for method in ("GET", "PATCH", "DELETE"):
        assert code_of(ask(server, method, place)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert code_of(ask(server, "PUT", f"{place}?digest={DIGEST}")) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_blob_that_is_there_is_mounted(server: Running) -> None:
    upload(server)

    for arguments in (f"?mount={DIGEST}&from=team/app", f"?mount={DIGEST}"):
        status, headers, _ = ask(server, "POST", f"/v2/other/app/blobs/uploads/{arguments}")
        assert (status, headers["location"]) == (201, f"/v2/other/app/blobs/{DIGEST}")


@pytest.mark.parametrize("digest", [NOBODY, "sha512:" + "0" * 128])
def test_for_one_that_is_not_an_upload_begins(server: Running, digest: str) -> None:
    begin(server, f"?mount={digest}&from=team/app")


def test_a_location_names_the_host_that_was_asked_for(server: Running) -> None:
    place = begin(server, "?ns=ghcr.io")

    assert place.endswith("?ns=ghcr.io")
    assert ask(server, "PUT", f"{place}&digest={DIGEST}", body=CONTENT)[0] == 201


# Manifests


def test_a_manifest_is_pushed_by_tag_and_had_by_digest(server: Running, store: Store) -> None:
    layout = Layout()
    top = layout.image("one", "two")

    status, headers, _ = push(server, layout, top, "v1")

    assert status == 201
    assert headers["location"] == f"/v2/team/app/manifests/{top['digest']}"
    assert headers["docker-content-digest"] == top["digest"]
    assert server.get(headers["location"])[2] == layout.of(top)
    assert store.get("team/app:v1").id == json.loads(layout.of(top))["config"]["digest"]


def test_a_manifest_is_pushed_by_digest_with_tags(server: Running) -> None:
    layout = Layout()
    top = layout.image("one")

    answer = push(server, layout, top, f"{top['digest']}?tag=v1&tag=v2")

    assert answer[0] == 201
    assert answer[1]["oci-tag"]
    assert json.loads(server.get("/v2/team/app/tags/list")[2])["tags"] == ["v1", "v2"]


def test_a_manifest_of_which_a_blob_is_missing_is_refused(server: Running, store: Store) -> None:
    layout = Layout()
    top = layout.image("one")

    assert code_of(put(server, layout.of(top), "v1")) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert store.images(all=True) == []


def test_a_subject_is_acknowledged_and_the_referrer_listed(server: Running) -> None:
    layout = Layout()
    top = layout.image("one")
    signature = layout.manifest(layout.blob(b"{}", "text/x"), [], subject=top)
    push(server, layout, top, "v1")

    status, headers, _ = put(server, layout.of(signature), signature["digest"])

    assert (status, headers["oci-subject"]) == (201, top["digest"])
    (listed,) = json.loads(server.get(f"/v2/team/app/referrers/{top['digest']}")[2])["manifests"]
    assert listed["digest"] == signature["digest"]


@pytest.mark.parametrize(
    ("word", "data", "expected"),
    [
        ("v1", b"no json", (400, "MANIFEST_INVALID")),
        ("v1", b"{}", (400, "MANIFEST_INVALID")),
        (NOBODY, b"{}", (400, "DIGEST_INVALID")),
        ("sha256:bad", b"{}", (400, "DIGEST_INVALID")),
        ("sha512:" + "0" * 128, b"{}", (400, "DIGEST_INVALID")),
        ("-v1", b"{}", (400, "NAME_INVALID")),
        (f"{sha256(b'{}')}?tag=a/b", b"{}", (400, "NAME_INVALID")),
        ("v1", b" " * ((4 << 20) + 1), (413, "SIZE_INVALID")),
    ],
)
def test_what_is_no_manifest_is_refused(
    server: Running, word: str, data: bytes, expected: tuple[int, str]
) -> None:
    assert code_of(put(server, data, word)) == expected


def test_a_manifest_of_4_mib_is_taken(server: Running) -> None:
    layout = Layout()
    config = layout.blob(b"{}", "text/x")
    annotation = "x" * ((4 << 20) - 1000)
    top = layout.manifest(config, [], annotations={"large": annotation})

    assert push(server, layout, top, "large")[0] == 201


def test_more_tags_than_a_request_may_give_are_refused(server: Running) -> None:
    layout = Layout()
    top = layout.image("one")
    tags = "&".join(f"tag=v{number}" for number in range(33))

    answer = push(server, layout, top, f"{top['digest']}?{tags}")

    assert code_of(answer) == (400, "NAME_INVALID")


# Removal


def test_a_tag_is_removed_by_the_rules_of_rmi(server: Running, store: Store) -> None:
    layout = Layout()
    top = layout.image("one")
    push(server, layout, top, "v1")
    push(server, layout, top, "v2")

    assert ask(server, "DELETE", "/v2/team/app/manifests/v1")[0] == 202
    assert server.get(f"/v2/team/app/manifests/{top['digest']}")[0] == 200
    assert ask(server, "DELETE", "/v2/team/app/manifests/v2")[0] == 202

    assert store.images(all=True) == []
    answer = ask(server, "DELETE", "/v2/team/app/manifests/v2")
    assert code_of(answer) == (404, "MANIFEST_UNKNOWN")


def test_a_manifest_is_removed_by_its_digest_with_its_tags(server: Running, store: Store) -> None:
    layout = Layout()
    top = layout.image("one")
    push(server, layout, top, "v1")
    place = f"/v2/team/app/manifests/{top['digest']}"

    assert ask(server, "DELETE", place)[0] == 202

    assert server.get(place)[0] == 404
    assert server.get("/v2/team/app/manifests/v1")[0] == 404
    assert store.images(all=True) == []


def test_what_is_held_is_not_removed_and_the_reason_is_told(server: Running, store: Store) -> None:
    layout = Layout()
    top = layout.image("one")
    push(server, layout, top, "v1")
    store.leases.add("nightly", "team/app:v1")

    for word in ("v1", top["digest"]):
        answer = ask(server, "DELETE", f"/v2/team/app/manifests/{word}")
        assert code_of(answer) == (409, "DENIED")
        assert b"nightly" in answer[2]

    assert server.get("/v2/team/app/manifests/v1")[0] == 200


def test_blobs_are_not_removed_by_themselves(server: Running) -> None:
    upload(server)

    answer = ask(server, "DELETE", f"/v2/team/app/blobs/{DIGEST}")

    assert code_of(answer) == (405, "UNSUPPORTED")


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /v2/team/app/blobs/uploads/",
        f"PATCH /v2/team/app/blobs/uploads/{'0' * 32}",
        f"PUT /v2/team/app/blobs/uploads/{'0' * 32}?digest={DIGEST}",
        f"DELETE /v2/team/app/blobs/uploads/{'0' * 32}",
        "PUT /v2/team/app/manifests/v1",
        "DELETE /v2/team/app/manifests/v1",
        f"DELETE /v2/team/app/manifests/{DIGEST}",
    ],
)
def test_a_read_only_registry_refuses_every_push(
    serve: Serve, store: Store, request_line: str
) -> None:
    method, path = request_line.split()

    answer = ask(serve(store, read_only=True), method, path)

    assert code_of(answer) == (405, "UNSUPPORTED")


def test_a_read_only_registry_has_what_manifests_name_alone(serve: Serve, store: Store) -> None:
    upload(serve(store))

    assert serve(store, read_only=True).get(f"/v2/team/app/blobs/{DIGEST}")[0] == 404


def test_a_server_that_hangs_up_as_a_request_comes_says_to_come_again(
    server: Running, store: Store
) -> None:
    place = begin(server)
    client = server.client()
    client.send(
        f"PATCH {place} HTTP/1.1", f"Host: {server.host}", "Content-Length: 19", body=b"the bytes"
    )
    uploads, upload = store.session.backend.uploads(), place.rpartition("/")[2]
    while uploads.size(upload) < 9:
        pass  # until it has come: the test's own limit ends this

    for connection in list(server.service._connections):
        connection.is_ending = True
        connection.wire.hang_up()
    status, headers, _ = parsed(client.rest())

    assert status == 503
    assert headers["retry-after"]
    assert uploads.size(upload) == 9


def test_while_somebody_changes_the_store_for_long_a_push_is_told_to_come_again(
    serve: Serve, store: Store
) -> None:
    layout = Layout()
    top = layout.image("one")
    impatient = serve(store, lock_timeout=0.0)
    for name, data in layout.files.items():
        if name.startswith("blobs/"):
            upload(impatient, data)  # which takes no lock
    with store.session.change() as change:
        status, headers, _ = put(impatient, layout.of(top), "v1")
        change.commit()

    assert status == 503
    assert headers["retry-after"]
    assert put(impatient, layout.of(top), "v1")[0] == 201
