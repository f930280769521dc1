"""Dockerfile instructions that `import -c` applies to a config.

They are CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD USER VOLUME WORKDIR, read as dockerd
reads them: comments and continued lines, exec and shell form, quotes, and variables that earlier
ENVs (or the parent) have set. Anything else is refused in dockerd's words, `run is not a valid
change command`.

Source: moby's `dockerfile/parser` and `dockerfile/dispatchers.go`; tests hold what dockerd 20.10
made of each form.
"""

from __future__ import annotations

import json
import posixpath
import re
from typing import TYPE_CHECKING, Any

from casstore.errors import Refused, printable, quote
from casstore.transfer.dockerwords import expand, expand_words, split
from casstore.transfer.healthcheck import health_check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SHELL = ["/bin/sh", "-c"]
_PROTOCOLS = ("tcp", "udp", "sctp")
_MAX_PORT = 65535
MAX_EXPOSED = 200_000  # ports that one EXPOSE names: every one of tcp, udp and sctp
_SHOWN = 80
_WITH_FLAGS = "healthcheck"
_CONTINUED = re.compile(r"(^|[^\\])\\[ \t]*$")


def apply_changes(config: dict[str, Any], changes: Sequence[str]) -> None:
    """Apply instructions, in order, to the `config` object of an image config.

    Raises:
        Refused: an instruction that is unknown or malformed.
    """
    if not changes:
        return
    instructions = list(_instructions("\n".join(changes)))
    if not instructions:
        raise Refused("file with no instructions")
    state = _Changes(config)
    for word, rest in instructions:
        handler = _HANDLERS.get(word.lower())
        if handler is None:
            raise Refused(f"{_shown(word.lower())} is not a valid change command")
        handler(state, rest)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction's word and what follows it, continued lines put together."""
    gathered = ""
    continued = False
    for line in text.split("\n"):
        if line.lstrip().startswith("#") or (continued and not line.strip()):
            continue
        continued = _CONTINUED.search(line) is not None
        gathered += _CONTINUED.sub(r"\1", line) if continued else line
        if not continued:
            yield from _parsed(gathered)
            gathered = ""
    yield from _parsed(gathered)


def _parsed(line: str) -> Iterator[tuple[str, str]]:
    word, *rest = line.split(None, 1) or [""]
    if word:
        arguments = rest[0].strip() if rest else ""
        flag = arguments.split(None, 1)[0] if arguments else ""
        takes_none = word.lower() in _HANDLERS and word.lower() != _WITH_FLAGS
        if flag.startswith("--") and flag != "--" and takes_none:
            raise Refused(f"Unknown flag: {_shown(flag[2:].partition('=')[0])}")
        yield word, arguments


def _shown(text: str) -> str:
    return printable(text[:_SHOWN])


