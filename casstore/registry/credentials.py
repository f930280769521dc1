"""Who a registry is told we are: the files and programs where Docker and podman keep logins.

In each file the helper program in charge of the registry is asked once, by the one name that Docker
gives it (`https://index.docker.io/v1/` for Docker's own registry): that of `credHelpers`, else
`credsStore`. Where it knows of no login, `auths` is looked at: for the most exact key first
(`host/team/app`, `host/team`, `host`), as containers-auth.json(5) has it, then for any form of the
host that docker login has ever written (`https://host/v1/`).

What cannot be read or asked is told, and the search goes on: a public image needs no login. Nothing
read here is ever part of a message.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import os
import subprocess

from casstore.errors import RegistryError, quote
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MAX_FILE = 1 << 20
HELPER_SECONDS = 60.0
DOCKER_HUB = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset(("docker.io", "index.docker.io", "registry-1.docker.io"))
TOKEN_USER = "<token>"  # what a helper calls the user of an identity token
_UNKNOWN = b"credentials not found"  # how helpers begin to say that they do not know a key
_HELPER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Login(Value):
    """A user and password, or an identity token of an OAuth2 token server."""

    user: str
    password: str
    identity_token: str = ""

    def __repr__(self) -> str:
        return "Login(…)"  # no secret in any traceback

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        text = f"{self.user}:{self.password}".encode(errors="surrogateescape")
        return "Basic " + base64.b64encode(text).decode("ascii")


def find_login(
    files: tuple[str, ...], domain: str, repository: str = "",
    problem: Callable[[str], None] | None = None,
) -> Login | None:  # fmt: skip
    """The login for a registry, or None.

    Args:
        files: in the order in which they count; one that is not there is passed over.
        domain: of references, as `docker.io`.
        repository: the path in the registry, for logins of one part of it.
        problem: hears why a file, a helper program or an entry could not be used.

    Raises:
        RegistryError: what could not be used, where nobody hears of problems.
    """
    for path in files:
        for look in (_by_helper, _in_auths):
            try:
                config = read_config(path)
                if config is None:
                    break
                login = look(config, domain, repository, path)
            except RegistryError as error:
                if problem is None:
                    raise
                problem(str(error))
                continue
            if login is not None:
                return login
    return None


def read_config(path: str) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no file.

    Raises:
        RegistryError: it cannot be read, or is no JSON object.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise RegistryError(f"cannot read {quote(path)}: {reason}") from None
    try:
        data = data.removeprefix(codecs.BOM_UTF8)
        value = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError):
        value = None  # the reason would quote the file
    if not isinstance(value, dict) or len(data) > MAX_FILE:
        raise RegistryError(f"{quote(path)} is not a file of credentials (a JSON object)")
    return value


class Helper(Value):
    """The program in charge of a registry."""

    name: str  # as in docker-credential-NAME; empty: the file itself is in charge
    key: str  # what the registry is called when it is asked


def helper_of(config: dict[str, Any], domain: str) -> Helper:
    """The helper program in charge of a registry, and the name by which it knows it.

    That is the key in `credHelpers`: podman writes `docker.io` there, docker its long form. An
    empty name there says that the file itself is in charge, as in Docker.
    """
    usual = server_key(domain)
    helpers = config.get("credHelpers")
    for key in (usual, domain, *sorted(_aliases(domain))):
        if isinstance(helpers, dict) and isinstance(name := helpers.get(key), str):
            return Helper(name, key)
    name = config.get("credsStore")
    return Helper(name if isinstance(name, str) else "", usual)


def run_helper(name: str, verb: str, text: str) -> bytes | None:
    """`docker-credential-NAME VERB` with `text` on its standard input.

    Returns:
        Its output; None where it says that it does not know the key.

    Raises:
        RegistryError: it cannot be run, fails otherwise, or does not end.
    """
    program = f"docker-credential-{name}"
    if not name or not _HELPER.issuperset(name):
        raise RegistryError(f"invalid name of a credential helper: {quote(name)}")
    try:
        done = subprocess.run(  # noqa: S603 - the user's own configuration names it
            [_installed(program), verb], input=text.encode(errors="surrogateescape"),
            capture_output=True, timeout=HELPER_SECONDS, check=False,
        )  # fmt: skip
    except OSError as error:
        reason = (error.strerror or "it failed").lower()
        raise RegistryError(f"cannot run the credential helper {program}: {reason}") from None
    except subprocess.TimeoutExpired:
        raise RegistryError(f"the credential helper {program} does not end") from None
    if done.returncode == 0:
        return done.stdout[:MAX_FILE]
    if _UNKNOWN in done.stdout[:MAX_FILE].lower():
        return None
    raise RegistryError(f"the credential helper {program} failed at: {verb}")


def _installed(program: str) -> str:
    """The path of a program; never one below the working directory, which may be anybody's."""
    for folder in os.get_exec_path():
        path = os.path.join(folder, program)
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise RegistryError(f"the credential helper {program} is not installed")


