"""Dockerfile instructions that `import -c` applies to a config.

They are CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME WORKDIR.

Source: Docker's `import` and `commit` reference pages and the Dockerfile reference; anything else
is refused in dockerd's words, `run is not a valid change command`.
"""

from __future__ import annotations

import json
import posixpath
import shlex
from typing import TYPE_CHECKING, Any

from casstore.errors import Refused, printable, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SHELL = ["/bin/sh", "-c"]
_PROTOCOLS = ("tcp", "udp", "sctp")
_MAX_PORT = 65535


def apply_changes(config: dict[str, Any], changes: Sequence[str]) -> None:
    """Apply instructions, in order, to the `config` object of an image config.

    Raises:
        Refused: an instruction that is unknown or malformed.
    """
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        handler = _HANDLERS.get(word.lower())
        if handler is None:
            raise Refused(f"{printable(word.lower()[:80])} is not a valid change command")
        if not rest.strip():
            raise Refused(f"{word.upper()} requires at least one argument")
        handler(config, rest.strip())


def _command(rest: str) -> list[str]:
    """The exec form (a JSON list of strings), or the shell form."""
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
    return [*_SHELL, rest]


def _cmd(config: dict[str, Any], rest: str) -> None:
    config["Cmd"] = _command(rest)


def _entrypoint(config: dict[str, Any], rest: str) -> None:
    config["Entrypoint"] = _command(rest)


def _words(rest: str, what: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise Refused(f"{what}: {error}: {quote(rest)}".lower()) from None


def _pairs(rest: str, what: str) -> list[tuple[str, str]]:
    """`k=v k2="v 2"`, or the old form `k the rest of the line`."""
    first = rest.split(None, 1)[0]
    if "=" not in first:
        key, _, value = rest.partition(" ")
        if not value:
            raise Refused(f"{what} must have two arguments")
        return [(key, value.strip())]
    pairs = []
    for word in _words(rest, what):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Refused(
                f"syntax error - can't find = in {quote(word)}. Must be of the form: name=value"
            )
        pairs.append((key, value))
    return pairs


def _env(config: dict[str, Any], rest: str) -> None:
    env = [str(entry) for entry in config.get("Env") or []]
    for key, value in _pairs(rest, "ENV"):
        entry = f"{key}={value}"
        at = next((i for i, old in enumerate(env) if old.partition("=")[0] == key), None)
        if at is None:
            env.append(entry)
        else:
            env[at] = entry
    config["Env"] = env


def _label(config: dict[str, Any], rest: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(rest, "LABEL"))}


def _expose(config: dict[str, Any], rest: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in _words(rest, "EXPOSE"):
        span, _, protocol = word.partition("/")
        protocol = (protocol or "tcp").lower()
        low, dash, high = span.partition("-")
        if (
            protocol not in _PROTOCOLS
            or not (low.isascii() and low.isdigit())
            or (dash and not (high.isascii() and high.isdigit()))
            or not int(low) <= int(high or low) <= _MAX_PORT
        ):
            raise Refused(f"invalid containerPort: {quote(word)}")
        for port in range(int(low), int(high or low) + 1):
            ports[f"{port}/{protocol}"] = {}
    config["ExposedPorts"] = ports


def _onbuild(config: dict[str, Any], rest: str) -> None:
    word = rest.split(None, 1)[0].upper()
    if word == "ONBUILD":
        raise Refused("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if word in ("MAINTAINER", "FROM"):
        raise Refused(f"{word} isn't allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or []), rest]


def _user(config: dict[str, Any], rest: str) -> None:
    words = _words(rest, "USER")
    if len(words) != 1:
        raise Refused("USER requires exactly one argument")
    config["User"] = words[0]


def _volume(config: dict[str, Any], rest: str) -> None:
    names = _command(rest) if rest.startswith("[") else _words(rest, "VOLUME")
    if names[:2] == _SHELL or not all(name.strip() for name in names):
        raise Refused("VOLUME specified can not be an empty string")
    config["Volumes"] = {**(config.get("Volumes") or {}), **{name: {} for name in names}}


def _workdir(config: dict[str, Any], rest: str) -> None:
    words = _words(rest, "WORKDIR")
    if len(words) != 1:
        raise Refused("WORKDIR requires exactly one argument")
    config["WorkingDir"] = posixpath.normpath(
        posixpath.join("/", str(config.get("WorkingDir") or ""), words[0])
    )


_HANDLERS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "cmd": _cmd,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "label": _label,
    "onbuild": _onbuild,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
