"""A site: what is served at one socket, to whom, and what is noted of it.

The order of what a request passes: the Host, the page that it may come from, the login, then the
API. `/metrics` is the site's own.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Protocol

from casstore.clock import current_time
from casstore.errors import CasstoreError, Locked, StorageError, printable
from casstore.server import metrics
from casstore.server.access import HostRule, check_origin
from casstore.server.accesslog import Served
from casstore.server.login import CHALLENGE
from casstore.server.message import BrokenBody, Handler, Request, Response
from casstore.server.stores import Stores


@dataclass(frozen=True, slots=True)
class Api:
    """One protocol over a store.

    Attributes:
        answer: its handler, which turns every CasstoreError into an answer itself.
        failure: an answer in its form that says what went wrong: status and text.
    """

    answer: Handler
    failure: Callable[[int, str], Response]


class Log(Protocol):
    """Where it is noted what was asked."""

    def answered(self, request: Request, status: int) -> None:
        """Note what a request is answered, before that is sent."""

    def write(self, served: Served) -> None:
        """Note a request that is over."""

    def say(self, line: str) -> None:
        """Note something else."""


class LoginCheck(Protocol):
    """Knows who may ask."""

    def user_of(self, authorization: str) -> str | None:
        """Who a field Authorization says it is; None if it does not, or if that is not so."""


class Site:
    """What the connections of one socket work with."""

    def __init__(
        self,
        api: Api,
        stores: Stores,
        board: metrics.Board,
        log: Log,
        *,
        hosts: HostRule | None = None,
        logins: LoginCheck | None = None,
        secure: bool = False,
    ) -> None:
        """Put a site together.

        Args:
            hosts: which names it has; None on a unix socket, where no browser can ask.
            logins: who may ask; None where everybody may who can connect.
            secure: whether it is behind TLS.
        """
        self._api, self._stores, self._board, self._log = api, stores, board, log
        self._hosts, self._logins = hosts, logins
        self._scheme = "https" if secure else "http"
        self.failure = api.failure
        self.is_crowded: Callable[[], bool] = _never
        self._second, self._date = 0, ""

    def answer(self, request: Request, local: str) -> Response:
        """What a request is answered; it never raises."""
        response = self._answered(request, local)
        self._log.answered(request, response.status)
        return response

    def _answered(self, request: Request, local: str) -> Response:
        try:
            if self._hosts is not None:
                self._hosts.check(request, local)
                check_origin(request)
            if self._logins is not None:
                request.user = self._logins.user_of(request.headers.get("authorization"))
                if request.user is None:
                    refusal = self.failure(401, "authentication required")
                    refusal.headers.append(("WWW-Authenticate", CHALLENGE))
                    return refusal
            if request.path == "/metrics" and request.method in ("GET", "HEAD"):
                content = self._board.text().encode()
                return Response(200, [("Content-Type", metrics.TYPE)], content)
            return self._stores.answer(self._api.answer, request)
        except BrokenBody as error:
            return self.failure(error.status, str(error))
        except Locked as error:
            return self.failure(503, str(error))
        except CasstoreError as error:
            full = isinstance(error, StorageError) and error.full
            self._log.say(f"Error: {printable(str(error))}")
            return self.failure(507 if full else 500, str(error))
        except Exception:  # noqa: BLE001 - a bug must cost one request, not the server
            self.note_bug()
            return self.failure(500, "internal error, a bug in casstore; its log shows where")

    def note_bug(self) -> None:
        """Write the traceback of what is being handled to the log."""
        self._log.say(traceback.format_exc().rstrip())

    def base(self, host: str, local: str) -> str:
        """scheme://host[:port] as the client named it."""
        if not local:
            return ""
        return f"{self._scheme}://{host or local}"

    def counting(self) -> AbstractContextManager[metrics.Counted]:
        """Count a request."""
        return self._board.counting()

    def note(self, served: Served) -> None:
        """Note a request that is over."""
        self._board.moved(served.received, served.sent)
        self._log.write(served)

    def date(self) -> str:
        """The time, for the field Date."""
        now = current_time() // 1_000_000_000
        if now != self._second:
            self._date = formatdate(now, usegmt=True)
            self._second = now
        return self._date


def _never() -> bool:
    return False
