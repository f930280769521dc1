"""Connections without the package `socket`: to the address that takes them, and nothing is left."""

from __future__ import annotations

import gc
import socket
import warnings

import pytest

from casstore.startup import sockets
from casstore.startup.sockets import connected, gaierror


def listening(address: str) -> socket.socket:
    return socket.create_server((address, 0), family=socket.AF_INET)


def test_a_connection_carries_bytes_both_ways_within_its_time_limit() -> None:
    with listening("127.0.0.1") as server:
        ours = connected(b"127.0.0.1", server.getsockname()[1], 7.0)
        theirs, _ = server.accept()
        with theirs:
            ours.sendall(b"asked")
            theirs.sendall(b"told")

            assert (theirs.recv(9), ours.recv(9), ours.gettimeout()) == (b"asked", b"told", 7.0)
        ours.close()


def test_where_one_address_of_a_name_refuses_the_next_one_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening("127.0.0.1") as other:
        refusing = other.getsockname()
    with listening("127.0.0.1") as server:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", where)
            for where in (refusing, server.getsockname())
        ]
        monkeypatch.setattr(sockets, "getaddrinfo", lambda *_: found)
        connected(b"a name", 1, 5.0).close()
        server.accept()[0].close()


def test_nobody_there_is_what_the_system_says_and_leaves_nothing_open() -> None:
    with listening("127.0.0.1") as server:
        port = server.getsockname()[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(ConnectionRefusedError):
            connected(b"localhost", port, 5.0)
        gc.collect()


def test_a_name_that_nobody_knows_is_a_kind_of_error_of_its_own() -> None:
    with pytest.raises(gaierror):
        connected(b"nobody.invalid", 80, 5.0)
