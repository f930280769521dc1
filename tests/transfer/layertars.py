"""Tars of layers for tests, entry by entry, as Python's tarfile writes each."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Literal, NamedTuple

from casstore.model.digest import sha256
from casstore.model.fileentry import FileEntry
from casstore.transfer.contentstable import ContentsTable
from casstore.transfer.layercontents import scan_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Form = Literal[0, 1, 2]  # ustar, GNU, pax
LAYER = sha256(b"a layer")

FILE, HARD_LINK, SYMLINK = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE
DIRECTORY, FIFO = tarfile.DIRTYPE, tarfile.FIFOTYPE
CHARACTER, BLOCK = tarfile.CHRTYPE, tarfile.BLKTYPE


class Member(NamedTuple):
    """What a test says of an entry."""

    name: str
    kind: bytes = FILE
    content: bytes = b""
    target: str = ""
    mode: int = 0o644

    def header(self, form: Form = tarfile.PAX_FORMAT, **pax: str) -> bytes:
        info = tarfile.TarInfo(self.name)
        info.type, info.linkname, info.mode = self.kind, self.target, self.mode
        info.size = len(self.content) if self.kind == FILE else 0
        info.pax_headers = pax
        return info.tobuf(form, "utf-8", "surrogateescape")

    def whole(self, form: Form = tarfile.PAX_FORMAT, **pax: str) -> bytes:
        return self.header(form, **pax) + padded(self.content)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def tar_of(*members: Member | bytes) -> bytes:
    """Entries, or blocks as they are, and the end."""
    parts = [member if isinstance(member, bytes) else member.whole() for member in members]
    return b"".join(parts) + bytes(1024)


def in_pieces(tar: bytes, size: int) -> Iterator[bytes]:
    return (tar[at : at + size] for at in range(0, len(tar), size))


def table_of(pieces: Iterable[bytes]) -> bytes:
    out = io.BytesIO()
    scan_layer(iter(pieces), LAYER, out, io.BytesIO)
    return out.getvalue()


def contents_of(tar: bytes, size: int = 1 << 20, *, hashes: bool = False) -> list[FileEntry]:
    """What a layer says, when its tar comes in pieces of a size."""
    table = table_of(in_pieces(tar, size))
    with ContentsTable(io.BytesIO(table), LAYER, hashes=hashes) as contents:
        return list(contents.entries())


def told(entries: Sequence[FileEntry]) -> list[str]:
    """Entries in few words: kind and name, and where a link leads."""
    texts = [f"{entry.kind} {entry.name.decode()} -> {entry.target.decode()}" for entry in entries]
    return [text.removesuffix(" -> ") for text in texts]
