"""One connection: a request goes out, its answer comes in, and then perhaps the next (RFC 9112).

The target of a request is sent as it is given, to the byte: a signature may be over it.
"""

from __future__ import annotations

from casstore.errors import RegistryError
from casstore.registry.failures import BrokenConnection, Closed
from casstore.registry.wire import READ_SECONDS, Wire
from casstore.startup.sockets import SHUT_RDWR, socket
from casstore.startup.typed import Protocol, cast
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from casstore.registry.tlsintls import AnySocket
    from casstore.registry.wire import Exchange

MAX_FIELDS = 100  # of one head, as in Python's http.client
_MOST_DIGITS = 18  # of a length
_SPACE = " \t"
_SWITCHING, _FINAL, _NO_CONTENT, _NOT_MODIFIED = 101, 200, 204, 304
_HEX = frozenset(b"0123456789abcdefABCDEF")
_REFUSED_EARLY = (BrokenPipeError, ConnectionResetError)


class Body(Protocol):
    """The body of a request. Each call of `pieces` starts again from the beginning."""

    size: int

    def pieces(self) -> Iterable[bytes]: ...


class Request(Value):
    """What is asked."""

    method: str
    target: str  # as it is sent
    fields: Mapping[str, str]
    body: Body | None

    def head(self, host: str) -> bytes:
        """What is sent to `host` before the body. Raises RegistryError where that cannot be."""
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.fields.items()]
        head = "\r\n".join((*lines, "", "")).encode("latin-1", "replace")
        breaks = len(lines) + 1
        if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
            raise RegistryError(f"a request to {host} cannot be sent: a header has a line break")
        return head


class Connection:
    """A connection to a server, or through a proxy, that speaks HTTP/1.1."""

    def __init__(self, sock: AnySocket) -> None:
        self.sock = sock
        self.is_used = False  # by a request before the one at hand
        self._wire = Wire(sock)

    def ask(self, request: Request, exchange: Exchange) -> Incoming:
        """Send a request and read the head of its answer; the body is read from what is returned.

        Raises:
            Closed: the server said nothing.
            OSError: the connection failed.
            RegistryError: beyond a limit, or no HTTP.
        """
        head = request.head(exchange.host)
        self.sock.settimeout(READ_SECONDS)
        try:
            self._send(head, request.body)
        except _REFUSED_EARLY as error:
            # A server may answer before it has read all of a body, and hang up.
            try:
                return self._answer(request.method, exchange)
            except OSError:
                raise error from None
        return self._answer(request.method, exchange)

    def _send(self, head: bytes, body: Body | None) -> None:
        for piece in body.pieces() if body is not None else ():
            self.sock.sendall(head + piece)
            head = b""
        if head:
            self.sock.sendall(head)

    def _answer(self, method: str, exchange: Exchange) -> Incoming:
        exchange.head()
        while True:
            answer = Incoming(self._wire, exchange, method)
            if answer.status >= _FINAL or answer.status == _SWITCHING:
                return answer

    def is_quiet(self) -> bool:
        """Whether nothing has come that nobody asked for; one that hangs up is not quiet."""
        from select import POLLIN, poll

        poller = poll()
        poller.register(self.sock, POLLIN)
        return self._wire.is_empty and not poller.poll(0)

    def hang_up(self) -> None:
        """Let whoever waits for its bytes, in whichever thread, see its end now."""
        try:
            # The plain socket's own: a TLS socket's would take its state from the reader.
            socket.shutdown(cast("socket", getattr(self.sock, "outer", self.sock)), SHUT_RDWR)
        except OSError:
            pass  # it is closed already

    def close(self) -> None:
        """End it."""
        try:
            self.sock.close()
        except OSError:
            pass  # it is gone in any case


