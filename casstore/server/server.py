"""The server as a whole: what it is told to do becomes sockets, sites and a service."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

from casstore.errors import CasstoreError, UsageError, quote
from casstore.model.reference import DEFAULT_DOMAIN
from casstore.server import listener
from casstore.server.access import HostRule
from casstore.server.accesslog import STDERR, TEXT, AccessLog
from casstore.server.engine.options import EngineOptions
from casstore.server.login import Logins
from casstore.server.metrics import Board
from casstore.server.registry import api
from casstore.server.registry.options import RegistryOptions
from casstore.server.registry.repository import check_host
from casstore.server.service import Door, Service
from casstore.server.site import Api, Site
from casstore.server.stores import Stores
from casstore.server.tls import Certificate
from casstore.server.workers import ready, run_workers
from casstore.store import Store

# What may be served at a socket; also as FileDescriptorName= in a unit of systemd.
REGISTRY, DOCKER = "registry", "docker"
_UNNAMED = ("", "unknown", "connection")  # as systemd calls a socket without a name


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a server is told.

    Attributes:
        registry: where the registry listens: [HOST:]PORT or unix://PATH.
        docker: where the Docker Engine API listens: unix://PATH alone, for who may ask it may do
            all that this process's user may do with the store.
        engine: how the Docker Engine API behaves.
        names: hosts that a request may name besides localhost and this machine.
        idle_exit: seconds without a request after which the server ends.
        log: descriptor that the access log is written to.
    """

    registry: Sequence[str] = ()
    docker: Sequence[str] = ()
    engine: EngineOptions = field(default_factory=EngineOptions)
    registry_mirror: str = DEFAULT_DOMAIN
    read_only: bool = False
    certificate: str | None = None
    key: str | None = None
    htpasswd: str | None = None
    insecure: bool = False
    names: Sequence[str] = ()
    idle_exit: float | None = None
    log_format: str = TEXT
    log: int = STDERR
    workers: int = 1


class Server:
    """A server whose sockets listen; `run` serves them.

    Attributes:
        doors: the sockets, with what is served there.
        board: what is counted.
    """

    def __init__(
        self,
        make_store: Callable[[], Store],
        options: ServerOptions,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Make what is needed, and listen. Nothing listens if anything is wrong.

        Args:
            make_store: opens the store, for one thread.
            environment: that of the process, where systemd hands sockets over to it.

        Raises:
            UsageError: the options contradict each other, or nothing is to be served.
            StorageError: a file cannot be read, or an address not be listened at.
            Unsupported: a package is missing.
        """
        check_host(options.registry_mirror)
        self._options = options
        self._stores = Stores(make_store)
        self.board = Board(options.workers)
        self._log = AccessLog(options.log_format, options.log)
        self._certificate = _certificate(options)
        self._logins = Logins(options.htpasswd) if options.htpasswd is not None else None
        self._hosts = HostRule(options.names)
        self._files: list[str] = []  # of unix sockets that this server has made
        self.doors: list[Door] = []
        try:
            self._open(environment or {})
            if not self.doors:
                raise UsageError("nothing to serve: give --registry or --docker")
        except CasstoreError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    @property
    def addresses(self) -> list[str]:
        """Where it listens, each as a client takes it."""
        return [
            listener.shown(door.socket, "https" if door.certificate else "http")
            for door in self.doors
        ]

    @property
    def announcements(self) -> list[str]:
        """The same, each with what is served there."""
        return [
            f"{door.name}: {address}"
            for door, address in zip(self.doors, self.addresses, strict=True)
        ]

    def run(self, begin: Callable[[], None]) -> bool:
        """Serve until a signal, or until it has been idle for long enough.

        In the main thread of the process. `begin` is called when a signal ends it as it should.

        Returns:
            False if workers cannot be kept running.
        """
        options = self._options
        if options.workers > 1:
            return run_workers(
                options.workers, self.board, self._work, begin=begin, idle_exit=options.idle_exit
            )
        service = self.service(idle_exit=options.idle_exit)
        service.stop_on_signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        begin()
        service.run()
        return True

    def service(self, *, idle_exit: float | None = None) -> Service:
        """What serves the sockets in one process, which may be run in any thread."""
        return Service(self.doors, self.board, idle_exit=idle_exit)

    def close(self) -> None:
        """Stop listening, and close the stores; of a server that is not running."""
        for door in self.doors:
            door.socket.close()
        for path in self._files:
            listener.remove_unix(path)
        self._files.clear()
        self._stores.close()

    def _work(self, _row: int, orphaned: int) -> None:
        service = self.service()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: the first tells
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        service.stop_on_signals((signal.SIGTERM,))
        ready()
        service.run(orphaned)

    def _open(self, environment: Mapping[str, str]) -> None:
        for name, made in listener.handed_over(environment):
            if name not in (*_UNNAMED, REGISTRY, DOCKER):
                raise UsageError(
                    f"a socket is named {quote(name)}: expected {REGISTRY} or {DOCKER}"
                )
            if name == DOCKER:
                self._add_engine(made)
            else:
                self._add(made)
        for address in self._options.registry:
            path = listener.unix_path(address)
            made = listener.listen_tcp(address) if path is None else listener.listen_unix(path)
            if path is not None:
                self._files.append(path)
            self._add(made)
        for address in self._options.docker:
            path = listener.unix_path(address)
            if path is None:
                raise _not_unix(address)
            made = listener.listen_unix(path)
            self._files.append(path)
            self._add_engine(made)

    def _add(self, made: socket.socket) -> None:
        """Serve the registry at a socket. Raises UsageError where that would not be safe."""
        is_unix = made.family == socket.AF_UNIX
        safe = self._certificate is not None and self._logins is not None
        if not (listener.is_local(made) or safe or self._options.insecure):
            where = listener.shown(made, "http")
            made.close()
            raise UsageError(
                f"{where} can be reached from other machines: that needs --tls-cert, --tls-key and"
                " --htpasswd, or --insecure"
            )
        certificate = None if is_unix else self._certificate
        site = Site(
            self._registry(),
            self._stores,
            self.board,
            self._log,
            hosts=None if is_unix else self._hosts,
            logins=None if is_unix else self._logins,
            secure=certificate is not None,
        )
        self.doors.append(Door(made, site, certificate))

    def _add_engine(self, made: socket.socket) -> None:
        """Serve the Docker Engine API at a unix socket. Raises UsageError at any other."""
        from casstore.server.engine import api as engine  # a registry alone has no use for it

        if made.family != socket.AF_UNIX:
            where = listener.shown(made, "tcp")
            made.close()
            raise _not_unix(where)
        options = replace(self._options.engine, read_only=self._options.read_only)
        site = Site(
            Api(partial(engine.answer, options=options), engine.failure),
            self._stores,
            self.board,
            self._log,
        )
        self.doors.append(Door(made, site, name="Docker"))

    def _registry(self) -> Api:
        options = RegistryOptions(self._options.registry_mirror, read_only=self._options.read_only)
        return Api(partial(api.answer, options=options), api.failure)


def _not_unix(address: str) -> UsageError:
    return UsageError(
        f"the Docker Engine API is served at unix sockets alone: give unix://PATH, not {address}"
    )


def _certificate(options: ServerOptions) -> Certificate | None:
    if (options.certificate is None) != (options.key is None):
        raise UsageError("--tls-cert and --tls-key are needed together")
    if options.certificate is None or options.key is None:
        return None
    return Certificate(options.certificate, options.key)
