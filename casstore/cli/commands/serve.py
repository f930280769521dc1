"""serve: the images of the store over HTTP, for registry clients and for front ends of Docker."""

from __future__ import annotations

from casstore.cli.options import (
    LIST,
    OF_A_LOOK,
    TEXT,
    Args,
    Command,
    Option,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.cli.app import App
    from casstore.server.server import ServerOptions

MOST_WORKERS = 64
SECOND = 1_000_000_000

HELP = Command(
    name="serve",
    arguments="",
    summary="Serve the images of the store as a registry, or to docker",
    options=(
        Option("docker", "Serve the Docker Engine API here: unix://PATH; can be given\n"
               "several times",
               kind=LIST, value="address"),
        Option("docker-mirror", "Registry that is asked before docker.io when docker pulls, as\n"
               "http://localhost:5000; can be given several times",
               kind=LIST, value="url"),
        Option("htpasswd", "Ask for a login: users with bcrypt hashes, as htpasswd -B\n"
               "writes them (needs casstore[server])",
               kind=TEXT, value="file", completes="file"),
        Option("idle-exit", "Exit after this long without a request, such as 90s or 10m",
               kind=TEXT, value="duration"),
        Option("insecure", "Listen beyond this machine without TLS or without a login"),
        Option("log-format", "The access log on stderr: 'text' or 'json'",
               kind=TEXT, choices=("text", "json"), default="text"),
        Option("name", "Another host name by which clients call this server;\n"
               "can be given several times",
               kind=LIST, value="host"),
        Option("read-only", "Refuse everything that changes the store"),
        Option("registry", "Listen here: PORT of this machine alone, HOST:PORT, or\n"
               "unix://PATH; can be given several times",
               kind=LIST, value="address"),
        Option("registry-mirror", "Host of the images whose path does not begin with one\n"
               "(default docker.io)",
               kind=TEXT, value="host", default="docker.io"),
        Option("tls-cert", "Certificate chain of the server (PEM)",
               kind=TEXT, value="file", completes="file"),
        Option("tls-key", "Key of the certificate (PEM)",
               kind=TEXT, value="file", completes="file"),
        Option("workers", "Processes that share the work",
               kind=TEXT, value="number", default="1"),
    ),
    most=0,
    exits=(
        (0, "ended by SIGTERM, SIGINT or SIGHUP, or idle for long enough"),
        (1, "it cannot listen, or cannot use a file that it was given"),
        *OF_A_LOOK,
    ),
    description="""\
Clients (docker, podman, skopeo, containerd, casstore) pull images from the store as from any
registry, and push to it. One port serves all registries whose images the store has:
localhost:5000/busybox is docker.io's busybox, localhost:5000/ghcr.io/owner/app is ghcr.io's, and
containerd asks its mirror with ?ns=HOST. A browser is shown the report of the store.

With --docker, clients of Docker work on the store: DOCKER_HOST=unix://PATH docker images, pull,
load, rmi, cp and all others that are about images, docker-py, testcontainers. A container is a
lease that holds its image, with files that can be read; nothing runs in it.

Other commands work beside the server, and stopping it loses nothing. It ends on SIGTERM: requests
that are being answered have half a minute to end.

With HOST:PORT other than a loopback address it needs --tls-cert, --tls-key and --htpasswd, or
--insecure. A request that names a host which is neither this machine nor given with --name is
refused, so that no web page reaches the store through a browser. A unix socket is for this user
alone, and must be in a directory where no other user may write. systemd may hand sockets over
(LISTEN_FDS). Certificates and the file of users are read again when they have changed.

The access log is on stderr; /metrics is for Prometheus.""",
)  # fmt: skip


def run(args: Args, app: App) -> int:
    """Serve until a signal ends it."""
    options = _options(args)
    import gc
    import os

    from casstore.server.server import Server
    from casstore.store import Store, store_of

    session = app.store.session
    if options.read_only or session.backend.exists():
        session.backend.require()
    else:
        with session.change(create=True) as change:
            change.commit()

    def make_store() -> Store:
        return store_of(session.another(), Store)

    # Other commands end before there is garbage worth looking for (__main__.py).
    gc.set_threshold(2_000, 10, 10)
    with Server(make_store, options, os.environ) as server:

        def announce() -> None:
            for line in server.announcements:
                app.note(line)

        return 0 if server.run(announce) else 1


def _options(args: Args) -> ServerOptions:
    from casstore import __version__
    from casstore.cli.registries import access
    from casstore.model.amount import parse_duration
    from casstore.server.engine.options import EngineOptions
    from casstore.server.server import ServerOptions

    idle = args.text("idle-exit")
    length = parse_duration(idle) if idle is not None else None
    if idle is not None and not length:
        raise args.wrong("idle-exit", "expected a duration such as 90s, 10m or 1h")
    workers = args.text("workers") or ""
    if not (workers.isascii() and workers.isdigit() and 1 <= int(workers) <= MOST_WORKERS):
        raise args.wrong("workers", f"expected a number from 1 to {MOST_WORKERS}")
    return ServerOptions(
        registry=args.texts("registry"),
        docker=args.texts("docker"),
        engine=EngineOptions(
            access=access(), mirrors=tuple(args.texts("docker-mirror")), release=__version__
        ),
        registry_mirror=args.text("registry-mirror") or "",
        read_only=args.flag("read-only"),
        certificate=args.text("tls-cert"),
        key=args.text("tls-key"),
        htpasswd=args.text("htpasswd"),
        insecure=args.flag("insecure"),
        names=args.texts("name"),
        idle_exit=None if length is None else length / SECOND,
        log_format=args.text("log-format") or "text",
        workers=int(workers),
    )
