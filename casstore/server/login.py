"""Logins: HTTP Basic against an htpasswd file with bcrypt hashes.

Only bcrypt: the other kinds that htpasswd writes are broken or fast to guess. A hash costs a
processor some 50 ms on purpose, and a pull makes tens of requests, so a login that was verified
counts for a minute; what is remembered of it is a keyed digest, with a key that this process made.
A changed file counts from the next request on.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import threading
import time
from typing import TYPE_CHECKING

from casstore.errors import StorageError, Unsupported, UsageError, quote

if TYPE_CHECKING:
    from collections.abc import Callable

CHALLENGE = 'Basic realm="casstore", charset="UTF-8"'
REMEMBERED = 60.0  # seconds
_MOST_REMEMBERED = 1024
MAX_FILE = 1 << 20
_MAX_PASSWORD = 72  # bytes; bcrypt takes no more
_PREFIXES = ("$2y$", "$2b$", "$2a$")
_AT_ONCE = 2  # hashes: guessing must not take every processor
# Of no password that anybody knows: what an unknown user is held against, which takes as long.
_NOBODY = b"$2b$10$abcdefghijklmnopqrstuuTULyFJFjvPhNKDWPXaGn9wqZTqRPCVi"


class Logins:
    """The users of an htpasswd file."""

    def __init__(self, path: str) -> None:
        """Read the file. Raises UsageError, StorageError, Unsupported."""
        self._check = _bcrypt()
        self._path = path
        self._key = os.urandom(32)
        self._remembered: dict[bytes, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._hashing = threading.BoundedSemaphore(_AT_ONCE)
        self._users, self._seen = self._read()

    def user_of(self, authorization: str) -> str | None:
        """Who a request's Authorization field says it is; None if that is not so."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "basic" or not value:
            return None
        self._refresh()
        mark = hmac.digest(self._key, value.encode(), "sha256")
        now = time.monotonic()
        with self._lock:
            user, until = self._remembered.get(mark, ("", 0.0))
        if until > now:
            return user
        try:
            pair = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            return None
        user, colon, password = pair.partition(":")
        known = self._users.get(user)
        secret = password.encode()
        with self._hashing:
            right = self._check(secret[:_MAX_PASSWORD], known or _NOBODY)
        if not colon or not right or known is None or len(secret) > _MAX_PASSWORD:
            return None
        with self._lock:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[mark] = user, now + REMEMBERED
        return user

    def _refresh(self) -> None:
        """Read the file again if it has changed; what cannot be read leaves all as it was."""
        try:
            if _state(self._path) == self._seen:
                return
            users, seen = self._read()
        except (OSError, UsageError, StorageError):
            return
        with self._lock:
            self._users, self._seen = users, seen
            self._remembered.clear()

    def _read(self) -> tuple[dict[str, bytes], tuple[int, int, int]]:
        try:
            seen = _state(self._path)
            with open(self._path, "rb") as file:
                data = file.read(MAX_FILE + 1)
        except OSError as error:
            raise StorageError(f"cannot read {quote(self._path)}: {error.strerror}") from None
        if len(data) > MAX_FILE:
            raise UsageError(f"{quote(self._path)} is larger than {MAX_FILE} bytes")
        users: dict[str, bytes] = {}
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            user, colon, hashed = text.partition(":")
            if not user or not colon or not hashed.startswith(_PREFIXES) or len(hashed) != 60:
                raise UsageError(
                    f"line {number} of {quote(self._path)} is not a user with a bcrypt hash, as"
                    " `htpasswd -B` writes it"
                )
            users[user] = hashed.encode()
        if not users:
            raise UsageError(f"{quote(self._path)} has no users")
        return users, seen


def _state(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _bcrypt() -> Callable[[bytes, bytes], bool]:
    try:
        from bcrypt import checkpw
    except ImportError:
        raise Unsupported(
            "--htpasswd needs the package bcrypt, which is not installed: pip install"
            " 'casstore[server]'"
        ) from None

    def right(password: bytes, hashed: bytes) -> bool:
        try:
            return checkpw(password, hashed)  # compares in constant time
        except ValueError:  # a NUL in the password, a hash that is none
            return False

    return right
