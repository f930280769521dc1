"""Configs of docker 1.10 and later made from the image JSON of before, as Go's encoder has them.

What comes out is hashed into an image ID, so every byte is dockerd's: the order of the fields of
its structures, which of them vanish when empty, what becomes null, how strings are escaped, how
times are cut. Source: moby 20.10, image/v1/imagev1.go, api/types/container/config.go, and Go's
encoding/json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from casstore.errors import quote
from casstore.model import document
from casstore.model.document import Fields
from casstore.model.rfc3339 import go_time
from casstore.model.shape import anything

if TYPE_CHECKING:
    from casstore.model.digest import Digest

_LONG = {"\b": "\\u0008", "\f": "\\u000c"}

ZERO_TIME = "0001-01-01T00:00:00Z"

# From this version on the JSON is kept as it stands; older ones go through the structures.
_KEPT_SINCE = "1.8.3"
_DROPPED = ("id", "parent", "Size", "parent_id", "layer_id", "throwaway")

# Kinds of field: what an absent one is written as, in the order of the structure.
_TEXT, _BOOL, _INT, _TEXTS, _COMMAND, _SET, _LABELS, _HEALTH = range(8)
_ABSENT = {_TEXT: '""', _BOOL: "false", _INT: "0"}
_CONTAINER = (  # name, kind, whether it vanishes when empty
    ("Hostname", _TEXT, False),
    ("Domainname", _TEXT, False),
    ("User", _TEXT, False),
    ("AttachStdin", _BOOL, False),
    ("AttachStdout", _BOOL, False),
    ("AttachStderr", _BOOL, False),
    ("ExposedPorts", _SET, True),
    ("Tty", _BOOL, False),
    ("OpenStdin", _BOOL, False),
    ("StdinOnce", _BOOL, False),
    ("Env", _TEXTS, False),
    ("Cmd", _COMMAND, False),
    ("Healthcheck", _HEALTH, True),
    ("ArgsEscaped", _BOOL, True),
    ("Image", _TEXT, False),
    ("Volumes", _SET, False),
    ("WorkingDir", _TEXT, False),
    ("Entrypoint", _COMMAND, False),
    ("NetworkDisabled", _BOOL, True),
    ("MacAddress", _TEXT, True),
    ("OnBuild", _TEXTS, False),
    ("Labels", _LABELS, False),
    ("StopSignal", _TEXT, True),
    ("StopTimeout", _INT, True),
    ("Shell", _COMMAND, True),
)
_HEALTHCHECK = (
    ("Test", _TEXTS, True),
    ("Interval", _INT, True),
    ("Timeout", _INT, True),
    ("StartPeriod", _INT, True),
    ("Retries", _INT, True),
)
_TOP_TEXTS = ("comment", "container", "docker_version", "author", "architecture", "variant", "os")


def old_fields(data: bytes, name: str) -> Fields:
    """The fields of an old image JSON, by their names in lower case."""
    return _folded(document.read(data, name, anything), name)


def history_entry(data: bytes, name: str) -> str:
    """The step of the history, as JSON, that an old image JSON stands for."""
    fields = old_fields(data, name)
    container = _folded(fields.mapping("container_config"), name)
    created_by = " ".join(_command(container, "cmd") or ())
    parts = [f'"created":{go_string(_created(fields))}']
    for key, text in (
        ("author", fields.text("author")),
        ("created_by", created_by),
        ("comment", fields.text("comment")),
    ):
        if text:
            parts.append(f'"{key}":{go_string(text)}')
    return "{" + ",".join(parts) + "}"


def make_config(
    data: bytes, name: str, diff_ids: Sequence[Digest], history: Sequence[str]
) -> bytes:
    """The config that dockerd makes of an old image JSON.

    Args:
        data: the old JSON.
        name: what messages call it.
        diff_ids: of the image's layers, bottom first.
        history: the steps, oldest first, from `history_entry`.
    """
    fields = old_fields(data, name)
    if _is_older(fields.text("docker_version"), _KEPT_SINCE):
        config = _through_structures(fields, name)
    else:
        config = raw_members(data.decode("utf-8", "surrogateescape"))
    for key in _DROPPED:
        config.pop(key, None)
    ids = f',"diff_ids":{_texts(list(diff_ids))}' if diff_ids else ""
    config["rootfs"] = f'{{"type":"layers"{ids}}}'
    config["history"] = "[" + ",".join(history) + "]"
    return _object(sorted(config.items(), key=lambda item: item[0].encode())).encode(
        "utf-8", "surrogateescape"
    )


def go_string(text: str) -> str:
    """`text` as Go's encoder writes it: HTML escapes, few short ones."""
    # json.dumps has short forms of two more; they are looked for one by one, because a
    # backslash in the text is written as two.
    if "\b" in text or "\f" in text:
        return '"' + "".join(_LONG.get(each) or go_string(each)[1:-1] for each in text) + '"'
    return _escape_html(json.dumps(text, ensure_ascii=False))


