from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import CasstoreError, Refused
from casstore.transfer import tarstream
from casstore.transfer.membername import MAX_MEMBERS
from casstore.transfer.tarstream import FileBytes, Member, PassingBytes, members
from tests.transfer.building import member, tar_of, tar_of_members

LONG = "d" * 90 + "/" + "e" * 60 + "/" + "f" * 90


class OneByOne(io.BytesIO):
    """A stream that gives a byte at a time, as a pipe may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1 if size else 0)


def of_file(data: bytes) -> list[Member]:
    return list(members(FileBytes(io.BytesIO(data))))


def of_stream(data: bytes) -> list[Member]:
    return list(members(PassingBytes(io.BytesIO(data))))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tar_gives_names_and_contents(format: int) -> None:
    data = tar_of({"a": b"one", LONG: b"", "b": b"x" * 1000}, format=format)

    found = of_file(data)

    assert [each.name for each in found] == ["a", LONG, "b"]
    assert data[found[0].offset :][: found[0].size] == b"one"
    assert data[found[2].offset :][: found[2].size] == b"x" * 1000
    assert of_stream(data) == found


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_long_link_leads_where_it_says(format: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        tar.addfile(member("l", tarfile.SYMTYPE, "../" + LONG))

    assert of_file(buffer.getvalue())[0].link == "../" + LONG


def test_a_stream_that_dribbles_is_read_like_any_other() -> None:
    data = tar_of({"a": b"x" * 700, LONG: b"y"}, format=tarfile.PAX_FORMAT)

    assert list(members(PassingBytes(OneByOne(data)))) == of_file(data)


def test_links_devices_and_directories_have_no_content() -> None:
    data = tar_of_members(
        (member("d", tarfile.DIRTYPE), b""),
        (member("f", tarfile.FIFOTYPE), b""),
        (member("c", tarfile.CHRTYPE), b""),
        (member("h", tarfile.LNKTYPE, "a"), b""),
    )
    patched = with_size(data, 3 * 512, b"00000001000\0")

    assert [each.size for each in of_file(patched)] == [0, 0, 0, 0]


def test_a_size_in_base_256_is_a_number() -> None:
    data = tar_of({"a": b"one"})

    assert of_file(with_size(data, 0, b"\x80" + bytes(10) + b"\x03"))[0].size == 3


def test_a_pax_size_counts_instead_of_the_headers() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = member("a")
        info.size = 3
        info.pax_headers = {"size": "3"}
        tar.addfile(info, io.BytesIO(b"one"))
    data = buffer.getvalue()
    patched = with_size(data, data.index(b"a\0\0\0\0", 1024), b"00000000000\0")

    assert of_file(patched)[0].size == 3


def test_an_archive_may_end_without_its_zero_blocks() -> None:
    data = tar_of({"a": b"one"})[:1024]

    assert [each.name for each in of_file(data)] == ["a"]
    assert of_stream(data) == of_file(data)


def test_what_follows_the_end_is_not_read() -> None:
    data = tar_of({"a": b"one"})

    assert len(of_file(data + b"junk" * 1000)) == 1


@pytest.mark.parametrize("cut", [1, 511, 513, 1023, 1025, 1536 - 1])
def test_a_cut_is_refused_wherever_it_is(cut: int) -> None:
    data = tar_of({"a": b"x" * 600, "b": b""})[:cut]

    for read in (of_file, of_stream):
        with pytest.raises(Refused, match="unexpected EOF"):
            read(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello " * 200, "not a tar archive"),
        (b"\x7fELF" + bytes(600), "not a tar archive"),
        (tar_of({"a": b""})[:512] + b"x" * 512, "wrong checksum"),
        (bytes(512) + b"x" * 512, "goes on"),
    ],
)
def test_what_is_no_tar_is_refused(data: bytes, says: str) -> None:
    for read in (of_file, of_stream):
        with pytest.raises(Refused, match=says):
            read(data)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (b"77777777777\0", "unexpected EOF"),
        (b"\xff" * 12, "negative"),
        (b"\x80" + b"\x7f" * 11, "exceeds any archive"),
        (b"0000000x000\0", "not an octal number"),
        (b"-0000000001\0", "not an octal number"),
    ],
)
def test_a_size_that_lies_is_refused(size: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        of_file(with_size(tar_of({"a": b"one"}), 0, size))


@pytest.mark.parametrize(
    "records",
    [
        b"x path=a\n",
        b"99 path=a\n",
        b"5 a=b\n",
        b"0 path=a\n",
        b"-9 path=a\n",
        b"10 patha\n\n",
        b"12 path=a\0b\n",
        b"9 size=x\n",
        b"10 size=-1\n",
        b"9 path=a\x00",
        "٩ a=bcde\n".encode(),
        b"22 GNU.sparse.major=1\n",
    ],
)
def test_a_pax_header_that_lies_is_refused(records: bytes) -> None:
    header = member("x", b"x")
    data = tar_of_members((header, records), (member("a"), b"one"))

    with pytest.raises(Refused):
        of_file(data)


def test_a_sparse_member_is_refused() -> None:
    with pytest.raises(Refused, match="sparse"):
        of_file(tar_of_members((member("s", b"S"), b"")))


def test_an_extended_header_over_its_limit_is_refused_without_being_read() -> None:
    header = member("x", b"L")
    header.size = 1 << 40
    data = header.tobuf(tarfile.GNU_FORMAT) + bytes(512)

    with pytest.raises(Refused, match="extended tar header exceeds the limit"):
        of_file(data)


def test_a_name_over_its_limit_is_refused() -> None:
    with pytest.raises(Refused, match="name in the archive exceeds the limit of 4096"):
        of_file(tar_of({"n" * 4097: b""}, format=tarfile.GNU_FORMAT))


def test_all_names_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarstream, "MAX_NAMES", 100)

    with pytest.raises(Refused, match="names in the archive exceed"):
        of_file(tar_of({"a" * 60: b"", "b" * 60: b""}))


def test_an_extended_header_with_nothing_behind_it_is_refused() -> None:
    data = tar_of_members((member("x", b"L"), b"name"))

    with pytest.raises(Refused, match="ends after an extended"):
        of_file(data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_is_refused_or_harmless_but_never_anything_else(data: st.DataObject) -> None:
    whole = bytearray(tar_of({"a": b"one", LONG: b"two"}, format=tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = of_file(bytes(whole))
    except CasstoreError:
        return
    assert all(each.offset + each.size <= len(whole) for each in found)
    assert of_stream(bytes(whole)) == found


def with_size(data: bytes, header: int, size: bytes) -> bytes:
    """`data` with the size field at `header` replaced and the checksum made right."""
    block = bytearray(data[header : header + 512])
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:header] + bytes(block) + data[header + 512 :]


def pax_header(records: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member("x", b"x"), records


def test_extended_headers_have_a_limit_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarstream, "MAX_ALL_EXTENDED", 1000)
    long_names = [(member("@", b"L"), b"n" * 400)] * 3
    comments = [pax_header(b"411 comment=" + b"c" * 398 + b"\n")] * 3
    for_all = [(member("@", b"g"), b"8 a=bcd\n" * 50)] * 3

    for headers in (long_names, comments, for_all):
        assert len(of_file(tar_of_members(*headers[:2], (member("f", b"0"), b"")))) == 1
        with pytest.raises(Refused, match="extended tar headers exceed the limit of 1000 bytes"):
            of_stream(tar_of_members(*headers, (member("f", b"0"), b"")))


def test_no_more_pax_records_are_read_than_their_limit_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tarstream, "MAX_RECORDS", 100)
    file = (member("f", b"0"), b"")
    few, many = pax_header(b"6 a=b\n" * 50), pax_header(b"6 a=b\n" * 150_000)

    assert len(of_file(tar_of_members(few, file, few, file))) == 2
    with pytest.raises(Refused, match="pax headers exceed the limit of 100 records"):
        of_file(tar_of_members(few, file, few, file, few, file))
    with pytest.raises(Refused, match="pax headers exceed the limit of 100 records"):
        of_file(tar_of_members(many, file))


def test_a_member_for_each_of_the_most_members_may_have_ten_records() -> None:
    assert tarstream.MAX_RECORDS >= 10 * MAX_MEMBERS
    assert tarstream.MAX_ALL_EXTENDED >= 600 * MAX_MEMBERS
