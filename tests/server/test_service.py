"""Many connections at once, and how a service ends."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.server.conftest import Echo, Serve, parsed


def test_idle_connections_make_room_for_new_ones(serve_echo: Serve) -> None:
    server = serve_echo(most=4)
    idle = [server.client() for _ in range(20)]
    assert server.get("/a")[0] == 200
    assert sum(one.socket.fileno() >= 0 for one in idle) == 20


def test_beyond_the_limit_clients_are_told_to_come_again(serve_echo: Serve, echo: Echo) -> None:
    server = serve_echo(most=2)
    busy = [server.client() for _ in range(2)]
    for one in busy:
        echo.reached.clear()
        one.send("GET /wait HTTP/1.1", "Host: x", "Connection: close")
        assert echo.reached.wait(20)
    status, headers, _ = server.get("/a")
    assert (status, headers["retry-after"]) == (503, "1")
    echo.go_on.set()
    assert [parsed(one.rest())[0] for one in busy] == [200, 200]


def test_two_hundred_clients_at_once_are_all_answered(serve_echo: Serve) -> None:
    server = serve_echo()
    clients = [server.client() for _ in range(200)]
    for one in clients:
        one.send("GET /a HTTP/1.1", "Host: x", "Connection: close")
    assert {parsed(one.rest())[0] for one in clients} == {200}


def test_slow_clients_do_not_keep_others_waiting(serve_echo: Serve) -> None:
    server = serve_echo()
    for _ in range(50):
        server.client().socket.sendall(b"GET /a HTTP/1.1\r\nHo")
    assert server.get("/a")[0] == 200


def test_a_request_in_hand_is_answered_before_the_end(serve_echo: Serve, echo: Echo) -> None:
    server = serve_echo()
    client = server.client()
    client.send("GET /wait HTTP/1.1", "Host: x")
    assert echo.reached.wait(20)
    server.service.stop()
    echo.go_on.set()
    status, headers, body = parsed(client.rest())
    assert (status, headers["connection"], body) == (200, "close", b"waited\n")


def test_a_connection_without_a_request_is_closed_at_the_end(serve_echo: Serve) -> None:
    server = serve_echo()
    client = server.client()
    client.send("GET /a HTTP/1.1", "Host: x")
    client.until(b"http://x")
    server.service.stop()
    assert client.rest() == b""


def test_a_body_that_goes_on_for_ever_ends_with_the_service(serve_echo: Serve, echo: Echo) -> None:
    server = serve_echo()
    client = server.client()
    client.send("GET /endless HTTP/1.1", "Host: x")
    assert echo.reached.wait(20)
    server.service.stop()
    assert client.rest().endswith(b"begun\r\n0\r\n\r\n")


def test_what_does_not_end_in_time_is_broken_off(serve_echo: Serve, echo: Echo) -> None:
    server = serve_echo(grace=0.1)
    client = server.client()
    client.send("GET /wait HTTP/1.1", "Host: x")
    assert echo.reached.wait(20)
    server.service.stop()
    assert client.rest() == b""


def test_a_service_that_nobody_uses_ends(serve_echo: Serve) -> None:
    server = serve_echo(idle_exit=0.1)
    assert server.client().rest() == b""


def test_the_log_has_a_line_for_each_request(serve_echo: Serve, log_of: Callable[[], str]) -> None:
    serve_echo().get('/a?x="%C3%BC', 'User-Agent: "quoted"\tagent')
    line = log_of().splitlines()[-1]
    assert line.startswith("127.0.0.1 - - [")
    assert '"GET /a?x=\\"%C3%BC" 200 ' in line
    assert line.endswith('"\\"quoted\\"\\tagent"')


def test_the_log_can_be_of_json_objects(serve_echo: Serve, log_of: Callable[[], str]) -> None:
    serve_echo(form="json").get("/a", "User-Agent: me")
    line = json.loads(log_of())
    assert (line["method"], line["target"], line["status"], line["agent"]) == (
        "GET", "/a", 200, "me",
    )  # fmt: skip


def test_metrics_count_requests_by_their_status(serve_echo: Serve) -> None:
    server = serve_echo()
    server.get("/a")
    server.get("/bug")
    status, headers, body = server.get("/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    samples = dict(
        line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")
    )
    assert samples['casstore_server_requests_total{status="2xx"}'] == "1"
    assert samples['casstore_server_requests_total{status="5xx"}'] == "1"
    assert samples['casstore_server_request_seconds_bucket{le="+Inf"}'] == "2"
    assert samples["casstore_server_requests_running"] == "1"
