"""One connection: requests are read, answered and logged, until either side ends it.

h11 reads and frames the messages, strictly. What it lets pass and should not is refused here: both
Content-Length and Transfer-Encoding (RFC 9112, 6.3: it may be smuggling), more header fields than
anybody needs, and a target that is not a plain path. An answer that comes before the whole request
was read still reaches the client: the rest is read and dropped, within limits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import h11

from casstore.errors import Refused
from casstore.server import limits
from casstore.server.accesslog import Served
from casstore.server.message import BrokenBody, BytesBody, FileRange, Headers, Request, Response
from casstore.server.target import parse_target
from casstore.server.wire import Gone, TooSlow, Wire

if TYPE_CHECKING:
    from casstore.server.site import Site

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_BODILESS = (204, 304)


class _Incoming:
    """The body of the request in hand; the seam's `Body`."""

    def __init__(self, connection: Connection, length: int | None) -> None:
        self.length = length
        self._next = connection.receive_body
        self._rest = memoryview(b"")
        self._over = False

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(limits.PIECE), b""))
        piece = self._some()[:size]
        self._rest = self._rest[len(piece) :]
        return bytes(piece)

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        piece = self._some()[: len(buffer)]
        self._rest = self._rest[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def _some(self) -> memoryview:
        if not self._rest and not self._over:
            self._rest = memoryview(self._next())
            self._over = not self._rest
        return self._rest


class _Begun(NamedTuple):
    """When a request was begun, and how many bytes had come and gone by then."""

    at: float
    received: int
    sent: int


class Connection:
    """A client that is connected, served by the thread that calls `serve`."""

    def __init__(self, wire: Wire, site: Site, peer: str, local: str) -> None:
        """Take over a connected socket.

        Args:
            peer: the client's address, for logs.
            local: the address at which it has reached us; "" on a unix socket.
        """
        self.wire = wire
        self._site = site
        self._peer, self._local = peer, local
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.MAX_HEAD)
        # When it began to wait for a request; None while there is one. Other threads look at it.
        self.idle_since: float | None = time.monotonic()
        self.is_ending = False
        self._is_slow = False  # in sending a body

    def end(self) -> None:
        """End after the request in hand, if there is one; another thread may call it."""
        self.is_ending = True
        if self.idle_since is not None:
            self.wire.hang_up()

    def serve(self) -> None:
        """Answer requests until the connection is over, and close it."""
        try:
            self.wire.shake_hands()
            while self._serve_one():
                pass
        except (Gone, TooSlow):
            pass  # nobody is there to be told
        finally:
            self.wire.close()

    def _serve_one(self) -> bool:
        """Answer one request. Whether another can follow."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        try:
            event = self._receive_head()
            if event is None:
                return False
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))
            return False
        except TooSlow:
            self._refuse(408, f"no whole request within {limits.HEAD_SECONDS:.0f} seconds")
            return False
        begun = self._begun()
        target = event.target.decode("ascii")
        method = event.method.decode("ascii")
        with self._site.counting() as counted:
            request: Request | None = None
            try:
                request = self._request(method, target, event)
                response = self._site.answer(request, self._local)
            except BrokenBody as error:
                response = self._site.failure(error.status, str(error))
            except Refused as error:
                response = self._site.failure(400, str(error))
            counted.status = response.status
            try:
                return self._respond(response, head_only=method == "HEAD")
            finally:
                response.close()
                self._note(request, (method, target), response.status, begun)

    def _begun(self) -> _Begun:
        self.wire.begin_body()
        return _Begun(time.perf_counter(), self.wire.received, self.wire.sent)

    # What comes in

    def _receive_head(self) -> h11.Request | None:
        """The next request; None if the client has none. Raises RemoteProtocolError, TooSlow."""
        until: float | None = None
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None
            if until is None and not self._h11.trailing_data[0]:
                self.idle_since = time.monotonic()
                if self.is_ending:
                    return None
                try:
                    data = self.wire.receive(limits.IDLE_SECONDS)
                except TooSlow:
                    return None
                finally:
                    self.idle_since = None
                until = time.monotonic() + limits.HEAD_SECONDS
            else:
                if until is None:
                    until = time.monotonic() + limits.HEAD_SECONDS
                left = until - time.monotonic()
                if left <= 0:
                    raise TooSlow("no whole head in time")
                data = self.wire.receive(left)
            if not data and self._h11.their_state is h11.IDLE and not self._h11.trailing_data[0]:
                return None
            self._h11.receive_data(data)

    def _request(self, method: str, target: str, event: h11.Request) -> Request:
        """The request that a head announces. Raises Refused."""
        if len(target) > limits.MAX_TARGET:
            raise BrokenBody(f"a target of more than {limits.MAX_TARGET} bytes", status=414)
        if len(event.headers) > limits.MAX_FIELDS:
            raise BrokenBody(f"more than {limits.MAX_FIELDS} header fields", status=431)
        if sum(len(name) + len(value) + 4 for name, value in event.headers) > limits.MAX_HEAD:
            raise BrokenBody(f"a head of more than {limits.MAX_HEAD} bytes", status=431)
        headers = Headers(
            [(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers]
        )
        if method == "CONNECT":
            raise BrokenBody("this is no proxy", status=405)
        path, query = parse_target(target)
        chunked = "transfer-encoding" in headers
        if chunked and "content-length" in headers:
            raise Refused("both Content-Length and Transfer-Encoding")
        length = None if chunked else int(headers.get("content-length", "0"))
        body = BytesBody() if length == 0 else _Incoming(self, length)
        host = headers.get("host")
        return Request(
            method,
            path,
            query,
            headers,
            body,
            peer=self._peer,
            base=self._site.base(host, self._local),
        )

    def receive_body(self) -> bytes:
        """The next bytes of the body; none at its end. Raises BrokenBody."""
        try:
            while True:
                event = self._h11.next_event()
                if isinstance(event, h11.Data):
                    return event.data
                if isinstance(event, h11.EndOfMessage):
                    return b""
                if event is not h11.NEED_DATA:
                    raise BrokenBody("the body was cut off")
                if self._h11.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(
                        status_code=100, headers=[], reason=b"Continue"
                    )
                    self.wire.send(self._h11.send(go_on) or b"")
                self._h11.receive_data(self.wire.receive_body())
        except h11.RemoteProtocolError as error:
            if self.is_ending:  # it is we who have hung up, just as the request came
                raise BrokenBody("the server is about to end", status=503) from None
            raise BrokenBody(f"the body is broken: {error}") from None
        except TooSlow as error:
            self._is_slow = True
            raise BrokenBody(f"the body is too slow: {error}", status=408) from None
        except Gone as error:
            raise BrokenBody(f"the body was cut off: {error}") from None

    # What goes out

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is not even a request, and end."""
        response = self._site.failure(status, message)
        with self._site.counting() as counted:
            counted.status = status
        begun = self._begun()
        self._send(response, head_only=False, last=True)
        self._note(None, ("-", "-"), status, begun)
        self.wire.linger(limits.LINGER_SECONDS, limits.LINGER)

    def _note(
        self, request: Request | None, line: tuple[str, str], status: int, begun: _Begun
    ) -> None:
        """Note a request that is over; its line is the method and the target."""
        user, agent = None, ""
        if request is not None:
            user, agent = request.user, request.headers.get("user-agent")
        taken = time.perf_counter() - begun.at
        received, sent = self.wire.received - begun.received, self.wire.sent - begun.sent
        self._site.note(Served(self._peer, user, *line, status, received, sent, taken, agent))

    def _respond(self, response: Response, *, head_only: bool) -> bool:
        """Send the answer. Whether another request can follow."""
        is_read = self._skip_rest()
        last = not is_read or self.is_ending or self._site.is_crowded()
        self._send(response, head_only=head_only, last=last)
        if not is_read:
            self.wire.linger(limits.LINGER_SECONDS, limits.LINGER)
            return False
        return not last and self._h11.our_state is h11.DONE

    def _skip_rest(self) -> bool:
        """Read what is left of a request's body if that is little. Whether nothing is left."""
        if self._h11.their_state is h11.SEND_BODY:
            if self._is_slow or self._h11.they_are_waiting_for_100_continue:
                return False  # the latter may send the body all the same, and does not say so
            skipped = 0
            try:
                while skipped <= limits.SKIP:
                    event = self._h11.next_event()
                    if isinstance(event, h11.Data):
                        skipped += len(event.data)
                    elif event is h11.NEED_DATA:
                        data = self.wire.receive(limits.LINGER_SECONDS)
                        self._h11.receive_data(data)
                    else:
                        break
            except (h11.RemoteProtocolError, Gone, TooSlow):
                return False
        return self._h11.their_state not in (h11.SEND_BODY, h11.ERROR)

    def _send(self, response: Response, *, head_only: bool, last: bool) -> None:
        try:
            message = self._head(response, last=last)
        except (h11.LocalProtocolError, UnicodeEncodeError):  # a field that would be two, say
            self._site.note_bug()
            response.close()
            response.status, response.headers, response.body = 500, [], None
            message = self._head(response, last=last)
        body = None if head_only or response.status in _BODILESS else response.body
        head = self._h11.send(message) or b""
        if isinstance(body, FileRange):
            self._h11.send_with_data_passthrough(h11.Data(data=_Length(body.length)))  # type: ignore[arg-type]  # h11 asks its length alone
            self.wire.send_file(head, body)
        elif not body:
            self.wire.send(head)
        elif isinstance(body, bytes):
            self.wire.send(head + (self._h11.send(h11.Data(data=body)) or b""))
        else:
            self._send_pieces(head, body)
        self.wire.send(self._h11.send(h11.EndOfMessage()) or b"")

    def _head(self, response: Response, *, last: bool) -> h11.Response:
        body = response.body
        headers = [("Date", self._site.date()), ("Server", "casstore"), *response.headers]
        if response.status not in _BODILESS and not any(
            name.lower() == "content-length" for name, _ in response.headers
        ):
            if isinstance(body, FileRange):
                headers.append(("Content-Length", str(body.length)))
            elif body is None or isinstance(body, bytes):
                headers.append(("Content-Length", str(len(body or b""))))
        if last:
            headers.append(("Connection", "close"))
        return h11.Response(
            status_code=response.status,
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
            reason=_REASONS.get(response.status, b""),
        )

    def _send_pieces(self, head: bytes, pieces: Iterable[bytes]) -> None:
        self.wire.send(head)
        try:
            for piece in pieces:
                if piece:
                    self.wire.send(self._h11.send(h11.Data(data=piece)) or b"")
                elif self.is_ending:
                    return
                else:
                    self.wire.check()
        except (Gone, TooSlow):
            raise
        except Exception:  # noqa: BLE001 - the head is sent: all that is left is to break off
            self._site.note_bug()
            raise Gone("the answer could not be made to its end") from None


class _Length:
    """What stands for the bytes of a file in h11, which counts them only."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length
