"""Who a registry is told we are: the files and programs where Docker and podman keep logins.

Looked up for the most exact key first (`host/team/app`, `host/team`, `host`), as
containers-auth.json(5) has it; Docker writes `https://index.docker.io/v1/` for its own registry.
A file's `credHelpers` beat its `credsStore`, which beats its `auths`, as in Docker. Nothing read
here is ever part of a message.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess

from casstore.errors import RegistryError, quote
from casstore.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_FILE = 1 << 20
HELPER_SECONDS = 60.0
DOCKER_HUB = "https://index.docker.io/v1/"
TOKEN_USER = "<token>"  # what a helper calls the user of an identity token
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


def find_login(files: tuple[str, ...], domain: str, repository: str = "") -> Login | None:
    """The login for a registry, or None.

    Args:
        files: in the order in which they count; one that is not there is passed over.
        domain: of references, as `docker.io`.
        repository: the path in the registry, for logins of one part of it.

    Raises:
        RegistryError: a file or a helper program that cannot be used.
    """
    for path in files:
        config = read_config(path)
        if config is None:
            continue
        for key in _keys(domain, repository):
            login = _in_config(config, key, path)
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
        value = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError):
        value = None  # the reason would quote the file
    if not isinstance(value, dict) or len(data) > MAX_FILE:
        raise RegistryError(f"{quote(path)} is not a file of credentials (a JSON object)")
    return value


def helper_of(config: dict[str, Any], key: str) -> str:
    """The helper program in charge of a key; empty if there is none."""
    helpers = config.get("credHelpers")
    name = helpers.get(key) if isinstance(helpers, dict) else None
    if not isinstance(name, str) or not name:
        name = config.get("credsStore")
    return name if isinstance(name, str) else ""


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
            [program, verb], input=text.encode(), capture_output=True, timeout=HELPER_SECONDS,
            check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise RegistryError(f"the credential helper {program} is not installed") from None
    except OSError as error:
        reason = (error.strerror or "it failed").lower()
        raise RegistryError(f"cannot run the credential helper {program}: {reason}") from None
    except subprocess.TimeoutExpired:
        raise RegistryError(f"the credential helper {program} does not end") from None
    if done.returncode == 0:
        return done.stdout[:MAX_FILE]
    if b"not found" in done.stdout[:MAX_FILE]:
        return None
    raise RegistryError(f"the credential helper {program} failed at: {verb}")


def server_key(domain: str) -> str:
    """What Docker calls the registry in its file and to its helpers."""
    return DOCKER_HUB if domain == "docker.io" else domain


def _keys(domain: str, repository: str) -> Iterator[str]:
    if domain == "docker.io":
        yield from (DOCKER_HUB, "docker.io", "index.docker.io", "registry-1.docker.io")
        return
    parts = [part for part in repository.split("/") if part]
    for count in range(len(parts), 0, -1):
        yield "/".join((domain, *parts[:count]))
    yield domain
    yield from (f"https://{domain}", f"https://{domain}/", f"https://{domain}/v1/")
    yield from (f"http://{domain}", f"https://{domain}/v2/")


def _in_config(config: dict[str, Any], key: str, path: str) -> Login | None:
    helper = helper_of(config, key)
    if helper:
        output = run_helper(helper, "get", key)
        if output is not None:
            return _of_helper(output, helper)
    auths = config.get("auths")
    entry = auths.get(key) if isinstance(auths, dict) else None
    if not isinstance(entry, dict):
        return None
    token = entry.get("identitytoken")
    user, password = entry.get("username"), entry.get("password")
    packed = entry.get("auth")
    if isinstance(packed, str) and packed:
        try:
            text = base64.b64decode(packed, validate=True).decode().rstrip("\x00")
        except (binascii.Error, ValueError):
            raise RegistryError(f"the credentials for {key} in {quote(path)} are damaged") from None
        user, _, password = text.partition(":")
    if isinstance(token, str) and token:
        return Login(user if isinstance(user, str) else "", "", token)
    if isinstance(user, str) and isinstance(password, str) and user:
        return Login(user, password)
    return None


def _of_helper(output: bytes, helper: str) -> Login | None:
    try:
        value = json.loads(output)
        user, secret = value["Username"], value["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        user = secret = None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise RegistryError(f"the credential helper {helper} does not answer as it should")
    if not user and not secret:
        return None
    return Login("", "", secret) if user == TOKEN_USER else Login(user, secret)
