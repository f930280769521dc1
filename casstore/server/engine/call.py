"""One call of the Engine API: its arguments, read as dockerd reads them.

A flag is false where it is empty, `0`, `no`, `false` or `none`, in any case, and true otherwise.
Filters come in two shapes, `{"dangling":{"true":true}}` from the docker CLI and
`{"dangling":["true"]}` from docker-py. A platform is JSON, save where images are created.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from casstore.errors import UsageError, quote
from casstore.model.platform import Platform, normal, parse_platform, shown
from casstore.registry.credentials import Login
from casstore.server.message import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from casstore.server.engine.options import EngineOptions
    from casstore.server.message import Request
    from casstore.store import Store

MAX_JSON = 1 << 20  # of a body or a header; what docker's clients send takes some kilobytes
_FALSE = frozenset(("", "0", "no", "false", "none"))  # Docker's httputils.BoolValue
_BOOLEANS = {"true": "true", "1": "true", "false": "false", "0": "false"}
_UNKNOWN_USER = "<token>"  # what docker login calls the user of an identity token
# Architectures that may stand without a system before them (containerd's platforms.isKnownArch).
_ARCHITECTURES = frozenset(
    (
        *("386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64"),
        *("mips", "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le"),
        *("ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x"),
        *("sparc", "sparc64", "wasm"),
    )
)


@dataclass(slots=True)
class Call:
    """A request to one route, in one version of the API."""

    request: Request
    store: Store
    options: EngineOptions
    version: tuple[int, int]
    parts: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the path names."""
        return self.parts["name"]

    def before(self, minor: int) -> bool:
        """Whether the client speaks an API older than 1.`minor`."""
        return self.version < (1, minor)

    def argument(self, name: str) -> str:
        """An argument of the query; empty where it is not there."""
        return self.request.argument(name)

    def flag(self, name: str) -> bool:
        """An argument that is true or false."""
        return self.argument(name).strip().lower() not in _FALSE

    def filters(self) -> list[tuple[str, str]]:
        """The argument `filters`: a name and a value each. Raises UsageError."""
        text = self.argument("filters")
        if not text.strip():
            return []
        given = _json_object(text, "filters")
        found: list[tuple[str, str]] = []
        for name, values in given.items():
            if isinstance(values, dict):  # {"dangling": {"true": true}}
                chosen = [value for value, counts in values.items() if counts is True]
            elif isinstance(values, list):
                chosen = [value for value in values if isinstance(value, str)]
                if len(chosen) < len(values):
                    raise UsageError(f"invalid filter {quote(name)}")
            else:
                raise UsageError(f"invalid filter {quote(name)}")
            found += [(name, value) for value in chosen]
        return found

    def image_filters(self) -> list[str]:
        """The filters in the words of `Store.images`: `name=value`, booleans written out."""
        return [
            f"{name}={_BOOLEANS.get(value.lower(), value) if name == 'dangling' else value}"
            for name, value in self.filters()
        ]

    def platform(self) -> str | None:
        """The argument `platform`, a JSON object, as `os/architecture[/variant]`."""
        texts = [text for text in self.request.query.get("platform", ()) if text.strip()]
        if len(texts) > 1:
            raise UsageError("only one platform can be chosen")
        return _platform_of(texts[0]) if texts else None

    def plain_platform(self) -> str | None:
        """The argument `platform` where it is `os/architecture[/variant]`, as of a pull."""
        text = self.argument("platform").strip()
        if not text:
            return None
        alone = "" if "/" in text else normal(Platform("linux", text, "")).architecture
        if alone and alone not in _ARCHITECTURES:
            raise UsageError(
                f"invalid platform {quote(text)}: unknown operating system or architecture"
            )
        return shown(parse_platform(text))

    def document(self) -> dict[str, Any]:
        """The body, a JSON object; an empty one where there is no body. Raises UsageError."""
        data = self.request.body.read(MAX_JSON + 1)
        pieces = [data]
        while data and sum(map(len, pieces)) <= MAX_JSON:
            data = self.request.body.read(MAX_JSON + 1)
            pieces.append(data)
        whole = b"".join(pieces)
        if len(whole) > MAX_JSON:
            raise UsageError(f"the body exceeds the limit of {MAX_JSON} bytes")
        if not whole.strip():
            return {}
        return _json_object(whole, "the body")

    def login(self) -> Login | None:
        """The login in X-Registry-Auth; None for none. Raises UsageError."""
        packed = self.request.headers.get("X-Registry-Auth").strip()
        if not packed:
            return None
        return login_in(_unpacked(packed))


def login_in(given: Mapping[str, Any]) -> Login | None:
    """The login in an object of docker's clients; None where it has none."""
    user, password, token = (
        value if isinstance(value := given.get(key), str) else ""
        for key in ("username", "password", "identitytoken")
    )
    packed = given.get("auth")
    if not user and isinstance(packed, str) and packed:
        try:
            plain = base64.b64decode(packed, validate=True).decode(errors="surrogateescape")
        except (binascii.Error, ValueError):
            raise UsageError("the login in X-Registry-Auth is damaged") from None
        user, _, password = plain.partition(":")
    if token:
        return Login("" if user == _UNKNOWN_USER else user, "", token)
    return Login(user, password) if user else None


def json_answer(status: int, document: Any) -> Response:
    """A whole answer in JSON, with the line break that dockerd writes behind it."""
    answer = Response.of_json(status, document)
    assert isinstance(answer.body, bytes)
    answer.body += b"\n"
    return answer


def _unpacked(packed: str) -> dict[str, Any]:
    """A JSON object in base64, of either alphabet, padded or not."""
    plain = packed.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("the login in X-Registry-Auth is not base64") from None
    return _json_object(data, "the login in X-Registry-Auth")


def _json_object(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if len(text) <= MAX_JSON else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(f"{what} is not a JSON object")
    return value


def _platform_of(text: str) -> str:
    given = _json_object(text, "the platform")
    parts = [given.get(key) for key in ("os", "architecture", "variant")]
    system, architecture, variant = (part if isinstance(part, str) else "" for part in parts)
    if not system or not architecture:
        raise UsageError("both os and architecture of a platform must be provided")
    return "/".join(filter(None, (system, architecture, variant)))