class _Changes:
    """The config while it is changed."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self._cmd_given = False

    def cmd(self, rest: str) -> None:
        self.config["Cmd"] = self._command(rest)
        self._cmd_given = True

    def entrypoint(self, rest: str) -> None:
        self.config["Entrypoint"] = (self._command(rest) or None) if rest else None
        if not self._cmd_given:
            self.config.pop("Cmd", None)  # a CMD of the parent was meant for its ENTRYPOINT

    def env(self, rest: str) -> None:
        env, variables = self._texts("Env"), self._variables()
        for key, value in _pairs("ENV", rest):
            name = expand(key, variables)
            entry = f"{name}={expand(value, variables)}"
            at = next((i for i, old in enumerate(env) if old.partition("=")[0] == name), None)
            if at is None:
                env.append(entry)
            else:
                env[at] = entry
        self.config["Env"] = env

    def label(self, rest: str) -> None:
        variables = self._variables()
        labels = self._object("Labels")
        for key, value in _pairs("LABEL", rest):
            labels[expand(key, variables)] = expand(value, variables)
        self.config["Labels"] = labels

    def expose(self, rest: str) -> None:
        ports = self._object("ExposedPorts")
        named = 0
        for argument in _at_least_one("EXPOSE", rest.split()):
            for word in expand_words(argument, self._variables()):
                more = _ports(word)
                named += len(more)
                if named > MAX_EXPOSED:
                    raise Refused(f"EXPOSE exceeds the limit of {MAX_EXPOSED} ports")
                ports.update((port, {}) for port in more)
        self.config["ExposedPorts"] = ports

    def healthcheck(self, rest: str) -> None:
        self.config["Healthcheck"] = health_check(rest, _json_words)

    def onbuild(self, rest: str) -> None:
        word, *arguments = _at_least_one("ONBUILD", rest.split(None, 1))
        if word.upper() == "ONBUILD":
            raise Refused("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        if word.upper() in ("MAINTAINER", "FROM"):
            raise Refused(f"{word.upper()} isn't allowed as an ONBUILD trigger")
        if word.upper() in ("ENV", "LABEL"):
            _pairs(word.upper(), "".join(arguments))
        self.config["OnBuild"] = [*self._texts("OnBuild"), rest]

    def user(self, rest: str) -> None:
        self.config["User"] = expand(_one("USER", rest), self._variables())

    def volume(self, rest: str) -> None:
        given = _json_words(rest)
        names = _at_least_one("VOLUME", rest.split() if given is None else given)
        volumes = self._object("Volumes")
        for name in names:
            path = expand(name, self._variables()).strip()
            if not path:
                raise Refused("VOLUME specified can not be an empty string")
            volumes[path] = {}
        self.config["Volumes"] = volumes

    def workdir(self, rest: str) -> None:
        wanted = expand(_one("WORKDIR", rest), self._variables())
        if not wanted:
            raise Refused("cannot normalize nothing")
        if not wanted.startswith("/"):
            current = self.config.get("WorkingDir") or "/"
            wanted = "/" + posixpath.normpath(f"/{current}/{wanted}").lstrip("/")
        self.config["WorkingDir"] = wanted

    def _command(self, rest: str) -> list[str]:
        """The exec form (a JSON list of strings), or the shell form."""
        words = _json_words(rest)
        if words is not None:
            return words
        return [*(self._texts("Shell") or _SHELL), *([rest] if rest else [])]

    def _variables(self) -> dict[str, str]:
        parts = (entry.partition("=") for entry in self._texts("Env"))
        return {name: value for name, _, value in parts}

    def _texts(self, key: str) -> list[str]:
        value = self.config.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Refused(f"{quote(key)} of the parent's config is not a list of strings")
        return list(value)

    def _object(self, key: str) -> dict[str, Any]:
        value = self.config.get(key) or {}
        if not isinstance(value, dict):
            raise Refused(f"{quote(key)} of the parent's config is not an object")
        return dict(value)


def _one(word: str, rest: str) -> str:
    if not rest:
        raise Refused(f"{word} requires exactly one argument")
    return rest


def _at_least_one(word: str, arguments: list[str]) -> list[str]:
    if not arguments:
        raise Refused(f"{word} requires at least one argument")
    return arguments


def _pairs(word: str, rest: str) -> list[tuple[str, str]]:
    """`k=v k2="v 2"`, or the old form `k the rest of the line`; nothing is expanded yet."""
    words = _at_least_one(word, split(rest))
    if "=" not in words[0]:
        old = rest.split(None, 1)
        if len(old) < 2:
            raise Refused(f"{word} must have two arguments")
        return [(old[0], old[1])]
    pairs = []
    for text in words:
        key, equals, value = text.partition("=")
        if not equals:
            raise Refused(
                f"Syntax error - can't find = in {quote(text)}. Must be of the form: name=value"
            )
        if not key:
            raise Refused(f"{word} names can not be blank")
        pairs.append((key, value))
    return pairs


def _json_words(rest: str) -> list[str] | None:
    """The strings of a JSON list, whatever follows it; None for all that is not one."""
    if not rest.startswith("["):
        return None
    try:
        words, _ = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(word, str) for word in words):
        raise Refused("when using JSON array syntax, arrays must be comprised of strings only")
    return list(words)


def _ports(word: str) -> list[str]:
    """`80`, `80/udp`, `8000-8010`, each with its protocol; what a host part says is no matter."""
    span, _, protocol = word.partition("/")
    protocol = protocol.lower() or "tcp"
    span = span.rpartition(":")[2]
    if not span:
        raise Refused(f"No port specified: {_shown(word)}<empty>")
    low, dash, high = span.partition("-")
    ends = (low, high) if dash else (low, low)
    if not all(end.isascii() and end.isdigit() and int(end[:6]) <= _MAX_PORT for end in ends):
        raise Refused(f"Invalid containerPort: {_shown(span)}")
    first, last = map(int, ends)
    if first > last:
        raise Refused(f"Invalid containerPort: {_shown(span)}")
    if protocol not in _PROTOCOLS:
        raise Refused(f"Invalid proto: {_shown(protocol)}")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


_HANDLERS: dict[str, Callable[[_Changes, str], None]] = {
    "cmd": _Changes.cmd,
    "entrypoint": _Changes.entrypoint,
    "env": _Changes.env,
    "expose": _Changes.expose,
    "healthcheck": _Changes.healthcheck,
    "label": _Changes.label,
    "onbuild": _Changes.onbuild,
    "user": _Changes.user,
    "volume": _Changes.volume,
    "workdir": _Changes.workdir,
}
