"""login and logout: a registry's answer first, then the file or the helper program that keeps it.

The file is replaced as a whole, with mode 0600; what else is in it stays as it was.
"""

from __future__ import annotations

import base64
import json
import os

from casstore.errors import CasstoreError, RegistryError, quote
from casstore.files import durable
from casstore.model.arguments import path_of
from casstore.registry.access import Access
from casstore.registry.credentials import (
    Login,
    find_login,
    helper_of,
    keys_of,
    parts_of,
    read_config,
    run_helper,
    server_key,
)
from casstore.registry.http import Transport
from casstore.registry.remote import Registry
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def log_in(transport: Transport, domain: str, login: Login) -> str:
    """Try a login, and keep it if the registry takes it.

    Args:
        transport: its settings say where logins are kept.
        domain: of references, as `docker.io`.
        login: user and password, or an identity token.

    Returns:
        The file that the login stands in, in the clear; empty where a helper program keeps it.

    Raises:
        Unauthorized: the registry does not take it; nothing is kept.
        RegistryError: the registry cannot be asked, or the login cannot be kept.
    """
    path = _target(transport.access)
    config = read_config(path) or {}
    _auths(config, path)
    Registry(transport, domain, login).check_login()
    key = server_key(domain)
    helper = helper_of(config, domain)
    if helper.name:
        secret = {"ServerURL": helper.key, "Username": login.user, "Secret": login.password}
        if run_helper(helper.name, "store", json.dumps(secret)) is None:
            raise RegistryError(f"the credential helper {helper.name} failed at: store")
        return ""
    text = f"{login.user}:{login.password}".encode(errors="surrogateescape")
    auths = _auths(config, path)
    for other in keys_of(auths, domain):
        del auths[other]  # docker logout knows one form of the key alone
    auths[key] = {"auth": base64.b64encode(text).decode("ascii")}
    _write(path, config)
    counts = find_login(transport.access.logins, domain, problem=transport.notice)
    if counts not in (None, login):
        transport.notice(f"another login for {domain} counts first: that of podman or of a helper")
    return path


class LoggedOut(Value):
    """What a logout has found."""

    any_login: bool  # one was removed
    left: tuple[str, ...]  # keys of logins for parts of the registry, which stay


def log_out(access: Access, domain: str) -> LoggedOut:
    """Forget the logins for a registry that pull and push would use, wherever they stand.

    Raises:
        RegistryError: one of them could not be removed; the others are.
    """
    any_login, failed = False, ""
    left: list[str] = []
    for path in dict.fromkeys((*access.logins, path_of(access.auth_target))):
        if not path:
            continue
        for forget in (_from_helper, _from_file):
            try:
                config = read_config(path)
                if config is None:
                    break
                any_login = forget(path, config, domain, left) or any_login
            except CasstoreError as error:
                failed = failed or str(error)
    if failed:
        raise RegistryError(failed)
    return LoggedOut(any_login, tuple(dict.fromkeys(left)))


def _from_helper(_path: str, config: dict[str, Any], domain: str, _left: list[str]) -> bool:
    helper = helper_of(config, domain)
    if not helper.name or run_helper(helper.name, "get", helper.key) is None:
        return False
    run_helper(helper.name, "erase", helper.key)
    return True


def _from_file(path: str, config: dict[str, Any], domain: str, left: list[str]) -> bool:
    if not config.get("auths"):
        return False
    auths = _auths(config, path)
    left += parts_of(auths, domain)
    found = keys_of(auths, domain)
    entries = [auths.pop(key) for key in found]
    if found:
        _write(path, config)
    return any(entries)  # beside a helper program docker leaves empty ones


def _target(access: Access) -> str:
    path = path_of(access.auth_target)
    if not path:
        raise RegistryError(
            "there is no place for logins: $HOME is not an absolute path;"
            " $DOCKER_CONFIG or $REGISTRY_AUTH_FILE can name one"
        )
    return path


def _auths(config: dict[str, Any], path: str) -> dict[str, Any]:
    if config.get("auths") is None:
        config["auths"] = {}
    auths = config["auths"]
    if not isinstance(auths, dict):
        raise RegistryError(f"{quote(path)} is not a file of credentials (auths is not an object)")
    return auths


def _write(path: str, config: dict[str, Any]) -> None:
    target = os.path.realpath(path)  # the file that a link means is replaced, not the link
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        staging = f"{target}.{os.getpid()}-{os.urandom(4).hex()}.part"
        with durable.replace_file(target, staging, 0o600) as new:
            new.file.write(json.dumps(config, indent="\t", ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise durable.storage_error(error, f"cannot write {quote(path)}") from None
