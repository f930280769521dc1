"""One connection: what is answered, and what hostile and broken clients are told."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from casstore.server import limits
from tests.server.conftest import Echo, Serve, parsed


def test_requests_follow_each_other_on_one_connection(serve_echo: Serve) -> None:
    client = serve_echo().client()
    client.send("GET /a HTTP/1.1", "Host: x")
    assert client.until(b"http://x").startswith(b"HTTP/1.1 200 OK\r\n")
    client.send("GET /b HTTP/1.1", "Host: x", "Connection: close")
    assert b"GET /b" in client.rest()


def test_requests_that_are_sent_at_once_are_answered_in_order(serve_echo: Serve) -> None:
    client = serve_echo().client()
    first = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    client.socket.sendall(first + first.replace(b"/a", b"/b"))
    assert b"GET /a" in client.until(b"GET /b {} http://x")


def test_a_client_of_http_1_0_is_answered(serve_echo: Serve) -> None:
    client = serve_echo().client()
    client.send("GET /pieces HTTP/1.0")
    assert client.rest().endswith(b"\r\n\r\none two")


def test_head_has_the_headers_of_get_and_no_body(serve_echo: Serve) -> None:
    status, headers, body = serve_echo().ask("HEAD /a HTTP/1.1")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


def test_a_body_that_is_made_on_the_way_is_sent_in_chunks(serve_echo: Serve) -> None:
    status, headers, body = serve_echo().get("/pieces")
    assert (status, headers["transfer-encoding"], body) == (200, "chunked", b"one two")


@pytest.mark.parametrize("length", [0, 1, 100_000])
def test_a_body_of_a_known_length_is_read(serve_echo: Serve, length: int) -> None:
    content = b"x" * length
    status, _, body = serve_echo().ask(
        "POST /read HTTP/1.1", f"Content-Length: {length}", body=content
    )
    assert (status, body) == (200, content)


def test_a_body_in_chunks_is_read(serve_echo: Serve) -> None:
    status, _, body = serve_echo().ask(
        "POST /read HTTP/1.1",
        "Transfer-Encoding: chunked",
        body=b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n",
    )
    assert (status, body) == (200, b"abcde")


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",  # no number
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcXX0\r\n\r\n",  # no end of a line after it
        b"ffffffffffffffffffffffffffff\r\n",  # more than anybody has
    ],
)
def test_broken_chunks_are_refused(serve_echo: Serve, chunks: bytes) -> None:
    status, headers, _ = serve_echo().ask(
        "POST /read HTTP/1.1", "Transfer-Encoding: chunked", body=chunks
    )
    assert (status, headers["connection"]) == (400, "close")


def test_both_ways_to_say_how_long_a_body_is_are_refused(serve_echo: Serve) -> None:
    status, headers, body = serve_echo().ask(
        "POST /read HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked",
        body=b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    )  # fmt: skip
    assert (status, headers["connection"]) == (400, "close")
    assert b"smuggled" not in body


@pytest.mark.parametrize("value", ["-1", "+1", "1x", "1, 2", "0x10"])
def test_a_length_that_is_no_number_is_refused(serve_echo: Serve, value: str) -> None:
    assert serve_echo().ask("POST /read HTTP/1.1", f"Content-Length: {value}")[0] == 400


def test_two_lengths_that_differ_are_refused(serve_echo: Serve) -> None:
    status, _, _ = serve_echo().ask(
        "POST /read HTTP/1.1", "Content-Length: 1", "Content-Length: 2", body=b"xx"
    )
    assert status == 400


def test_a_coding_that_is_not_chunked_is_refused(serve_echo: Serve) -> None:
    status, _, _ = serve_echo().ask("POST /read HTTP/1.1", "Transfer-Encoding: gzip")
    assert status == 501


def test_a_body_that_is_cut_off_is_broken(serve_echo: Serve) -> None:
    client = serve_echo().client()
    client.send("POST /read HTTP/1.1", "Host: x", "Content-Length: 10", body=b"half")
    client.socket.shutdown(1)
    assert parsed(client.rest())[0] == 400


def test_a_head_that_is_too_large_is_refused(serve_echo: Serve) -> None:
    status, headers, _ = serve_echo().get("/a", "X: " + "x" * limits.MAX_HEAD)
    assert (status, headers["connection"]) == (431, "close")


def test_too_many_header_fields_are_refused(serve_echo: Serve) -> None:
    fields = [f"X-{n}: y" for n in range(limits.MAX_FIELDS)]
    assert serve_echo().get("/a", *fields)[0] == 431


def test_a_target_that_is_too_long_is_refused(serve_echo: Serve) -> None:
    assert serve_echo().get("/" + "a" * limits.MAX_TARGET)[0] == 414


def test_too_many_arguments_are_refused(serve_echo: Serve) -> None:
    assert serve_echo().get("/a?" + "&" * limits.MAX_ARGUMENTS)[0] == 400


def test_a_request_that_is_none_is_refused(serve_echo: Serve) -> None:
    client = serve_echo().client()
    client.socket.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    assert parsed(client.rest())[0] == 400


def test_a_request_without_a_host_is_refused(serve_echo: Serve) -> None:
    client = serve_echo().client()
    client.send("GET /a HTTP/1.1")
    assert parsed(client.rest())[0] == 400


def test_a_proxy_is_what_this_is_not(serve_echo: Serve) -> None:
    assert serve_echo().ask("CONNECT example.org:443 HTTP/1.1")[0] == 405


def test_another_protocol_is_not_taken_up(serve_echo: Serve) -> None:
    status, _, body = serve_echo().get("/a", "Upgrade: h2c")
    assert (status, body[:6]) == (200, b"GET /a")


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b", "/..", "/a/.", "/%2e%2e/b", "/a/%2E./b", "/a%00b", "/a%0d%0ab", "/%zz", "/%",
        "/%ff", "*", "a",
    ],
)  # fmt: skip
def test_a_path_that_could_be_read_in_two_ways_is_refused(serve_echo: Serve, path: str) -> None:
    assert serve_echo().get(path)[0] == 400


def test_a_path_and_its_query_are_decoded_once(serve_echo: Serve) -> None:
    _, _, body = serve_echo().get("/a%2Fb%252F?n=1&n=2&x=%26+y&empty")
    assert body.startswith(
        b"GET /a/b%2F {'n': ['1', '2'], 'x': ['& y'], 'empty': ['']} http://localhost:"
    )


def test_a_client_that_expects_to_be_asked_for_its_body_is(serve_echo: Serve) -> None:
    client = serve_echo().client()
    client.send("POST /read HTTP/1.1", "Host: x", "Content-Length: 2", "Expect: 100-continue")
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    client.socket.sendall(b"ok")
    assert client.until(b"ok").startswith(b"HTTP/1.1 200 ")


def test_a_client_whose_body_nobody_wants_is_not_asked_for_it(serve_echo: Serve) -> None:
    client = serve_echo().client()
    client.send("POST /unread HTTP/1.1", "Host: x", "Content-Length: 2", "Expect: 100-continue")
    status, headers, _ = parsed(client.until(b"no\n"))
    assert (status, headers["connection"]) == (403, "close")


def test_the_connection_goes_on_after_a_small_body_that_nobody_read(serve_echo: Serve) -> None:
    client = serve_echo().client()
    client.send("POST /unread HTTP/1.1", "Host: x", "Content-Length: 5", body=b"12345")
    client.until(b"no\n")
    client.send("GET /a HTTP/1.1", "Host: x", "Connection: close")
    assert b"GET /a" in client.rest()


def test_a_client_that_sends_all_before_it_reads_gets_an_early_answer(serve_echo: Serve) -> None:
    client = serve_echo().client()
    size = 4 << 20
    client.send("POST /unread HTTP/1.1", "Host: x", f"Content-Length: {size}", body=bytes(size))
    status, headers, body = parsed(client.rest())
    assert (status, headers["connection"], body) == (403, "close", b"no\n")


def test_a_client_that_does_not_finish_its_head_is_told_so(
    serve_echo: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.2)
    client = serve_echo().client()
    client.socket.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n")
    assert parsed(client.rest())[0] == 408


def test_a_body_that_stalls_is_told_so(serve_echo: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STALL_SECONDS", 0.2)
    client = serve_echo().client()
    client.send("POST /read HTTP/1.1", "Host: x", "Content-Length: 10", body=b"x")
    assert parsed(client.rest())[0] == 408


def test_a_body_that_only_trickles_is_told_so(
    serve_echo: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MIN_RATE", 1 << 40)
    monkeypatch.setattr(limits, "STALL_SECONDS", 0.2)
    client = serve_echo().client()
    client.send("POST /read HTTP/1.1", "Host: x", f"Content-Length: {1 << 30}")
    ended = False
    while not ended:
        try:
            client.socket.sendall(b"x" * 100)
        except (BrokenPipeError, ConnectionResetError):
            ended = True


def test_a_client_that_takes_no_file_is_let_go(
    serve_echo: Serve, log_of: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALL_SECONDS", 0.2)
    server = serve_echo()
    client = server.client()
    client.send("GET /file HTTP/1.1", "Host: x")
    while '"GET /file' not in log_of():
        time.sleep(0.01)
    assert len(client.rest()) < Echo.FILE


def test_a_file_is_sent_whole(serve_echo: Serve) -> None:
    status, _, body = serve_echo().get("/file")
    assert (status, body) == (200, bytes(Echo.FILE))


def test_a_connection_without_requests_is_closed_after_a_while(
    serve_echo: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IDLE_SECONDS", 0.1)
    assert serve_echo().client().rest() == b""


def test_a_body_that_goes_on_for_ever_ends_when_the_client_goes(
    serve_echo: Serve, echo: Echo
) -> None:
    client = serve_echo().client()
    client.send("GET /endless HTTP/1.1", "Host: x")
    client.until(b"begun")
    client.close()
    assert echo.closed.wait(20)


def test_a_bug_costs_one_request(serve_echo: Serve, log_of: Callable[[], str]) -> None:
    client = serve_echo().client()
    client.send("GET /bug HTTP/1.1", "Host: x")
    client.until(b"where\n")
    client.send("GET /a HTTP/1.1", "Host: x", "Connection: close")
    assert b"GET /a" in client.rest()
    assert "ZeroDivisionError" in log_of()


def test_a_header_that_would_be_two_is_not_sent(serve_echo: Serve) -> None:
    assert serve_echo().get("/injection")[0] == 500