def raw_members(text: str) -> dict[str, str]:
    """The members of a JSON object, each value's text compacted and escaped, otherwise as it is.

    `text` is known to be one valid JSON object.
    """
    decoder = json.JSONDecoder()
    members: dict[str, str] = {}
    position = _blank(text, text.index("{") + 1)
    while text[position] != "}":
        key, position = decoder.raw_decode(text, position)
        key = document.without_surrogates(key)
        start = _blank(text, _blank(text, position) + 1)  # behind the colon
        _, end = decoder.raw_decode(text, start)
        members[key] = _compact(text[start:end])
        position = _blank(text, end)
        if text[position] == ",":
            position = _blank(text, position + 1)
    return members


def _compact(text: str) -> str:
    """Without blanks between tokens; strings as they are, but for what HTML would mind."""
    out: list[str] = []
    # Quotes cut the text into outside and inside; an escaped quote is found from inside.
    position = 0
    while True:
        quote_at = text.find('"', position)
        outside = text[position:] if quote_at < 0 else text[position:quote_at]
        out.append("".join(outside.split()))
        if quote_at < 0:
            return "".join(out)
        end = quote_at + 1
        while text[end] != '"':
            end += 2 if text[end] == "\\" else 1
        out.append(_escape_html(text[quote_at : end + 1]))
        position = end + 1


def _escape_html(text: str) -> str:
    for character in "<>&\u2028\u2029":
        if character in text:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _through_structures(fields: Fields, name: str) -> dict[str, str]:
    config: dict[str, str] = {}
    for key in _TOP_TEXTS:
        if text := fields.text(key):
            config[key] = go_string(text)
    config["created"] = go_string(_created(fields))
    container = _folded(fields.mapping("container_config"), f"container_config of {name}")
    config["container_config"] = _structure(container, _CONTAINER)
    if "config" in fields:
        inner = _folded(fields.mapping("config"), f"config of {name}")
        config["config"] = _structure(inner, _CONTAINER)
    return config


def _structure(fields: Fields, layout: Sequence[tuple[str, int, bool]]) -> str:
    members = []
    for name, kind, vanishes in layout:
        text, is_empty = _field(fields, name.lower(), kind)
        if not (vanishes and is_empty):
            members.append((name, text))
    return _object(members)


def _field(fields: Fields, key: str, kind: int) -> tuple[str, bool]:
    """A field's JSON, and whether Go takes it for empty."""
    if key not in fields:
        return _ABSENT.get(kind, "null"), True
    if kind == _TEXT:
        text = fields.text(key)
        return go_string(text), not text
    if kind == _BOOL:
        flag = fields.flag(key)
        return str(flag).lower(), not flag
    if kind == _INT:
        number = fields.values[key]
        if not isinstance(number, int) or isinstance(number, bool):
            raise fields.wrong(key, "is not an integer")
        # a pointer to 0 (StopTimeout) is not empty, a duration of 0 is
        return str(number), number == 0 and key != "stoptimeout"
    if kind in (_TEXTS, _COMMAND):
        texts = (_command(fields, key) or []) if kind == _COMMAND else fields.texts(key)
        return _texts(texts), not texts
    if kind == _HEALTH:
        return _structure(_folded(fields.mapping(key), quote(key)), _HEALTHCHECK), False
    if kind == _SET:
        keys = sorted(fields.mapping(key), key=str.encode)
        return _object([(each, "{}") for each in keys]), not keys
    labels = sorted(fields.text_mapping(key).items(), key=lambda item: item[0].encode())
    return _object([(label, go_string(text)) for label, text in labels]), not labels


def _command(fields: Fields, key: str) -> list[str] | None:
    """A list of words, or one string, as old clients wrote it."""
    if key not in fields:
        return None
    if isinstance(fields.values[key], str):
        return [fields.text(key)]
    return fields.texts(key)


def _created(fields: Fields) -> str:
    text = fields.text("created")
    if not text:
        return ZERO_TIME
    try:
        return go_time(text)
    except ValueError:
        raise fields.wrong("created", "is not a time") from None


def _folded(value: Any, name: str) -> Fields:
    """Fields by lower-case name: Go's decoder does not mind the case; the last one counts."""
    given = Fields(value, name)
    return Fields({key.lower(): item for key, item in given.values.items()}, name)


def _is_older(version: str, than: str) -> bool:
    """As in moby's api/types/versions: numbers between dots, 0 for what is no number."""
    ours = [_whole(part) for part in version.split(".")]
    theirs = [_whole(part) for part in than.split(".")]
    width = max(len(ours), len(theirs))
    return ours + [0] * (width - len(ours)) < theirs + [0] * (width - len(theirs))


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        return 0
    return int(text)


def _texts(texts: Sequence[str]) -> str:
    return "[" + ",".join(map(go_string, texts)) + "]"


def _object(members: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{go_string(key)}:{value}" for key, value in members) + "}"


def _blank(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\n", "\r"):
        position += 1
    return position