class Incoming:
    """An answer as it comes in: its head is here, its body is to be read."""

    def __init__(self, wire: Wire, exchange: Exchange, method: str) -> None:
        """Raises as `Connection.ask`."""
        self._wire, self._exchange = wire, exchange
        self.status, self.words, is_current = _status(wire.line(exchange), exchange.host)
        self._fields = self._read_fields()
        said = _tokens(self.all("Connection"))
        self._lasts = "close" not in said and (is_current or "keep-alive" in said)
        codings = _tokens(self.all("Transfer-Encoding"))
        self._in_chunks, self._chunks = codings[-1:] == ["chunked"], 0
        self._left: int | None = 0  # bytes of the body, or of the chunk; None: until it closes
        has_none = self.status < _FINAL or self.status in (_NO_CONTENT, _NOT_MODIFIED)
        if has_none or method == "HEAD" or (method == "CONNECT" and self.status == _FINAL):
            self._in_chunks = False
        elif not self._in_chunks:
            self._left = self._length() if not codings else None
        self.is_read = self._left == 0 and not self._in_chunks  # to its end

    @property
    def frees(self) -> bool:
        """Whether the connection may be used again: the answer is read, and the server stays."""
        return self.is_read and self._lasts

    def all(self, name: str) -> list[str]:
        """All values of a field of the head."""
        return self._fields.get(name.lower(), [])

    def some(self, size: int) -> bytes:
        """Some bytes of the body, at most `size`; none at its end.

        Raises:
            Closed: the connection ended before the body did.
            OSError, RegistryError: as `Connection.ask`.
        """
        if self._in_chunks and not self._left and not self.is_read:
            self._next_chunk()
        if self.is_read:
            return b""
        most = size if self._left is None else min(size, self._left)
        data = self._wire.some(most, self._exchange)
        if self._left is None:
            self.is_read, self._lasts = not data, False
        elif not data:
            raise Closed
        else:
            self._left -= len(data)
            self.is_read = not self._left and not self._in_chunks
        return data

    def _next_chunk(self) -> None:
        """Read up to the bytes of the next chunk, or to the end of the body."""
        if self._chunks and self._wire.line(self._exchange):
            raise _not_http(self._exchange.host)
        self._chunks += 1
        digits = self._wire.line(self._exchange).partition(b";")[0].strip(b" \t")
        if not digits or not _HEX.issuperset(digits) or len(digits) > _MOST_DIGITS:
            raise _not_http(self._exchange.host)
        self._left = int(digits, 16)
        if not self._left:
            self._read_fields()  # of a trailer, which tells nothing that is needed
            self.is_read = True

    def _read_fields(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        values: list[str] = []
        for _ in range(MAX_FIELDS + 1):
            line = self._wire.line(self._exchange).decode("latin-1")
            if not line:
                return found
            if line[0] in _SPACE and values:  # goes on, as it was allowed once
                values[-1] = f"{values[-1]} {line.strip(_SPACE)}"
                continue
            name, _, value = line.partition(":")
            values = found.setdefault(name.rstrip(_SPACE).lower(), [])
            values.append(value.strip(_SPACE))
        raise RegistryError(f"{self._exchange.host} sends more than {MAX_FIELDS} header fields")

    def _length(self) -> int | None:
        told = {one.strip(_SPACE) for text in self.all("Content-Length") for one in text.split(",")}
        if not told:
            return None
        text = told.pop()
        if told or not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
            raise _not_http(self._exchange.host)
        return int(text)


def _status(line: bytes, host: str) -> tuple[int, str, bool]:
    """Status and words, and whether it is HTTP/1.1 at least."""
    version, _, rest = line.decode("latin-1").partition(" ")
    code, _, words = rest.strip(_SPACE).partition(" ")
    minor = version.removeprefix("HTTP/1.")
    if version == minor or not minor.isdigit() or len(code) != 3 or not code.isdigit():
        raise _not_http(host)
    return int(code), words, minor != "0"


def _tokens(values: list[str]) -> list[str]:
    found = [one.strip(_SPACE).lower() for text in values for one in text.split(",")]
    return [one for one in found if one]


def _not_http(host: str) -> BrokenConnection:
    return BrokenConnection(f"{host} does not answer as HTTP has it")
