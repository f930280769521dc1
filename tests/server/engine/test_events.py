"""GET /events: what happened, and what happens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from casstore.server.engine.api import answer
from casstore.server.message import Request
from casstore.store import Store
from tests.server.engine.engine import Engine

if TYPE_CHECKING:
    from casstore.pytest_plugin import ImageFactory


def past(engine: Engine, **filters: list[str]) -> list[dict[str, Any]]:
    """All that has happened."""
    until = f"{time.time():.9f}"
    target = f"/events?since=0&until={until}&filters={quote(json.dumps(filters))}"
    reply = engine.call("GET", target)
    assert reply.status == 200, reply.body
    return reply.lines


def test_an_event_has_the_shape_of_dockers(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    image = casstore_image_factory(files={"a": "1"}, tag="a:1")
    engine.post("/images/a:1/tag?repo=b&tag=2")

    last = past(engine)[-1]

    seconds, nanoseconds = last.pop("time"), last.pop("timeNano")
    assert nanoseconds // 10**9 == seconds
    assert last == {
        "status": "tag",
        "id": image.id,
        "Type": "image",
        "Action": "tag",
        "Actor": {"ID": image.id, "Attributes": {"name": "b:2"}},
        "scope": "local",
    }


def test_what_docker_does_is_told_in_its_words(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    archive = engine.call("GET", "/images/a:1/get").body
    engine.call("DELETE", "/images/a:1")
    engine.post("/images/load", archive)

    actions = [event["Action"] for event in past(engine)]

    assert actions[-4:] == ["save", "untag", "delete", "load"]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"event": ["tag"]}, 1),
        ({"event": ["tag", "untag"]}, 2),
        ({"image": ["b:2"], "event": ["tag"]}, 1),
        ({"type": ["image"], "event": ["tag"]}, 1),
        ({"type": ["container"]}, 0),
        ({"container": ["x"]}, 0),
        ({"label": ["k=v"]}, 0),
        ({"scope": ["swarm"]}, 0),
        ({"scope": ["local"], "event": ["untag"]}, 1),
    ],
)
def test_filters_choose(
    engine: Engine,
    casstore_image_factory: ImageFactory,
    filters: dict[str, list[str]],
    count: int,
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    engine.post("/images/a:1/tag?repo=b&tag=2")
    engine.call("DELETE", "/images/b:2")

    assert len(past(engine, **filters)) == count


def test_nothing_is_told_of_what_was_before(
    engine: Engine, casstore_image_factory: ImageFactory
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    until = f"{time.time():.9f}"

    assert engine.call("GET", f"/events?until={until}").body == b""


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("since=yesterday", 'failed to parse value as time or duration: "yesterday"'),
        (f"filters={quote(json.dumps({'nosuch': ['x']}))}", "Invalid filter 'nosuch'"),
    ],
)
def test_what_is_wrong_is_refused(
    engine: Engine, casstore_image_factory: ImageFactory, query: str, message: str
) -> None:
    casstore_image_factory(files={"a": "1"})

    assert engine.refusal("GET", f"/events?{query}") == (400, message)


def test_what_happens_is_told_until_the_client_goes(
    engine: Engine, casstore_image_factory: ImageFactory, casstore_store: Store
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    response = answer(Request("GET", "/events"), casstore_store, engine.options)
    assert response.body is not None
    pieces: Iterator[bytes] = iter(response.body)  # type: ignore[arg-type]  # no file here

    engine.post("/images/a:1/tag?repo=b&tag=2")
    line = next(piece for piece in pieces if piece)
    response.close()

    assert json.loads(line)["Actor"]["Attributes"] == {"name": "b:2"}
    assert not any(pieces)  # it ends


def test_a_client_that_waits_gives_its_connection_the_chance_to_look(
    engine: Engine, casstore_image_factory: ImageFactory, casstore_store: Store
) -> None:
    casstore_image_factory(files={"a": "1"}, tag="a:1")
    response = answer(Request("GET", "/events"), casstore_store, engine.options)
    assert response.body is not None
    pieces = iter(response.body)  # type: ignore[arg-type]  # no file here

    assert next(pieces) == b""
    response.close()
