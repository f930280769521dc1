"""Digests, names, places, errors and all else that is public; nothing here is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import assert_type

from casstore import (
    Access,
    BadPolicy,
    BrokenConnection,
    CasstoreError,
    Conflict,
    Digest,
    Goal,
    Key,
    Place,
    ProgressCallback,
    ProgressUpdate,
    Reference,
    Rule,
    Several,
    Space,
    Stop,
    StorageError,
    StrPath,
    Tell,
    Transport,
    parse_place,
    parse_policy,
)
from casstore.model.storage import Disk
from casstore.registry.answer import Answer
from casstore.registry.connection import Body
from casstore.registry.endpoint import Certificates
from tests.typing.verbs import returned


def of_a_digest(digest: Digest) -> None:
    assert_type(Digest.parse("sha256:00"), Digest)
    assert_type(Digest.of_hex("00"), Digest)
    assert_type(Digest.of_bytes(b""), Digest)
    assert_type(digest.hex, str)
    assert_type(digest.short, str)
    assert_type(digest.raw, bytes)


def of_a_reference(reference: Reference) -> None:
    assert_type(reference.repository, str)
    assert_type(reference.tag, str | None)
    assert_type(reference.digest, Digest | None)
    assert_type(reference.familiar, str)


def of_a_place(place: Place) -> None:
    assert_type(parse_place("oci:layout:a"), Place)
    assert_type(place.is_layout, bool)
    assert_type(place.transport, str)
    assert_type(place.path, StrPath)
    assert_type(place.reference, str)
    assert_type(place.where, str)


def of_access(access: Access) -> None:
    assert_type(Access.from_environment({"A": "b"}, plain_http=True, agent="mine"), Access)
    assert_type(access.plain_http, bool)
    assert_type(access.auth_files, tuple[StrPath, ...])
    assert_type(access.auth_target, StrPath)
    assert_type(access.certificates, tuple[StrPath, ...])
    assert_type(access.http_proxy, str)
    assert_type(access.https_proxy, str)
    assert_type(access.no_proxy, str)
    assert_type(access.agent, str)
    assert_type(access.logins, tuple[str, ...])
    assert_type(access.registries, tuple[StrPath, ...])
    assert_type(access.registry_files, tuple[str, ...])
    assert_type(access.hosts, tuple[StrPath, ...])
    assert_type(access.host_folders, tuple[str, ...])


def of_a_transport(transport: Transport, body: Body, headers: Mapping[str, str]) -> None:
    assert_type(transport.access, Access)
    assert_type(transport.login, tuple[str, str, str] | None)
    assert_type(transport.mirror, str)
    assert_type(transport.certificates, dict[str, Certificates])
    assert_type(
        transport.request(
            "GET", "https://reg.example/v2/", headers=headers, body=body, authorization="Basic x",
            secret_body=True, own_headers={"X-Key": "x"}, attempts=1,
        ),
        Answer,
    )  # fmt: skip
    assert_type(transport.take_notices(), tuple[str, ...])
    assert_type(returned(transport.notice, "a line"), None)
    assert_type(returned(transport.pause, 1, 0.5), None)
    assert_type(returned(transport.abort), None)
    assert_type(returned(transport.rearm), None)
    assert_type(returned(transport.check), None)
    assert_type(returned(transport.close), None)


def of_a_stop(stop: Stop) -> None:
    assert_type(returned(stop.ask, 15), None)
    assert_type(stop.asked, bool)
    assert_type(stop.in_turn, bool)


def of_a_policy(text: str, rule: Rule, space: Space, disk: Disk) -> None:
    assert_type(parse_policy(text), tuple[Rule, ...])
    assert_type(parse_policy({"keep": 5}), tuple[Rule, ...])
    assert_type(rule.filters, tuple[str, ...])
    assert_type(rule.only, tuple[str, ...])
    assert_type(rule.protect, tuple[str, ...])
    assert_type(rule.until, str | None)
    assert_type(rule.unused_for, int | None)
    assert_type(rule.min_age, int)
    assert_type(rule.keep, int | None)
    assert_type(rule.max_used, Space | None)
    assert_type(rule.min_free, Space | None)
    assert_type(rule.reserved, Space | None)
    assert_type(rule.high, int | None)
    assert_type(rule.low, int | None)
    assert_type(rule.given, tuple[tuple[str, object], ...])
    assert_type(rule.settings(), dict[str, object])
    assert_type(rule.goals(5, disk), list[Goal])
    assert_type(rule.floor(disk), int)
    assert_type(space.bytes, int)
    assert_type(space.share, int | None)
    assert_type(space.of(5), int)


def of_errors(
    error: CasstoreError,
    conflict: Conflict,
    storage: StorageError,
    broken: BrokenConnection,
    bad: BadPolicy,
) -> None:
    assert_type(error.exit_code, int)
    assert_type(conflict.forceable, bool)
    assert_type(conflict.cause, str)
    assert_type(conflict.argument, str)
    assert_type(conflict.image, str)
    assert_type(conflict.lease, str)
    assert_type(storage.full, bool)
    assert_type(broken.wait, float | None)
    assert_type(bad.mistakes, tuple[str, ...])


def of_aliases(path: StrPath, key: Key, tell: Tell, names: Several[str]) -> None:
    assert_type(path, str | PathLike[str])
    assert_type(key, bytes | PathLike[str])
    assert_type(tell, Callable[[str, str], None])
    assert_type(list(names), list[str])
    forms: list[Several[str]] = [["a"], ("a",), {"a"}, frozenset("a"), {"a": 1}, iter(["a"])]
    paths: list[StrPath] = ["a", Path("a")]
    keys: list[Key] = [b"key", Path("key")]
    assert_type((forms, paths, keys), tuple[list[Several[str]], list[StrPath], list[Key]])


def of_progress(callback: ProgressCallback, update: ProgressUpdate) -> None:
    assert_type(returned(callback, update), None)
