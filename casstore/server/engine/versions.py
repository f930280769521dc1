"""Versions of the Engine API: which are spoken, and which one a path asks for."""

from __future__ import annotations

from casstore.errors import UsageError

OLDEST = (1, 24)  # what docker-py still speaks; dockerd 25 and later refuse it
LATEST = (1, 51)  # 1.52 has another shape for /system/df


def text_of(version: tuple[int, int]) -> str:
    """As it stands in a path, without the `v`."""
    return ".".join(map(str, version))


def versioned(path: str) -> tuple[tuple[int, int], str]:
    """The version that a path asks for, the latest where it names none, and the path without it.

    Raises:
        UsageError: it is too old or too new.
    """
    first, slash, rest = path[1:].partition("/")
    version = _version(first)
    if version is None or not slash:
        return LATEST, path
    if version < OLDEST:
        raise UsageError(
            f"client version {text_of(version)} is too old. Minimum supported API version is"
            f" {text_of(OLDEST)}, please upgrade your client to a newer version"
        )
    if version > LATEST:
        raise UsageError(
            f"client version {text_of(version)} is too new. Maximum supported API version is"
            f" {text_of(LATEST)}"
        )
    return version, "/" + rest


def _version(text: str) -> tuple[int, int] | None:
    major, dot, minor = text[1:].partition(".")
    if text[:1] != "v" or not dot or not _is_number(major) or not _is_number(minor):
        return None
    return int(major), int(minor)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4
