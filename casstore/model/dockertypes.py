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


HEALTHCHECK = (
    Field("Test", LIST, omitted=True),
    Field("Interval", DURATION, omitted=True),
    Field("Timeout", DURATION, omitted=True),
    Field("StartPeriod", DURATION, omitted=True),
    Field("StartInterval", DURATION, omitted=True),
    Field("Retries", INT, omitted=True),
)
CONTAINER_CONFIG = (
    Field("Hostname", STRING),
    Field("Domainname", STRING),
    Field("User", STRING),
    Field("AttachStdin", BOOL),
    Field("AttachStdout", BOOL),
    Field("AttachStderr", BOOL),
    Field("ExposedPorts", MAP, omitted=True),
    Field("Tty", BOOL),
    Field("OpenStdin", BOOL),
    Field("StdinOnce", BOOL),
    Field("Env", LIST),
    Field("Cmd", LIST),
    Field("Healthcheck", POINTER, omitted=True, fields=HEALTHCHECK),
    Field("ArgsEscaped", BOOL, omitted=True),
    Field("Image", STRING),
    Field("Volumes", MAP),
    Field("WorkingDir", STRING),
    Field("Entrypoint", LIST),
    Field("NetworkDisabled", BOOL, omitted=True),
    Field("MacAddress", STRING, omitted=True),
    Field("OnBuild", LIST),
    Field("Labels", MAP),
    Field("StopSignal", STRING, omitted=True),
    Field("StopTimeout", POINTER, omitted=True),
    Field("Shell", LIST, omitted=True),
)
IMAGE = (
    Field("Id", STRING),
    Field("RepoTags", LIST),
    Field("RepoDigests", LIST),
    Field("Parent", STRING),
    Field("Comment", STRING),
    Field("Created", STRING),
    Field("Container", STRING),
    Field("ContainerConfig", STRUCT, fields=CONTAINER_CONFIG),
    Field("DockerVersion", STRING),
    Field("Author", STRING),
    Field("Config", STRUCT, fields=CONTAINER_CONFIG),
    Field("Architecture", STRING),
    Field("Variant", STRING, omitted=True),
    Field("Os", STRING),
    Field("OsVersion", STRING, omitted=True),
    Field("Size", INT),
    Field("VirtualSize", INT),
    Field("GraphDriver", STRUCT, fields=(Field("Data", MAP), Field("Name", STRING))),
    Field(
        "RootFS",
        STRUCT,
        fields=(
            Field("Type", STRING),
            Field("Layers", LIST, omitted=True),
            Field("BaseLayer", STRING, omitted=True),
        ),
    ),
    Field("Metadata", STRUCT, fields=(Field("LastTagTime", TIME),)),
    Field("Descriptor", POINTER, omitted=True),
    Field("Manifests", LIST, omitted=True),
)


def shaped(fields: tuple[Field, ...], given: object) -> dict[str, Any]:
    """`given` as Docker prints a record of that type, and behind it what the type does not know.

    Keys count in any case where the exact one is absent, as Go reads them.
    """
    left: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
    shape: dict[str, Any] = {}
    for field in fields:
        value = left.pop(field.name, None)
        if value is None:
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
