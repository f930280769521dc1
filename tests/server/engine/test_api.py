"""What all calls have in common: versions, errors, flags, and what is not served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from casstore.server.engine.api import failure
from casstore.server.engine.call import MAX_JSON
from casstore.server.engine.lines import bar
from casstore.server.engine.options import EngineOptions
from casstore.store import Store
from tests.server.engine.engine import Engine

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory


def test_a_path_without_a_version_means_the_latest(engine: Engine) -> None:
    assert engine.get("/images/json") == engine.get("/v1.51/images/json")


@pytest.mark.parametrize("minor", [24, 30, 41, 43, 44, 45, 48, 50, 51])
def test_every_version_from_1_24_to_1_51_is_spoken(engine: Engine, minor: int) -> None:
    assert engine.get(f"/v1.{minor}/images/json") == []


def test_an_older_version_is_refused_in_dockerds_words(engine: Engine) -> None:
    status, message = engine.refusal("GET", "/v1.23/images/json")

    assert status == 400
    assert message == (
        "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade"
        " your client to a newer version"
    )


def test_a_newer_version_is_refused_in_dockerds_words(engine: Engine) -> None:
    assert engine.refusal("GET", "/v1.52/images/json") == (
        400,
        "client version 1.52 is too new. Maximum supported API version is 1.51",
    )


def test_a_call_is_not_there_in_versions_before_it(engine: Engine) -> None:
    assert engine.refusal("GET", "/v1.24/system/df") == (404, "page not found")
    assert engine.call("GET", "/v1.25/system/df").status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("POST", "/images/json"), ("GET", "/v1.41")]
)
def test_what_is_not_served_is_not_found(engine: Engine, method: str, path: str) -> None:
    assert engine.refusal(method, path) == (404, "page not found")


def test_every_answer_tells_who_speaks(engine: Engine) -> None:
    for path in ("/_ping", "/images/json", "/nothing"):
        headers = engine.call("GET", path).headers

        assert headers.get("Api-Version") == "1.51"
        assert headers.get("Ostype") == "linux"
        assert headers.get("Docker-Experimental") == "false"
        assert headers.get("Server") == "casstore/1.2.3 (linux)"


def test_what_failed_outside_of_the_api_has_its_form() -> None:
    answer = failure(413, "too much")

    assert (answer.status, answer.body) == (413, b'{"message":"too much"}\n')


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/images/load"),
        ("POST", "/images/create?fromImage=a"),
        ("POST", "/images/prune"),
        ("POST", "/images/a/tag?repo=b"),
        ("DELETE", "/images/a"),
        ("POST", "/containers/create"),
        ("DELETE", "/containers/a"),
        ("POST", "/containers/prune"),
        ("POST", "/images/a/push"),
    ],
)
def test_a_server_that_only_reads_changes_nothing(
    casstore_store: Store, method: str, target: str
) -> None:
    engine = Engine(casstore_store, EngineOptions(read_only=True))

    assert engine.refusal(method, target) == (403, "this server only reads its store")


@pytest.mark.parametrize("text", ["1", "true", "True", "TRUE", "t", "yes"])
def test_a_flag_is_true_in_many_forms(
    engine: Engine, casstore_image_factory: ImageFactory, text: str
) -> None:
    casstore_image_factory(files={"a": "1"}, tag=["a:1", "b:1"])
    image = engine.get("/images/a:1/json")["Id"]

    assert engine.call("DELETE", f"/images/{image}?force={text}").status == 200


@pytest.mark.parametrize("text", ["0", "false", "False", "no", "none", ""])
def test_a_flag_is_false_in_many_forms(
    engine: Engine, casstore_image_factory: ImageFactory, text: str
) -> None:
    casstore_image_factory(files={"a": "1"}, tag=["a:1", "b:1"])
    image = engine.get("/images/a:1/json")["Id"]

    assert engine.call("DELETE", f"/images/{image}?force={text}").status == 409


@pytest.mark.parametrize(
    "filters", ["[]", "x", "1", '{"dangling":1}', '{"dangling":[1]}', "[" * 100_000]
)
def test_filters_that_are_none_are_refused(engine: Engine, filters: str) -> None:
    assert engine.call("GET", f"/images/json?filters={quote(filters)}").status == 400


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(engine: Engine, body: bytes) -> None:
    assert engine.refusal("POST", "/containers/create", body) == (
        400,
        "the body is not a JSON object",
    )


def test_a_body_beyond_the_limit_is_refused(engine: Engine) -> None:
    body = json.dumps({"Image": "x" * MAX_JSON}).encode()

    assert engine.refusal("POST", "/auth", body) == (
        400,
        f"the body exceeds the limit of {MAX_JSON} bytes",
    )


def test_a_bar_is_drawn_as_docker_draws_it() -> None:
    assert bar(512, 1024) == f"[{'=' * 25}>{' ' * 25}]     512B/1.024kB"
    assert bar(1024, 1024) == f"[{'=' * 50}>]  1.024kB/1.024kB"
    assert bar(12_345_678, None) == " 12.35MB"
