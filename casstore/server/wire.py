"""One client's socket, with a limit to every wait.

Bytes come and go here, in the clear or under TLS, and a client that is too slow for the limits
raises `TooSlow`. What the bytes mean is connection.py's.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import time

from casstore.errors import CasstoreError
from casstore.server import limits
from casstore.server.message import FileRange

# What sendfile is told to send at once: so that a slow client is noticed.
_AT_ONCE = 1 << 20
_SMALL = 64 << 10  # bytes of a file that are rather copied than sent by another system call


class Gone(CasstoreError):
    """The client has closed the connection, or the network has."""


class TooSlow(CasstoreError):
    """The client has sent or taken nothing for too long, or too little."""


class _Pace:
    """How long one body has been waited for, against what has come of it."""

    def __init__(self) -> None:
        self._waited = 0.0
        self._moved = 0

    def note(self, seconds: float, size: int) -> None:
        """Count a wait and what it brought. Raises TooSlow."""
        self._waited += seconds
        self._moved += size
        over = self._waited - limits.STALL_SECONDS
        if over > 0 and self._moved < over * limits.MIN_RATE:
            raise TooSlow(f"fewer than {limits.MIN_RATE} bytes a second")


class Wire:
    """A connected socket, blocking, in one thread; another one may call `hang_up` and `cut`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._is_plain = not isinstance(connected, ssl.SSLSocket)
        self._descriptor = connected.fileno()
        self._timeout: float | None = -1.0  # not set yet
        self.received = 0
        self.sent = 0
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begin_body()

    def begin_body(self) -> None:
        """Start a new measurement of how fast the client is."""
        self._in, self._out = _Pace(), _Pace()

    def shake_hands(self) -> None:
        """Agree on a key, where there is TLS. Raises Gone, TooSlow."""
        if isinstance(self._socket, ssl.SSLSocket):
            self._wait_at_most(limits.HEAD_SECONDS)
            try:
                self._socket.do_handshake()
            except TimeoutError:
                raise TooSlow("no TLS handshake in time") from None
            except OSError as error:
                raise Gone(f"no TLS: {error}") from None

    def receive(self, seconds: float, size: int = 64 << 10) -> bytes:
        """What has arrived, as soon as there is any; nothing at the end. Raises Gone, TooSlow."""
        self._wait_at_most(seconds)
        try:
            data = self._socket.recv(size)
        except TimeoutError:
            raise TooSlow("nothing arrived in time") from None
        except OSError as error:
            raise Gone(str(error)) from None
        self.received += len(data)
        return data

    def receive_body(self) -> bytes:
        """As `receive`, of a body: it must not come too slowly either."""
        begun = time.monotonic()
        data = self.receive(limits.STALL_SECONDS, limits.PIECE)
        self._in.note(time.monotonic() - begun, len(data))
        return data

    def send(self, data: bytes | bytearray | memoryview, *, more: bool = False) -> None:
        """Send all of it; with `more`, what follows may go in the same packet.

        Raises Gone, TooSlow.
        """
        flags = socket.MSG_MORE if more and self._is_plain else 0
        view = memoryview(data)
        self._wait_at_most(limits.STALL_SECONDS)
        while view:
            begun = time.monotonic()
            try:
                size = self._socket.send(view, flags)
            except TimeoutError:
                raise TooSlow("the client takes nothing") from None
            except OSError as error:
                raise Gone(str(error)) from None
            self.sent += size
            view = view[size:]
            self._out.note(time.monotonic() - begun, size)

    def check(self) -> None:
        """Raises Gone if the client has closed the connection."""
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN | select.POLLRDHUP)
        if any(found & (select.POLLRDHUP | select.POLLHUP) for _, found in poller.poll(0)):
            raise Gone("the client has gone")

    def send_file(self, head: bytes, part: FileRange) -> None:
        """Send `head`, then a part of a file. Raises Gone, TooSlow, StorageError.

        A file that has become shorter ends the connection: the client must not take it for whole.
        """
        descriptor = part.file.fileno()
        if part.length <= _SMALL:
            data = os.pread(descriptor, part.length, part.start)
            if len(data) != part.length:
                raise Gone("the file has become shorter")
            self.send(head + data)
            return
        self.send(head, more=True)
        if not self._is_plain:
            self._copy_file(part)
            return
        # The kernel waits for the client itself: it need not wake this thread for each piece.
        self._wait_at_most(None)
        at, end = part.start, part.start + part.length
        while at < end:
            begun = time.monotonic()
            try:
                size = os.sendfile(self._descriptor, descriptor, at, min(end - at, _AT_ONCE))
            except BlockingIOError:  # SO_SNDTIMEO
                raise TooSlow("the client takes nothing") from None
            except OSError as error:
                raise Gone(str(error)) from None
            if not size:
                raise Gone("the file has become shorter")
            at += size
            self.sent += size
            self._out.note(time.monotonic() - begun, size)

    def _copy_file(self, part: FileRange) -> None:
        buffer = memoryview(bytearray(min(limits.PIECE, part.length)))
        at, end = part.start, part.start + part.length
        while at < end:
            size = os.preadv(part.file.fileno(), [buffer[: min(end - at, len(buffer))]], at)
            if not size:
                raise Gone("the file has become shorter")
            self.send(buffer[:size])
            at += size

    def hang_up(self) -> None:
        """Receive nothing more, in whatever thread that is waited for; answers still go out."""
        self._shut(socket.SHUT_RD)

    def cut(self) -> None:
        """End the connection, whatever goes on in it."""
        self._shut(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        try:
            self._socket.close()
        except OSError:
            pass

    def linger(self, seconds: float, most: int) -> None:
        """Say that nothing more comes, and read what the client still sends, for a while.

        To close a socket with unread bytes resets the connection, and the client loses the answer
        that it has not read yet (RFC 9112, 9.6).
        """
        self._shut(socket.SHUT_WR)
        until = time.monotonic() + seconds
        try:
            while most > 0 and (left := until - time.monotonic()) > 0:
                data = self.receive(left, limits.PIECE)
                if not data:
                    return
                most -= len(data)
        except (Gone, TooSlow):
            pass

    def _shut(self, how: int) -> None:
        try:
            # Under TLS too: what is below it ends.
            socket.socket.shutdown(self._socket, how)
        except OSError:
            pass

    def _wait_at_most(self, seconds: float | None) -> None:
        """Set how long each call may wait; None: as long as the kernel was told to for sending."""
        if self._timeout == seconds:
            return
        self._timeout = seconds
        self._socket.settimeout(seconds)
        if seconds is None:
            whole, part = divmod(limits.STALL_SECONDS, 1)
            limit = struct.pack("ll", int(whole), int(part * 1_000_000))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
