"""Entries of layers for tests: made by hand, and any that there can be."""

from __future__ import annotations

from hypothesis import strategies as st

from casstore.model.digest import sha256
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
    FileEntry,
    sort_key,
)

_INT64 = st.integers(-(1 << 63) // 1_000_000_000 * 1_000_000_000, (1 << 63) - 1)
_COUNT = st.integers(0, (1 << 63) - 1)
_PART = st.binary(min_size=1, max_size=6).filter(
    lambda part: part not in {b".", b".."} and not set(part) & {0, 0x2F}
)
_HASH = st.binary(min_size=32, max_size=32).filter(any)
NAMES = st.lists(_PART, max_size=4).map(b"/".join)


def a_file(
    name: bytes, content: bytes = b"", *, offset: int = 0, order: int = 1, inode: int = 1
) -> FileEntry:
    digest = bytes.fromhex(sha256(content).hex)
    return FileEntry(
        name, FILE, 0o644, 0, 0, 0, len(content),
        sha256=digest, offset=offset, order=order, inode=inode,
    )  # fmt: skip


_KINDS = (
    *(FILE, FILE, DIRECTORY, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, FIFO),
    *(HARD_LINK, WHITEOUT, OPAQUE),
)


@st.composite
def entries(draw: st.DrawFn) -> FileEntry:
    """Any entry that a table can have."""
    kind = draw(st.sampled_from(_KINDS))
    size = draw(_COUNT) if kind == FILE else 0
    pieces = st.lists(st.tuples(_COUNT, _COUNT), max_size=3).map(tuple)
    pairs = st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.binary(max_size=20)))
    order = draw(_COUNT)
    return FileEntry(
        draw(NAMES), kind, draw(st.integers(0, 0o7777)), draw(_COUNT), draw(_COUNT),
        draw(_INT64), size,
        target=draw(NAMES) if kind in (SYMLINK, HARD_LINK) else b"",
        device=draw(st.tuples(_COUNT, _COUNT)) if kind in (CHARACTER_DEVICE, BLOCK_DEVICE)
        else (0, 0),
        xattrs=draw(pairs.map(sorted).map(tuple)),
        sha256=draw(st.one_of(st.just(b""), _HASH))
        if size else (bytes.fromhex(sha256(b"").hex) if kind == FILE else b""),
        offset=draw(st.integers(0, 1 << 50)) * 512 if kind == FILE else 0,
        extents=draw(st.one_of(st.none(), pieces)) if kind == FILE else None,
        order=order,
        inode=draw(st.one_of(st.just(order), _COUNT)),
        shared=draw(st.booleans()),
    )  # fmt: skip


def in_order(some: list[FileEntry]) -> list[FileEntry]:
    """As a table has them: at most one marker of each kind and one other of a name."""
    rank = {WHITEOUT: 0, OPAQUE: 1}
    found = {(sort_key(entry.name), rank.get(entry.kind, 2)): entry for entry in some}
    return [found[key] for key in sorted(found)]
