"""Every way to refuse or to fail, with its exit status.

    CasstoreError              1
    ├── UsageError             2   the command line is wrong
    │   ├── BadPolicy          2   a policy of gc has mistakes
    │   └── (WrongUsage)       2   with the command whose page helps
    ├── (BadSetting)           2   a setting of a policy, before it is told where
    ├── InvalidReference       1   a name that the grammar forbids
    ├── NotFound               1   no such image, lease, file ...
    ├── Conflict               1   forbidden by the rules, or allowed only by --force
    │   └── (LeasedMeanwhile)  1   the rules are asked again
    ├── PlanOutdated           1   a saved plan of gc that does not hold any more
    ├── (NoSuchRoute)          1   nothing is served under a path
    ├── (Forbidden)            1   a server that only reads would change something
    ├── (NoSwarm)              1   what only a manager of a swarm answers
    ├── (InUse)                1   a container's name that is taken; a container that cannot go
    ├── BadFilter              1   a filter that does not exist, or a value that it does not take
    ├── (TemplateError)        1   a Go template that does not parse, or fails
    ├── Refused                1   input that is wrong, hostile or past a limit
    │   ├── (BeyondLimit)      1   of what is compressed: past a limit of what may come out
    │   ├── (BrokenBody)       1   a request whose body does not arrive as it should
    │   ├── (BlobUnknown)      1   a pushed manifest that names what is not there
    │   ├── (BrokenLayer)      1   a stored layer that does not decompress to its end
    │   ├── (NoSuchMember)     1   an archive lacks a file
    │   ├── (NotTrusted)       1   a push that the trust policy does not let in
    │   └── (WrongOffset)      1   a piece of an upload that does not follow the one before
    ├── Unsupported            1   well formed, but nothing that casstore does
    ├── RegistryError          1   a registry that cannot be reached, refuses or breaks the protocol
    │   ├── Unauthorized       1   it wants a login, or another one
    │   ├── BrokenConnection   1   no answer, or not the whole of it
    │   │   └── (Unreachable)  1   nobody listens there, or there is no such host
    │   └── NoTls              1   no TLS, or not as it should be
    ├── StorageError           1   the operating system said no: full, read-only, I/O error
    │   └── (Unusable)         1   a table of contents that has to be made again
    ├── (ApiError)             1   of the server: told a client in the words of the API
    ├── (Gone)                 1   of the server: a client that has left
    ├── (TooSlow)              1   of the server: a client that keeps it waiting
    ├── NotAStore             10   nothing there, or made by a newer casstore
    ├── Locked                11   somebody is writing; trying again can work
    └── Damaged               12   bytes that are not their digest; a broken index

Those in parentheses are for the program itself: no method of `Store` raises one that is not also
of a kind without. All others are names of `casstore`, wherever they are defined.

What goes wrong after a change was made is no error. It is told as a warning, and logged by `warn`.

The text is what the user reads after `Error: `: it names the thing and has no full stop.
Input is quoted with `quote`, so that no message carries control characters or a megabyte of junk.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import ClassVar

QUOTE_LIMIT = 80
LOGGER = "casstore"


class CasstoreError(Exception):
    """Base of all errors that casstore raises on purpose; `str(error)` is one clear line."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[object, ...]:
        """Copies and pickles, as a worker of a pool hands an error back, keep every attribute.

        Exception calls the class again with `args`: the finished message, which is seldom what
        its __init__ takes. Where that fails, the pool waits for ever.
        """
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[CasstoreError], args: tuple[object, ...]) -> CasstoreError:
    return kind.__new__(kind, *args)  # which sets `args`, and makes nothing of them


class UsageError(CasstoreError):
    """The command line, or a call, is not of the documented form."""

    exit_code = 2


class InvalidReference(CasstoreError):
    """A name that breaks the reference grammar (distribution project, `reference` package)."""


class NotFound(CasstoreError):
    """What was asked for is not in the store."""


class Conflict(CasstoreError):
    """A removal that the rules forbid; `forceable` says whether --force would allow it."""

    def __init__(
        self,
        message: str,
        *,
        forceable: bool,
        cause: str = "",
        argument: str = "",
        image: str = "",
        lease: str = "",
    ) -> None:
        """Say what forbids it; what is beside the message is for who says it in other words.

        Args:
            cause: `children`, `names`, `pin`, `lease`, or `last name` of a lease or pin that keeps
                the last name; empty where no rule of `rmi` is the cause.
            argument: as the image was named.
            image: its ID.
            lease: the name of the lease.
        """
        super().__init__(f"Conflict, {message}")
        self.forceable = forceable
        self.cause, self.argument, self.image, self.lease = cause, argument, image, lease


class Refused(CasstoreError):
    """Input (an archive, a layout, a document) that is wrong, hostile or beyond a limit."""


class WrongOffset(Refused):
    """A piece that does not begin where the upload ends."""

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(f"the upload has {size} bytes, and cannot go on at {offset}")
        self.size = size


class Unsupported(CasstoreError):
    """Well-formed input of a kind that casstore does not handle."""


class RegistryError(CasstoreError):
    """A registry that cannot be reached, refuses, or does not keep to the protocol."""


class StorageError(CasstoreError):
    """The operating system refused a read or a write: disk full, read-only, I/O error."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        """`full`: there is no space, or no more than a quota allows."""
        super().__init__(message)
        self.full = full


class NotAStore(CasstoreError):
    """There is no store at the path, or a newer casstore wrote it."""

    exit_code = 10


class Locked(CasstoreError):
    """The store stayed locked by another process for the whole time allowed."""

    exit_code = 11


class Damaged(CasstoreError):
    """Stored bytes are missing or are not what their digest says."""

    exit_code = 12


def warn(texts: Iterable[str]) -> None:
    """Log warnings, each once: of what a method did not finish, or what its caller should know.

    Where nobody has imported `logging`, nobody can have asked for a log. Nothing is imported here:
    that costs a command time, and could fail after a commit, when nothing may. As the logger has a
    handler that does nothing, Python does not print what nobody has asked for.
    """
    logging = sys.modules.get("logging")
    if logging is None:
        return
    for text in texts:
        logger = logging.getLogger(LOGGER)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
        logger.warning("%s", printable(text))


def quote(text: object, limit: int = QUOTE_LIMIT) -> str:
    """`text` for a message: escaped as in a JSON string, in double quotes, cut to `limit`."""
    try:
        plain = str(text)
    except ValueError:  # an integer of more digits than Python writes
        plain = "a number of thousands of digits"
    cut = plain if len(plain) <= limit else plain[: limit - 1] + "…"
    return '"' + printable(cut).replace('"', '\\"') + '"'


def printable(text: str) -> str:
    """`text` with every control or unprintable character escaped, safe for a terminal."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )
