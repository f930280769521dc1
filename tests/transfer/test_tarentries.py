"""Every form of tar that the world writes is read; what is no tar is refused in one line."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.model.fileentry import FileEntry
from casstore.transfer import contenthashes, sparsemap, tarentries
from casstore.transfer.contenthashes import ContentHashes
from casstore.transfer.layertar import LayerScanner
from casstore.transfer.tarentries import TarEntries, normalised
from tests.transfer.layertars import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    LAYER,
    SYMLINK,
    Form,
    Member,
    in_pieces,
    padded,
    tar_of,
)

FORMS: list[Form] = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
SIZES = [1 << 20, 1000, 512, 100]


def entries_of(tar: bytes, size: int = 1 << 20) -> list[FileEntry]:
    """The entries of a tar that comes in pieces of a size, with their digests."""
    hashes = ContentHashes()
    try:
        tree = TarEntries(in_pieces(tar, size), LAYER, hashes)
        found = list(tree)
        made = iter(hashes.made())
    finally:
        hashes.close()
    entries = [e._replace(sha256=next(made)) if e.kind == "file" and e.size else e for e in found]
    assert list(made) == []
    return entries


def one(*blocks: Member | bytes, size: int = 1 << 20) -> FileEntry:
    (entry,) = entries_of(tar_of(*blocks), size)
    return entry


def edited(header: bytes, at: int, new: bytes, *, signed: bool = False) -> bytes:
    """A header with other bytes in one place, and the check sum of these."""
    head = bytearray(header[:512])
    head[at : at + len(new)] = new
    head[148:156] = b" " * 8
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in head)
    head[148:156] = b"%06o\0 " % total
    return bytes(head) + header[512:]


def pax(**records: str | bytes) -> bytes:
    """A pax header with records in this order; `__` stands for a dot."""
    return pax_records(*((key.replace("__", "."), value) for key, value in records.items()))


def pax_records(*records: tuple[str, str | bytes], kind: bytes = b"x") -> bytes:
    data = b""
    for key, value in records:
        raw = value.encode() if isinstance(value, str) else value
        rest = b" " + key.encode() + b"=" + raw + b"\n"
        length = len(rest)
        while len(b"%d" % length) + len(rest) != length:
            length = len(b"%d" % length) + len(rest)
        data += b"%d" % length + rest
    return edited(Member("PaxHeaders/x", FILE, data).whole(tarfile.USTAR_FORMAT), 156, kind)


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


# What an entry has


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", SIZES)
def test_a_file_has_all_that_its_header_says(form: Form, size: int) -> None:
    info = tarfile.TarInfo("usr/bin/x")
    info.mode, info.uid, info.gid, info.mtime, info.size = 0o4755, 7, 8, 1_700_000_000, 5
    first = Member("first", content=b"a" * 700).whole(form)

    entry = entries_of(tar_of(first, info.tobuf(form) + padded(b"hello")), size)[1]

    assert entry == FileEntry(
        b"usr/bin/x", "file", 0o4755, 7, 8, 1_700_000_000 * 10**9, 5,
        sha256=digest(b"hello"), offset=len(first) + 512, order=2, inode=2,
    )  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_kind_of_entry_is_told(form: Form) -> None:
    kinds = [FILE, DIRECTORY, SYMLINK, HARD_LINK, FIFO, CHARACTER, BLOCK]
    tar = b"".join(Member(f"{n}", kind, target="t").whole(form) for n, kind in enumerate(kinds))

    assert [(entry.kind, entry.target, entry.size) for entry in entries_of(tar)] == [
        ("file", b"", 0),
        ("directory", b"", 0),
        ("symlink", b"t", 0),
        ("hard link", b"t", 0),
        ("fifo", b"", 0),
        ("character device", b"", 0),
        ("block device", b"", 0),
    ]


@pytest.mark.parametrize("numbers", [(0, 0), (1, 3), (255, 65535)])
def test_a_device_has_its_numbers(numbers: tuple[int, int]) -> None:
    info = tarfile.TarInfo("null")
    info.type = CHARACTER
    info.devmajor, info.devminor = numbers

    assert one(info.tobuf()).device == numbers


def test_a_symbolic_link_is_as_it_was_written() -> None:
    assert one(Member("l", SYMLINK, target="/../a//b/./")).target == b"/../a//b/./"


def test_the_target_of_a_hard_link_is_a_name() -> None:
    assert one(Member("l", HARD_LINK, target="/../a//b/./")).target == b"a/b"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("size", SIZES)
def test_a_long_name_and_a_long_target_are_read_whole(form: Form, size: int) -> None:
    name, target = "/".join(["n" * 99] * 20), "/".join(["t" * 99] * 20)
    tar = Member(name, SYMLINK, target=target).whole(form) + Member("x").whole(form)

    first, second = entries_of(tar, size)

    assert (first.name, first.target) == (name.encode(), target.encode())
    assert (second.name, second.target, second.order) == (b"x", b"", 2)


def test_a_name_may_be_split_as_ustar_has_it() -> None:
    name = "/".join(["n" * 70] * 3)

    assert one(Member(name).whole(tarfile.USTAR_FORMAT)).name == name.encode()


def test_the_prefix_of_star_is_shorter() -> None:
    head = Member("x").whole(tarfile.USTAR_FORMAT)
    head = edited(head, 345, b"d".ljust(131, b"\0") + b"12345670123 12345670123 ")

    assert one(edited(head, 508, b"tar\0")).name == b"d/x"


def test_a_name_is_bytes_of_no_encoding_and_ends_with_nul() -> None:
    head = edited(Member("x").whole(), 0, b"\xff\xfe\x01\0rest")

    assert one(head).name == b"\xff\xfe\x01"


def test_a_name_of_all_hundred_bytes_has_no_nul() -> None:
    assert one(edited(Member("x").whole(), 0, b"n" * 100)).name == b"n" * 100


def test_before_ustar_a_directory_was_a_name_with_a_slash() -> None:
    head = edited(Member("x").whole(), 0, b"d/\0")
    old = edited(head, 156, bytes(1) + bytes(100) + bytes(8))

    assert (one(old).kind, one(old).name) == ("directory", b"d")
    assert (one(head).kind, one(head).name) == ("file", b"d")


@pytest.mark.parametrize("flag", [b"\0", b"0", b"7", b"Z"])
def test_what_has_content_and_no_known_type_is_a_file(flag: bytes) -> None:
    head = edited(Member("x", content=b"content").whole(), 156, flag)

    entry, after = entries_of(tar_of(head, Member("after")))

    assert (entry.kind, entry.size, entry.sha256) == ("file", 7, digest(b"content"))
    assert after.name == b"after"


@pytest.mark.parametrize("kind", [SYMLINK, HARD_LINK, DIRECTORY, FIFO, CHARACTER, BLOCK])
def test_a_size_means_no_content_where_there_is_none(kind: bytes) -> None:
    head = edited(Member("x", kind, target="t").whole(tarfile.USTAR_FORMAT), 124, b"00000001000\0")

    assert [entry.name for entry in entries_of(tar_of(head, Member("after")))] == [b"x", b"after"]


def test_what_a_global_header_says_is_not_meant() -> None:
    header = pax_records(("path", "other"), ("size", "9999"), kind=b"g")

    assert one(header, Member("x", content=b"c")).name == b"x"


def test_the_label_of_a_volume_is_no_file() -> None:
    assert one(edited(Member("label").whole(), 156, b"V"), Member("x")).order == 1


def test_a_file_that_began_in_another_archive_is_refused() -> None:
    with pytest.raises(Refused, match="the rest of a file that began in another archive"):
        one(edited(Member("x", content=b"c").whole(), 156, b"M"))


# Numbers


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000123\0", 0o123),
        (b"123 \0\0\0\0", 0o123),
        (b"   123\0 ", 0o123),
        (b"00000123", 0o123),
        (bytes(8), 0),
        (b"        ", 0),
        (b"7\0junk!!", 7),
        (b"\x80\0\0\0\xff\xff\xff\xfe", 0xFFFFFFFE),
    ],
)
def test_a_number_is_octal_or_base_256(field: bytes, value: int) -> None:
    assert one(edited(Member("x").whole(), 108, field)).uid == value


@pytest.mark.parametrize(
    "field", [b"9999999\0", b"0x123\0\0\0", b"+7\0\0\0\0\0\0", b"1_1\0\0\0\0\0"]
)
def test_another_number_is_refused(field: bytes) -> None:
    with pytest.raises(Refused, match=f"layer {LAYER} has the number .*not octal, at byte 0"):
        one(edited(Member("x").whole(), 108, field))


@pytest.mark.parametrize("at", [108, 116, 124])
def test_a_negative_number_is_refused_where_it_means_nothing(at: int) -> None:
    with pytest.raises(Refused, match=f"layer {LAYER} has a n"):
        one(edited(Member("x").whole(), at, b"\xff" * 8 + (b"\xff" * 4 if at == 124 else b"")))


@pytest.mark.parametrize(
    ("at", "field", "words"),
    [
        (124, b"\xff" * 12, "a negative size"),
        (124, b"\x80\0\0\0\x80" + bytes(7), "a number that is out of range"),
        (108, b"9999999\0", 'the number "9999999", which is not octal'),
    ],
)
def test_what_is_wrong_with_a_number_is_said(at: int, field: bytes, words: str) -> None:
    with pytest.raises(Refused, match=f"^layer {LAYER} has {words}, at byte 0$"):
        one(edited(Member("x").whole(), at, field))


def test_only_the_first_byte_has_the_sign() -> None:
    assert one(edited(Member("x").whole(), 108, b"\x80\x40" + bytes(6))).uid == 1 << 54


def test_what_gnu_tar_has_in_the_place_of_a_prefix_is_no_prefix() -> None:
    header = Member("x").whole(tarfile.GNU_FORMAT)

    assert one(edited(header, 345, b"14000000000\0")).name == b"x"


def test_a_time_before_1970_is_read() -> None:
    field = struct.pack(">iq", -1, -86400)

    assert one(edited(Member("x").whole(), 136, field)).mtime == -86400 * 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("7.", 7_000_000_000),
        ("7.1234567891", 7_123_456_789),
        ("-1.5", -1_500_000_000),
        ("-0.25", -250_000_000),
    ],
)
def test_pax_has_fractions_of_seconds(text: str, nanoseconds: int) -> None:
    assert one(pax(mtime=text), Member("x")).mtime == nanoseconds


@pytest.mark.parametrize("text", ["x", "1e9", "--1", "1.-5", "9" * 19, "9" * 18])
def test_another_time_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=f"layer {LAYER} has "):
        one(pax(mtime=text), Member("x"))


def test_a_time_in_pax_has_eighteen_digits_at_most() -> None:
    assert one(pax(mtime="5".zfill(18)), Member("x")).mtime == 5 * 10**9
    with pytest.raises(Refused, match="the time"):
        one(pax(mtime="5".zfill(19)), Member("x"))


def test_a_number_in_pax_has_nineteen_digits_and_63_bits_at_most() -> None:
    assert one(pax(uid=str((1 << 63) - 1)), Member("x")).uid == (1 << 63) - 1
    assert one(pax(uid="5".zfill(19)), Member("x")).uid == 5
    for text in (str(1 << 63), "5".zfill(20)):
        with pytest.raises(Refused, match=f'the number "{text}"'):
            one(pax(uid=text), Member("x"))


@pytest.mark.parametrize("key", ["uid", "gid"])
def test_pax_has_large_owners(key: str) -> None:
    assert getattr(one(pax(**{key: "4000000000"}), Member("x")), key) == 4_000_000_000


@pytest.mark.parametrize("key", ["uid", "gid", "size"])
@pytest.mark.parametrize("text", ["-1", "1.5", "0x1", "9" * 20, "9" * 19])
def test_another_number_in_pax_is_refused(key: str, text: str) -> None:
    with pytest.raises(Refused, match=f"layer {LAYER} has "):
        one(pax(**{key: text}), Member("x"))


def test_the_size_in_pax_counts() -> None:
    head = edited(Member("x", content=b"c" * 600).whole(), 124, b"00000000001\0")

    assert [(entry.name, entry.size) for entry in entries_of(tar_of(pax(size="600"), head))] == [
        (b"x", 600)
    ]


# Records of pax


def test_an_empty_record_lets_the_header_count() -> None:
    assert one(pax_records(("path", "other"), ("path", "")), Member("x")).name == b"x"


def test_records_are_for_one_entry() -> None:
    first, second = entries_of(tar_of(pax(path="other", uid="7"), Member("x"), Member("y")))

    assert [(entry.name, entry.uid) for entry in (first, second)] == [(b"other", 7), (b"y", 0)]


def test_the_header_of_solaris_is_one_of_pax() -> None:
    assert one(pax_records(("path", "other"), kind=b"X"), Member("x")).name == b"other"


def test_extended_attributes_are_bytes_sorted_by_their_names() -> None:
    header = pax(SCHILY__xattr__user__z=b"\xff\0=\n", SCHILY__xattr__user__a="a", comment="c")

    assert one(header, Member("x")).xattrs == ((b"user.a", b"a"), (b"user.z", b"\xff\0=\n"))


def test_an_empty_extended_attribute_is_none_as_docker_has_it() -> None:
    assert one(pax(SCHILY__xattr__user__a=""), Member("x")).xattrs == ()


@pytest.mark.parametrize(
    "data",
    [
        b"no length",
        b"0 a=b\n",
        b"5 a=b\n",
        b"7 a=b\n",
        b"9999 a=b\n",
        b"6 ab\n\n",
        b"-6 a=b\n",
        b" 6 a=b\n",
        b"6\0a=b\n",
        b"6 a=bc",
        b"x" * 600,
    ],
)
def test_malformed_records_are_refused(data: bytes) -> None:
    header = edited(Member("pax", content=data).whole(), 156, b"x")

    with pytest.raises(Refused, match=f"^layer {LAYER} has a malformed pax record, at byte 0$"):
        one(header, Member("x"))


def test_the_number_of_records_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarentries, "FREE_RECORDS", 10)
    header = pax_records(*[("a", "b")] * 60)

    with pytest.raises(Refused, match="more pax records than the limit allows"):
        one(header, Member("x"))


@pytest.mark.parametrize(("free", "each", "most"), [(3, 0, 3), (0, 2, 2)])
def test_as_many_records_as_the_limit_are_read(
    monkeypatch: pytest.MonkeyPatch, free: int, each: int, most: int
) -> None:
    monkeypatch.setattr(tarentries, "FREE_RECORDS", free)
    monkeypatch.setattr(tarentries, "RECORDS_EACH", each)

    assert one(pax_records(*[("a", "b")] * most), Member("x")).name == b"x"
    with pytest.raises(Refused, match="more pax records"):
        one(pax_records(*[("a", "b")] * (most + 1)), Member("x"))


@pytest.mark.parametrize("size", [0, 512])
def test_an_extended_header_may_be_empty_or_fill_its_blocks(size: int) -> None:
    data = b"512 comment=" + b"c" * 499 + b"\n" if size else b""
    header = edited(Member("pax", content=data).whole(), 156, b"x")

    assert len(data) == size
    assert one(header, Member("x")).name == b"x"


def test_an_extended_header_may_have_a_mebibyte() -> None:
    header = edited(Member("long", content=b"n" * (1 << 20)).whole(), 156, b"L")

    with pytest.raises(Refused, match="a name that exceeds the limit"):  # and not the header
        one(header, Member("x"))


def test_a_tar_that_ends_within_an_extended_header_is_refused() -> None:
    header = edited(Member("long", content=b"n" * 600).whole(), 156, b"x")[:1000]

    with pytest.raises(Refused, match=f"^layer {LAYER} is truncated in the tar entry at byte 0$"):
        entries_of(header)


@pytest.mark.parametrize("flag", [b"x", b"L", b"K"])
def test_an_extended_header_of_more_than_a_mebibyte_is_refused(flag: bytes) -> None:
    header = edited(Member("long").whole(), 124, b"%011o\0" % ((1 << 20) + 1))

    with pytest.raises(Refused, match=f"layer {LAYER} has an extended header that exceeds"):
        one(edited(header, 156, flag), bytes(1 << 21))


@pytest.mark.parametrize("key", ["path", "linkpath"])
def test_a_path_longer_than_linux_takes_is_refused(key: str) -> None:
    member = Member("x", SYMLINK, target="t")
    assert (
        len(getattr(one(pax(**{key: "n" * 4096}), member), "name" if key == "path" else "target"))
        == 4096
    )

    with pytest.raises(Refused, match=f"layer {LAYER} has a name that exceeds the limit of 4096"):
        one(pax(**{key: "n" * 4097}), member)


# Sparse files

CONTENT = bytes(1024) + b"a" * 512 + bytes(4096) + b"b" * 100 + bytes(50)
PIECES = ((1024, 512), (5632, 100))
STORED = b"a" * 512 + b"b" * 100


def sparse(form: str) -> bytes:
    """One file, as each form has it."""
    flat = [number for piece in (*PIECES, (len(CONTENT), 0)) for number in piece]
    texts = [str(number) for number in flat]
    member = Member("GNUSparseFile.0/x", content=STORED)
    size, name = ("GNU.sparse.size", str(len(CONTENT))), ("GNU.sparse.name", "d/x")
    if form == "0.0":
        keys = ["GNU.sparse.offset", "GNU.sparse.numbytes"] * 3
        pairs = zip(keys, texts, strict=True)
        return (
            pax_records(size, ("GNU.sparse.numblocks", "3"), ("path", "d/x"), *pairs)
            + member.whole()
        )
    if form == "0.1":
        return pax_records(size, name, ("GNU.sparse.map", ",".join(texts))) + member.whole()
    if form == "1.0":
        text = "\n".join(["3", *texts, ""]).encode()
        records = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), name]
        header = pax_records(*records, ("GNU.sparse.realsize", str(len(CONTENT))))
        return header + Member("x", content=padded(text) + STORED).whole()
    head = edited(Member("d/x", content=STORED).whole(tarfile.GNU_FORMAT), 156, b"S")
    fields = [b"%011o\0" % number for number in flat]
    if form == "old":
        head = edited(head, 386, b"".join(fields))
        return edited(head, 483, b"%011o\0" % len(CONTENT))
    head = edited(head, 386, b"".join(fields[:2]).ljust(96, b"\0") + b"\1")
    head = edited(
        head, 386, b"".join(fields[:2]) + b"".join([b"%011o\0" % 2048, b"%011o\0" % 0] * 3)
    )
    head = edited(head, 483, b"%011o\0" % len(CONTENT))
    return head[:512] + b"".join(fields[2:]).ljust(512, b"\0") + head[512:]


@pytest.mark.parametrize("form", ["0.0", "0.1", "1.0", "old", "extended"])
@pytest.mark.parametrize("size", SIZES)
def test_a_sparse_file_has_its_content_and_its_holes(form: str, size: int) -> None:
    tar = tar_of(sparse(form), Member("after", content=b"c"))

    entry, after = entries_of(tar, size)

    assert (entry.name, entry.kind, entry.size) == (b"d/x", "file", len(CONTENT))
    assert entry.extents == PIECES
    assert tar[entry.offset :].startswith(STORED)
    assert entry.sha256 == digest(CONTENT)
    assert (after.name, after.sha256) == (b"after", digest(b"c"))


def test_a_file_may_be_one_hole() -> None:
    header = pax_records(("GNU.sparse.size", "5000"), ("GNU.sparse.map", "5000,0"))

    entry, after = entries_of(tar_of(header, Member("x"), Member("after", content=b"c")))

    assert (entry.size, entry.extents, entry.sha256) == (5000, (), digest(bytes(5000)))
    assert after.sha256 == digest(b"c")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0,1,2",
        "0,700",
        "0,611",
        "x,612",
        "100,612,0,0",
        "9000,612",
        "0,-612",
        "300,100,300,512",
    ],
)
def test_a_map_that_does_not_fit_is_refused(text: str) -> None:
    header = pax_records(("GNU.sparse.size", "5000"), ("GNU.sparse.map", text))

    with pytest.raises(Refused, match=f"layer {LAYER} has a sparse file whose map does not fit"):
        one(header, Member("x", content=STORED))


@pytest.mark.parametrize(
    "text", [b"", b"x\n", b"-1\n", b"70000\n", b"2\n0\n", b"1\n0\n", b"1\n0\n99\n"]
)
def test_a_map_in_the_content_that_does_not_fit_is_refused(text: bytes) -> None:
    header = pax_records(("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "5000"))

    with pytest.raises(Refused, match=f"layer {LAYER} has a sparse file whose map does not fit"):
        one(header, Member("x", content=padded(text) + STORED))


def test_a_negative_length_in_an_old_map_is_refused() -> None:
    head = edited(sparse("old"), 386 + 36, b"\xff" * 12)

    with pytest.raises(Refused, match="map does not fit"):
        one(head)


def test_a_map_in_the_content_may_have_many_lines() -> None:
    pieces = [(place * 1000, 1) for place in range(3000)]
    text = "".join(f"{place}\n{length}\n" for place, length in pieces)
    size = pieces[-1][0] + 1
    header = pax_records(("GNU.sparse.major", "1"), ("GNU.sparse.realsize", str(size)))
    content = padded(f"{len(pieces)}\n{text}".encode()) + b"x" * len(pieces)

    entry = one(header, Member("x", content=content))

    assert entry.extents == tuple(pieces)
    assert entry.sha256 == digest((b"x" + bytes(999)) * 2999 + b"x")


def test_pieces_of_a_sparse_file_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparsemap, "MAX_PIECES", 2)

    for form in ("0.0", "0.1", "1.0", "old"):
        with pytest.raises(Refused, match="map does not fit"):
            one(sparse(form))


def test_a_header_can_not_have_exabytes_of_zeros_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenthashes, "MAX_HOLES", 6000)
    huge = pax_records(("GNU.sparse.size", str(1 << 60)), ("GNU.sparse.map", "0,612"))
    tar = tar_of(
        sparse("0.1"), huge, Member("x", content=STORED), sparse("old"), Member("y", content=b"y")
    )

    assert [entry.sha256 for entry in entries_of(tar)] == [
        digest(CONTENT), b"", b"", digest(b"y"),
    ]  # fmt: skip


# The end, and what is no tar


@pytest.mark.parametrize(
    "end", [b"", bytes(512), bytes(1024), bytes(512) + b"junk" * 128, bytes(9000)]
)
def test_a_tar_ends_with_a_block_of_zeros_or_between_two_entries(end: bytes) -> None:
    tar = Member("x", content=b"c").whole() + end

    assert [entry.name for entry in entries_of(tar)] == [b"x"]


def test_the_padding_of_the_last_content_may_be_missing() -> None:
    assert one(Member("x", content=b"c").whole()[:513]) == one(Member("x", content=b"c"))


@pytest.mark.parametrize("size", [1, 511, 513, 1000])
def test_a_tar_that_stops_elsewhere_is_refused(size: int) -> None:
    tar = Member("x", content=b"c" * 600).whole()[:size]

    with pytest.raises(Refused, match=f"^layer {LAYER} is truncated in the tar entry at byte 0$"):
        entries_of(tar)


def test_what_is_no_tar_is_refused() -> None:
    with pytest.raises(Refused, match=f"^layer {LAYER} is not a tar archive$"):
        entries_of(b"PK\3\4" * 1000)


def test_what_stops_being_a_tar_is_refused() -> None:
    tar = Member("x", content=b"c").whole() + b"nonsense" * 100

    with pytest.raises(Refused, match=f"^layer {LAYER} has no tar header at byte 1024$"):
        entries_of(tar)


@pytest.mark.parametrize("signed", [True, False])
def test_the_check_sum_may_be_of_signed_bytes(*, signed: bool) -> None:
    head = edited(Member("x").whole(), 0, b"\xff\xff", signed=signed)

    assert one(head).name == b"\xff\xff"


def test_a_wrong_check_sum_is_no_header() -> None:
    head = bytearray(Member("x").whole())
    head[0] ^= 1

    with pytest.raises(Refused):
        entries_of(bytes(head))


# Names


@given(st.binary(max_size=40).map(lambda text: text.replace(b"\0", b"x")))
def test_a_name_is_normalised_as_a_path_from_the_root(name: bytes) -> None:
    assert normalised(name) == os.path.normpath(b"/" + name.lstrip(b"/")).lstrip(b"/")


# Any tar


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=600), st.integers(0, 2000), st.binary(min_size=1, max_size=8))
def test_a_tar_with_something_changed_is_read_or_refused(
    content: bytes, at: int, new: bytes
) -> None:
    tar = bytearray(tar_of(pax(path="x", mtime="7.5"), Member("x", content=content), sparse("1.0")))
    tar[at : at + len(new)] = new

    with suppress(Refused):
        entries_of(bytes(tar), 700)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([FILE, DIRECTORY, SYMLINK, HARD_LINK, FIFO]), max_size=8),
    st.sampled_from(FORMS),
)
def test_files_and_links_have_the_size_that_docker_counts(kinds: list[bytes], form: Form) -> None:
    tar = b"".join(
        Member(f"{n}", kind, b"c" * n * (kind == FILE), target="t" * n).whole(form)
        for n, kind in enumerate(kinds)
    )
    scanner = LayerScanner()
    scanner.feed(tar)

    sizes = [len(e.target) if e.kind == "symlink" else e.size for e in entries_of(tar)]
    assert sum(sizes) == scanner.file_bytes


# What the tools write


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all sorts."""
    root = tmp_path_factory.mktemp("tree")
    long = Path(*[f"directory-with-a-long-name-{number}" for number in range(8)])
    (root / long).mkdir(parents=True)
    (root / long / ("f" * 120)).write_bytes(b"deep")
    (root / "empty").write_bytes(b"")
    (root / "large").write_bytes(bytes(range(256)) * 5000)
    (root / "setuid").write_bytes(b"x")
    (root / "setuid").chmod(0o4755)
    with (root / "holes").open("wb") as file:
        for place in range(40):
            file.seek(place * 100_000)
            file.write(b"data")
        file.truncate(6_000_000)
    (root / "one-hole").touch()
    os.truncate(root / "one-hole", 1_000_000)
    (root / "link").symlink_to("../" + "t" * 150)
    os.link(root / "large", root / "same")
    os.mkfifo(root / "fifo")
    (root / os.fsdecode(b"\xff\xfe")).write_bytes(b"bytes")
    for path in root.rglob("*"):
        os.utime(path, ns=(0, 1_700_000_000_123_456_789), follow_symlinks=False)
    os.utime(root / "empty", ns=(0, 1_000_000_000))
    return root


