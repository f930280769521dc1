"""A tar in a seekable file as named members, in any order, by several threads at once.

Names are keys in a dictionary. Links are followed in that dictionary alone, a few at most, and
never out of it. Of members by the same name only equal ones are allowed: readers differ in
whether the first or the last counts.
"""

from __future__ import annotations

import io

from casstore.errors import Refused, quote
from casstore.startup.typed import Protocol, cast
from casstore.transfer import tarstream
from casstore.transfer.membername import MAX_MEMBERS, NoSuchMember, parts_of, safe_name
from casstore.transfer.tarstream import FileBytes, Member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import IO, Self

    from casstore.progress import Task

MAX_LINKS = 40  # on the way to one member, as Linux has it

_COPY = 1 << 20


class Closing(Protocol):
    """An open file, or anything else that wants to be closed."""

    def close(self) -> None: ...


class TarArchive:
    """A tar in a seekable file; see `archive.Archive`."""

    def __init__(
        self,
        file: IO[bytes],
        label: str,
        stem: str | None,
        base: int = 0,
        task: Task | None = None,
    ) -> None:
        """`task` counts the bytes that are read."""
        self.label = label
        self.stem = stem
        self.owned: tuple[Closing, ...] = ()  # closed with the archive
        self._bytes = FileBytes(file, base, task)
        self._members: dict[str, Member] = {}
        for member in tarstream.members(self._bytes):
            self._add(member)

    @property
    def names(self) -> Collection[str]:
        return self._members.keys()

    def has(self, name: str) -> bool:
        try:
            return self._find(name).kind == tarstream.REGULAR
        except Refused:
            return False

    def size(self, name: str) -> int:
        return self._file_at(name).size

    def read(self, name: str, limit: int) -> bytes:
        member = self._file_at(name)
        if member.size > limit:
            raise Refused(f"{quote(name)} exceeds the limit of {limit} bytes")
        return self._read(member, 0, member.size)

    def open(self, name: str) -> IO[bytes]:
        member = self._file_at(name)
        return cast("IO[bytes]", _Slice(self._bytes, member.offset, member.size))

    def path(self, name: str) -> str | None:
        return None

    def close(self) -> None:
        for file in self.owned:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _add(self, member: Member) -> None:
        if len(self._members) >= MAX_MEMBERS:
            raise Refused(f"the archive exceeds the limit of {MAX_MEMBERS} members")
        name = member.name
        if (
            name.startswith(("./", "/"))
            or "//" in name
            or "/./" in name
            or name.endswith(("/", "/."))
        ):
            name = "/".join(parts_of(name))
            member = member._replace(name=name)  # names are most of what an archive keeps
        known = self._members.setdefault(name, member)
        if known is not member and not self._is_same(known, member):
            raise Refused(f"the archive has {quote(name)} twice, with different content")

    def _is_same(self, one: Member, other: Member) -> bool:
        if (one.kind, one.size) != (other.kind, other.size):
            return False
        if one.kind in (tarstream.HARD_LINK, tarstream.SYMLINK):
            return one.link == other.link
        return all(
            self._read(one, at, min(_COPY, one.size - at))
            == self._read(other, at, min(_COPY, one.size - at))
            for at in range(0, one.size, _COPY)
        )

    def _read(self, member: Member, at: int, size: int) -> bytes:
        data = self._bytes.read(member.offset + at, size)
        while len(data) < size:
            more = self._bytes.read(member.offset + at + len(data), size - len(data))
            if not more:
                raise Refused(f"{self.label} was truncated while it was read")
            data += more
        return data

    def _file_at(self, name: str) -> Member:
        member = self._find(name)
        if member.kind != tarstream.REGULAR:
            raise Refused(f"{quote(name)} in the archive is not a regular file")
        return member

    def _find(self, name: str) -> Member:
        """The member that `name` leads to, links followed inside the archive alone."""
        ahead = list(reversed(safe_name(name).split("/")))
        reached: list[str] = []
        links = 0
        while ahead:
            part = ahead.pop()
            if part == "..":
                if not reached:
                    raise Refused(f"{quote(name)} is a link that leads out of the archive")
                reached.pop()
                continue
            reached.append(part)
            member = self._members.get("/".join(reached))
            if member is None or member.kind not in (tarstream.SYMLINK, tarstream.HARD_LINK):
                continue
            links += 1
            if links > MAX_LINKS:
                raise Refused(f"{quote(name)} in the archive is a link that leads to itself")
            if member.link.startswith("/") and member.kind == tarstream.SYMLINK:
                raise Refused(f"{quote(name)} is a link that leads out of the archive")
            # A symbolic link starts from its directory, a hard link from the top.
            reached = reached[:-1] if member.kind == tarstream.SYMLINK else []
            ahead.extend(reversed(parts_of(member.link)))
        found = self._members.get("/".join(reached))
        if found is None:
            raise NoSuchMember(name)
        return found


class _Slice(io.RawIOBase):
    """Part of a file, with a position of its own."""

    def __init__(self, source: FileBytes, offset: int, size: int) -> None:
        self._source = source
        self._offset = offset
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, min(self._size, base + offset))
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = self._size - self._at
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        data = self._source.read(self._offset + self._at, wanted)
        if not data:
            raise Refused("the archive was truncated while it was read")
        self._at += len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: self._size - self._at]
        if not view:
            return 0
        count = self._source.read_into(self._offset + self._at, view)
        if not count:
            raise Refused("the archive was truncated while it was read")
        self._at += count
        return count