def server_key(domain: str) -> str:
    """What Docker calls the registry in its file and to its helpers."""
    return DOCKER_HUB if domain in _HUB_HOSTS else domain


def keys_of(auths: dict[str, Any], domain: str) -> list[str]:
    """The keys that mean a registry as a whole, in whatever form; the usual one first."""
    usual = server_key(domain)
    return sorted((key for key in auths if _host_in(key) in _aliases(domain)), key=usual.__ne__)


def parts_of(auths: dict[str, Any], domain: str) -> list[str]:
    """The keys that mean a part of a registry: `host/team`."""
    return [key for key in auths if _is_part(key) and key.partition("/")[0] in _aliases(domain)]


def _aliases(domain: str) -> frozenset[str]:
    return _HUB_HOSTS if domain in _HUB_HOSTS else frozenset((domain.lower(),))


def _host_in(key: str) -> str:
    """The host that a key means as a whole; empty where it means a part of a registry.

    Docker takes any path behind a key with a scheme, and `/v1/` or `/v2/` behind one without.
    """
    plain = key.lower()
    scheme = next((s for s in ("https://", "http://") if plain.startswith(s)), "")
    host, _, path = plain.removeprefix(scheme).partition("/")
    return host if scheme or path.strip("/") in ("", "v1", "v2") else ""


def _is_part(key: str) -> bool:
    return "/" in key and not _host_in(key)


def _keys(auths: dict[str, Any], domain: str, repository: str) -> Iterator[str]:
    parts = [part for part in repository.split("/") if part]
    home = "docker.io" if domain in _HUB_HOSTS else domain
    for count in range(len(parts), 0, -1):
        key = "/".join((home, *parts[:count]))
        if key in auths:
            yield key
    yield from keys_of(auths, domain)


def _by_helper(config: dict[str, Any], domain: str, _repository: str, _path: str) -> Login | None:
    helper = helper_of(config, domain)
    if not helper.name:
        return None
    output = run_helper(helper.name, "get", helper.key)
    return _of_helper(output, helper.name) if output is not None else None


def _in_auths(config: dict[str, Any], domain: str, repository: str, path: str) -> Login | None:
    auths = config.get("auths")
    if not isinstance(auths, dict):
        return None
    for key in _keys(auths, domain, repository):
        login = _of_entry(auths[key], key, path)
        if login is not None:
            return login
    return None


def _of_entry(entry: object, key: str, path: str) -> Login | None:
    if not isinstance(entry, dict):
        return None
    token = entry.get("identitytoken")
    user, password = entry.get("username"), entry.get("password")
    packed = entry.get("auth")
    if isinstance(packed, str) and packed.strip():
        user, password = _unpacked(packed, key, path)
    if isinstance(token, str) and token:
        return Login(user if isinstance(user, str) else "", "", token)
    if isinstance(user, str) and isinstance(password, str) and user:
        return Login(user, password)
    return None


def _unpacked(packed: str, key: str, path: str) -> tuple[str, str]:
    """User and password in base64, which people wrap, and write in its other alphabet, unpadded."""
    plain = "".join(packed.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    user, colon, password = data.decode(errors="surrogateescape").partition(":")
    if not colon:
        raise RegistryError(f"the credentials for {quote(key)} in {quote(path)} are damaged")
    return user, password.rstrip("\x00")


def _of_helper(output: bytes, helper: str) -> Login | None:
    try:
        value = json.loads(output)
        user, secret = value["Username"], value["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        user = secret = None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise RegistryError(f"the credential helper {helper} does not answer as it should")
    if not secret:
        return None
    return Login("", "", secret) if user == TOKEN_USER else Login(user, secret)
