"""The types behind `docker image inspect`: which fields there are, in what order, of what kind.

A document in Docker's shape is made with them (queries/inspection.py), and a template sees with
them what JSON has lost: that a field which is absent has a zero value, that a number is a length of
time. Source: Docker 20.10's types.ImageInspect and container.Config, and what Docker 28 has beside.
"""

from __future__ import annotations

from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STRING, INT, BOOL, DURATION, TIME, LIST, MAP, STRUCT, POINTER = (
    *("string", "int", "bool", "duration", "time", "list", "map", "struct", "pointer"),
)
NO_TIME = "0001-01-01T00:00:00Z"
_ZEROS: dict[str, Any] = {STRING: "", INT: 0, BOOL: False, DURATION: 0, TIME: NO_TIME}


class Field(Value):
    """A field of a record."""

    name: str
    kind: str
    omitted: bool = False  # JSON leaves it out where it is empty
    fields: tuple[Field, ...] = ()  # of a STRUCT, or of what a POINTER points to


# Fields are made for every inspect: not by names, which takes five times as long.


def _field(name: str, kind: str, fields: tuple[Field, ...] = ()) -> Field:
    return Field._make((name, kind, False, fields))


def _optional(name: str, kind: str, fields: tuple[Field, ...] = ()) -> Field:
    """A field that JSON leaves out where it is empty."""
    return Field._make((name, kind, True, fields))


HEALTHCHECK = (
    _optional("Test", LIST),
    _optional("Interval", DURATION),
    _optional("Timeout", DURATION),
    _optional("StartPeriod", DURATION),
    _optional("StartInterval", DURATION),
    _optional("Retries", INT),
)
CONTAINER_CONFIG = (
    _field("Hostname", STRING),
    _field("Domainname", STRING),
    _field("User", STRING),
    _field("AttachStdin", BOOL),
    _field("AttachStdout", BOOL),
    _field("AttachStderr", BOOL),
    _optional("ExposedPorts", MAP),
    _field("Tty", BOOL),
    _field("OpenStdin", BOOL),
    _field("StdinOnce", BOOL),
    _field("Env", LIST),
    _field("Cmd", LIST),
    _optional("Healthcheck", POINTER, HEALTHCHECK),
    _optional("ArgsEscaped", BOOL),
    _field("Image", STRING),
    _field("Volumes", MAP),
    _field("WorkingDir", STRING),
    _field("Entrypoint", LIST),
    _optional("NetworkDisabled", BOOL),
    _optional("MacAddress", STRING),
    _field("OnBuild", LIST),
    _field("Labels", MAP),
    _optional("StopSignal", STRING),
    _optional("StopTimeout", POINTER),
    _optional("Shell", LIST),
)
IMAGE = (
    _field("Id", STRING),
    _field("RepoTags", LIST),
    _field("RepoDigests", LIST),
    _field("Parent", STRING),
    _field("Comment", STRING),
    _field("Created", STRING),
    _field("Container", STRING),
    _field("ContainerConfig", STRUCT, CONTAINER_CONFIG),
    _field("DockerVersion", STRING),
    _field("Author", STRING),
    _field("Config", STRUCT, CONTAINER_CONFIG),
    _field("Architecture", STRING),
    _optional("Variant", STRING),
    _field("Os", STRING),
    _optional("OsVersion", STRING),
    _field("Size", INT),
    _field("VirtualSize", INT),
    _field("GraphDriver", STRUCT, (_field("Data", MAP), _field("Name", STRING))),
    _field(
        "RootFS",
        STRUCT,
        (
            _field("Type", STRING),
            _optional("Layers", LIST),
            _optional("BaseLayer", STRING),
        ),
    ),
    _field("Metadata", STRUCT, (_field("LastTagTime", TIME),)),
    _optional("Descriptor", POINTER),
    _optional("Manifests", LIST),
)


def shaped(fields: tuple[Field, ...], given: object) -> dict[str, Any]:
    """`given` as Docker prints a record of that type, and behind it what the type does not know.

    Keys count in any case where the exact one is absent, as Go reads them.
    """
    left: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
    shape: dict[str, Any] = {}
    for field in fields:
        value = left.pop(field.name, None)
        if value is None and left:
            value = _in_another_case(left, field.name)
        if field.kind == STRUCT or (field.fields and isinstance(value, dict)):
            value = shaped(field.fields, value)
        elif not value and field.omitted:
            continue
        elif field.kind == MAP and isinstance(value, dict):
            value = dict(sorted(value.items()))  # as Go prints a map
        shape[field.name] = _ZEROS.get(field.kind) if value is None else value
    return shape | left


def _in_another_case(left: dict[str, Any], name: str) -> Any:
    wanted = name.casefold()
    found = [key for key in left if key.casefold() == wanted]
    values = [left.pop(key) for key in found]
    return values[-1] if values else None
