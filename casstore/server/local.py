"""A registry on the loopback, within a process: for tests of what speaks to registries.

It is the registry of `casstore serve`, on a free port, in threads of this process. It can be told
to ask for a login, and to answer some requests with an error; and it knows what it was asked.
"""

from __future__ import annotations

import base64
import hmac
import threading
from functools import partial
from typing import NamedTuple, Self

from casstore.errors import UsageError
from casstore.model.manifest import EMPTY_CONFIG
from casstore.server import listener
from casstore.server.access import HostRule
from casstore.server.accesslog import Served
from casstore.server.message import Request, Response
from casstore.server.metrics import Board
from casstore.server.registry import api
from casstore.server.registry.options import RegistryOptions
from casstore.server.service import Door, Service
from casstore.server.site import Api, Site
from casstore.server.stores import Stores
from casstore.store import Store, store_of

GRACE = 5.0  # seconds that requests get to end


class Asked(NamedTuple):
    """A request that was answered."""

    method: str
    path: str
    status: int
    user: str | None


class LocalRegistry:
    """A registry that serves a store, until it is closed.

    Attributes:
        host: host and port, as in a name: `localhost:41234`.
        asked: what it was asked, in the order in which the answers were sent.
    """

    def __init__(self, store: Store, *, login: tuple[str, str] | None = None) -> None:
        """Serve a store, which goes on to be used beside.

        Args:
            login: a user and a password, without which nothing is answered.

        Raises:
            UsageError: the store is in memory.
        """
        if store.session.backend.blobs.file_of(EMPTY_CONFIG) is None:
            raise UsageError("a store in memory cannot be served: it has no files")
        self.asked: list[Asked] = []
        self._failures: list[int] = []
        made = listener.listen_tcp("0")
        self.host = f"localhost:{made.getsockname()[1]}"
        session = store.session
        self._stores = Stores(lambda: store_of(session.another(), Store))
        board = Board()
        site = Site(
            Api(self._answer, api.failure),
            self._stores,
            board,
            self,
            hosts=HostRule(),
            logins=None if login is None else _OneLogin(*login),
        )
        self._serve = partial(api.answer, options=RegistryOptions())
        self._service = Service([Door(made, site)], board, grace=GRACE)
        self._thread = threading.Thread(target=self._service.run, daemon=True)
        self._thread.start()

    def fail_next(self, times: int = 1, *, status: int = 503) -> None:
        """Answer so many requests, the next ones, with this status."""
        self._failures += [status] * times

    def close(self) -> None:
        """End it; requests that are being answered get a moment."""
        self._service.stop()
        self._thread.join()
        self._stores.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    # What the site has for a log.

    def answered(self, request: Request, status: int) -> None:
        """Note a request before its answer is sent, so that who has that finds it noted."""
        self.asked.append(Asked(request.method, request.path, status, request.user))

    def write(self, served: Served) -> None:
        """It was noted."""

    def say(self, line: str) -> None:
        """Tests look at answers."""

    def _answer(self, request: Request, store: Store) -> Response:
        try:
            status = self._failures.pop(0)
        except IndexError:
            return self._serve(request, store)
        return api.failure(status, "this request was to fail")


class _OneLogin:
    """The login of one user."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._value = base64.b64encode(f"{user}:{password}".encode())

    def user_of(self, authorization: str) -> str | None:
        scheme, _, value = authorization.partition(" ")
        right = hmac.compare_digest(value.strip().encode(), self._value)
        return self._user if right and scheme.lower() == "basic" else None
