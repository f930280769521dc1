"""login and logout: a registry's answer first, then the file or the helper program that keeps it.

The file is replaced as a whole, with mode 0600; what else is in it stays as it was.
"""

from __future__ import annotations

import base64
import json
import os

from casstore.disk import durable
from casstore.errors import RegistryError, quote
from casstore.registry.access import Access
from casstore.registry.credentials import Login, helper_of, read_config, run_helper, server_key
from casstore.registry.http import Transport
from casstore.registry.remote import Registry

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
    Registry(transport, domain, login).check_login()
    key = server_key(domain)
    helper = helper_of(config, key)
    if helper:
        secret = {"ServerURL": key, "Username": login.user, "Secret": login.password}
        if run_helper(helper, "store", json.dumps(secret)) is None:
            raise RegistryError(f"the credential helper {helper} failed at: store")
        return ""
    text = f"{login.user}:{login.password}".encode(errors="surrogateescape")
    _auths(config, path)[key] = {"auth": base64.b64encode(text).decode("ascii")}
    _write(path, config)
    return path


def log_out(access: Access, domain: str) -> bool:
    """Forget the login for a registry; False where there was none. Raises RegistryError."""
    path = _target(access)
    config = read_config(path)
    if config is None:
        return False
    key = server_key(domain)
    helper = helper_of(config, key)
    if helper and run_helper(helper, "get", key) is not None:
        run_helper(helper, "erase", key)
        return True
    if _auths(config, path).pop(key, None) is None:
        return False
    _write(path, config)
    return True


def _target(access: Access) -> str:
    path = access.auth_target
    if not path:
        raise RegistryError("no file for logins is set")
    return path


def _auths(config: dict[str, Any], path: str) -> dict[str, Any]:
    auths = config.setdefault("auths", {})
    if not isinstance(auths, dict):
        raise RegistryError(f"{quote(path)} is not a file of credentials (auths is no object)")
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
