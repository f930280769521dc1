"""Files of images as listings, templates and JSON show them."""

from __future__ import annotations

import time

from casstore.cli.jsontext import Struct
from casstore.cli.render import SECOND
from casstore.model.fileentry import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    OPAQUE,
    SYMLINK,
    WHITEOUT,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from casstore.results.files import ImageFile

HEADERS = {
    "Device": "DEVICE",
    "GID": "GID",
    "Layer": "LAYER",
    "ModTime": "MODIFIED",
    "Mode": "MODE",
    "Path": "PATH",
    "RawPath": "RAW PATH",
    "RawTarget": "RAW TARGET",
    "SHA256": "SHA256",
    "Size": "SIZE",
    "Target": "TARGET",
    "Type": "TYPE",
    "UID": "UID",
    "Xattrs": "XATTRS",
}
_LETTERS = {
    FILE: "-", DIRECTORY: "d", SYMLINK: "l", CHARACTER_DEVICE: "c", BLOCK_DEVICE: "b", FIFO: "p",
    HARD_LINK: "h", WHITEOUT: "w", OPAQUE: "o",
}  # fmt: skip
_ESCAPES = {b"\n": r"\n", b"\t": r"\t", b"\r": r"\r", b"\\": r"\\"}


class FileRow(Struct):
    """One file; a field is worked out when it is asked for."""

    def __init__(self, file: ImageFile) -> None:
        super().__init__()
        self._file = file

    def field(self, name: str) -> object:
        """One field. KeyError if there is no such field."""
        return _FIELDS[name](self._file)

    def complete(self) -> dict[str, object]:
        """All fields."""
        return {name: self.field(name) for name in HEADERS}

    def document(self) -> dict[str, object]:
        """The fields that say something."""
        return {name: value for name, value in self.complete().items() if value not in ("", {})}


def shown_path(name: bytes) -> str:
    r"""A path for people and for lines: `\n`, `\\` and `\xff` for what would not be one line."""
    return "/" + shown_name(name)


def shown_name(name: bytes) -> str:
    """The same without the slash: of a name in a directory, or of a link's target."""
    text = name.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escaped(character) for character in text)


def long_line(file: ImageFile, path: str) -> str:
    """As `ls -ln` has it: type and mode, owner, size or device number, time (UTC), path, target."""
    size = "{},{}".format(*file.device) if file.device is not None else str(file.size)
    line = (
        f"{_LETTERS[file.kind]}{_permissions(file.mode)} {file.uid:>5} {file.gid:>5}"
        f" {size:>10} {_minute(file.mtime)} {path}"
    )
    if file.target is None:
        return line
    before = "/" if file.kind == HARD_LINK else ""
    return f"{line} -> {before}{shown_name(file.raw_target)}"


def _permissions(mode: int) -> str:
    letters = []
    for shift, special, letter in ((6, 0o4000, "s"), (3, 0o2000, "s"), (0, 0o1000, "t")):
        bits = mode >> shift
        letters += ["r" if bits & 4 else "-", "w" if bits & 2 else "-"]
        runs = bool(bits & 1)
        if mode & special:
            letters.append(letter if runs else letter.upper())
        else:
            letters.append("x" if runs else "-")
    return "".join(letters)


def _minute(nanoseconds: int) -> str:
    moment = time.gmtime(nanoseconds // SECOND)
    return (
        f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}"
        f" {moment.tm_hour:02}:{moment.tm_min:02}"
    )


def _rfc3339(nanoseconds: int) -> str:
    from casstore.model.rfc3339 import format_time

    return format_time(nanoseconds)


def _escaped(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    known = _ESCAPES.get(character.encode("utf-8", "surrogateescape"))
    if known is not None:
        return known
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def _raw(name: bytes) -> str:
    """Base64 of bytes that are not UTF-8, for whoever needs them; empty for all else."""
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return _base64(name)
    return ""


def _base64(data: bytes) -> str:
    from binascii import b2a_base64

    return b2a_base64(data, newline=False).decode("ascii")


def _device(file: ImageFile) -> str:
    return "{}:{}".format(*file.device) if file.device is not None else ""


def _xattrs(file: ImageFile) -> dict[str, str]:
    return {
        key.encode("utf-8", "surrogateescape").decode("utf-8", "replace"): _base64(value)
        for key, value in file.xattrs.items()
    }


_FIELDS: dict[str, Callable[[ImageFile], object]] = {
    "Path": lambda file: "/" + file.name.decode("utf-8", "replace"),
    "RawPath": lambda file: _raw(b"/" + file.name),
    "Type": lambda file: file.kind,
    "Mode": lambda file: f"{file.mode:04o}",
    "UID": lambda file: file.uid,
    "GID": lambda file: file.gid,
    "Size": lambda file: file.size,
    "ModTime": lambda file: _rfc3339(file.mtime),
    "Target": lambda file: file.raw_target.decode("utf-8", "replace"),
    "RawTarget": lambda file: _raw(file.raw_target),
    "Device": _device,
    "Xattrs": _xattrs,
    "SHA256": lambda file: file.sha256 or "",
    "Layer": lambda file: file.layer or "",
}
