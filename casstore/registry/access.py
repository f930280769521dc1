"""How registries are reached: what the environment says, as a value.

Nothing here reads the environment by itself: whoever wants it read hands it in. The places and
their order are those of Docker, podman and skopeo (containers-auth.json(5), docker login).
"""

from __future__ import annotations

import os

from casstore.model.arguments import path_of
from casstore.model.home import expanded, home_of
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from casstore.model.parameters import StrPath


_REGISTRIES = "registries.conf"
_CONTAINERD = "/etc/containerd/certs.d"


class Access(Value):
    """How registries are reached: without any of it, anonymously, and past no proxy."""

    plain_http: bool = False  # http:// for registries that are not on this machine, too
    # Files with credentials, of which the first that knows the host counts.
    auth_files: tuple[StrPath, ...] = ()
    auth_target: StrPath = ""  # the file that login writes and logout clears; empty: none
    # Directories with one folder a host: ca.crt, client.cert.
    certificates: tuple[StrPath, ...] = ()
    # Files as registries.conf(5) has them: where registries are, mirrors, what is blocked.
    registries: tuple[StrPath, ...] = ()
    hosts: tuple[StrPath, ...] = ()  # directories with one folder a host: containerd's hosts.toml
    http_proxy: str = ""  # proxy URLs; empty: none
    https_proxy: str = ""
    no_proxy: str = ""  # hosts, domains and networks to reach directly, separated by commas
    agent: str = "casstore"  # who we say we are

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, plain_http: bool = False, agent: str = "casstore"
    ) -> Self:
        """The settings that `environment` (usually os.environ) gives.

        `REGISTRY_AUTH_FILE` is used alone where it is set. Otherwise: podman's auth.json of this
        session, podman's of this user, Docker's config.json. What would lie in a home directory
        that is not known is not looked for. The files of `registries` and `hosts` are those that
        podman and containerd read; `CONTAINERS_REGISTRIES_CONF` is one in place of theirs.

        Raises:
            UsageError: a path begins with `~`, and there is no home directory.
        """
        home = home_of(environment)
        config_home = environment.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(config_home):  # the XDG specification: a relative path is ignored
            config_home = home and os.path.join(home, ".config")
        files = []
        explicit = environment.get("REGISTRY_AUTH_FILE", "")
        docker = environment.get("DOCKER_CONFIG", "") or (home and os.path.join(home, ".docker"))
        config = docker and os.path.join(expanded(docker, home), "config.json")
        if explicit:
            explicit = expanded(explicit, home)
            files.append(explicit)
        else:
            session = environment.get("XDG_RUNTIME_DIR", "")
            if not os.path.isabs(session):
                session = f"/run/containers/{os.getuid()}"  # where podman then keeps them
                files.append(os.path.join(session, "auth.json"))
            else:
                files.append(os.path.join(session, "containers", "auth.json"))
            files += [config_home and os.path.join(config_home, "containers", "auth.json"), config]
        return cls(
            plain_http=plain_http,
            auth_files=tuple(filter(None, files)),
            auth_target=explicit or config,
            certificates=("/etc/docker/certs.d", "/etc/containers/certs.d", _CONTAINERD),
            registries=_registries(environment, config_home),
            hosts=_hosts(config_home),
            http_proxy=_first(environment, "http_proxy", "HTTP_PROXY"),
            https_proxy=_first(environment, "https_proxy", "HTTPS_PROXY"),
            no_proxy=_first(environment, "no_proxy", "NO_PROXY"),
            agent=agent,
        )

    @property
    def logins(self) -> tuple[str, ...]:
        """`auth_files` as strings."""
        return tuple(map(path_of, self.auth_files))

    @property
    def registry_files(self) -> tuple[str, ...]:
        """`registries` as strings."""
        return tuple(map(path_of, self.registries))

    @property
    def host_folders(self) -> tuple[str, ...]:
        """`hosts` as strings."""
        return tuple(map(path_of, self.hosts))

    def __repr__(self) -> str:
        return "Access(…)"  # an address of a proxy may have a password


def _registries(environment: Mapping[str, str], config_home: str) -> tuple[str, ...]:
    """The registries.conf that counts, and the drop-in files beside it and the user's.

    The user's file is read in place of the system's, with the user's drop-in files alone.
    """
    given = environment.get("CONTAINERS_REGISTRIES_CONF", "")
    own = config_home and os.path.join(config_home, "containers", _REGISTRIES)
    system = os.path.join("/etc/containers", _REGISTRIES)
    if own and not given and os.path.exists(own):
        return (own, *_drop_ins(own))
    main = given or (system if os.path.exists(system) else "")
    return (*filter(None, (main,)), *_drop_ins(system), *_drop_ins(own))


def _drop_ins(main: str) -> list[str]:
    folder = main + ".d"
    try:
        names = sorted(os.listdir(folder)) if main else []
    except OSError:
        return []  # most systems have none
    return [os.path.join(folder, name) for name in names if name.endswith(".conf")]


def _hosts(config_home: str) -> tuple[str, ...]:
    own = config_home and os.path.join(config_home, "containerd", "certs.d")
    return tuple(filter(os.path.isdir, filter(None, (own, _CONTAINERD, "/etc/docker/certs.d"))))


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")