WRITERS = [
    *(f"tar --format={form}" for form in ("gnu", "oldgnu", "pax")),
    *(f"tar --sparse --format={form}" for form in ("gnu", "oldgnu")),
    *(f"tar --sparse --format=pax --sparse-version={version}" for version in ("0.0", "0.1", "1.0")),
    "tar --format=pax --xattrs --label=label",
    *(f"bsdtar --format={form}" for form in ("pax", "gnutar")),
    "bsdtar --format=pax --read-sparse",
]


@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_tool_writes_is_what_is_on_the_disk(writer: str, tree: Path, tmp_path: Path) -> None:
    program, *options = writer.split()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    archive = tmp_path / "layer.tar"
    subprocess.run([program, *options, "-cf", str(archive), "-C", str(tree), "."], check=True)

    found = {entry.name: entry for entry in entries_of(archive.read_bytes())}

    paths = {os.fsencode(path.relative_to(tree)): path for path in tree.rglob("*")}
    assert found.keys() == {b"", *paths}
    links = [entry for entry in found.values() if entry.kind == "hard link"]
    assert [{entry.name, entry.target} for entry in links] == [{b"large", b"same"}]
    for name, path in paths.items():
        entry, status = found[name], path.lstat()
        fraction = 1 if "pax" in writer else 10**9
        assert entry.mtime == status.st_mtime_ns // fraction * fraction, name
        assert (entry.uid, entry.gid) == (status.st_uid, status.st_gid)
        if entry.kind == "hard link":
            continue
        if entry.kind == "symlink":
            assert entry.target == os.fsencode(path.readlink())
            continue
        assert entry.mode == stat.S_IMODE(status.st_mode)
        if entry.kind == "file" and entry.size:
            assert entry.sha256 == digest(path.read_bytes()), name
            assert entry.size == status.st_size
