from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.transfer import layertar
from casstore.transfer.layertar import LayerScanner
from tests.transfer.building import member, tar_of, tar_of_members

NAMES = st.text("abcé/", min_size=1, max_size=120).filter(lambda name: name.strip("/"))
KINDS = [tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def scan(data: bytes, step: int = 1 << 20) -> int:
    scanner = LayerScanner()
    for at in range(0, len(data), step):
        scanner.feed(data[at : at + step])
    return scanner.file_bytes


def sum_by_tarfile(data: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return sum(
            len(info.linkname.encode("utf-8", "surrogateescape")) if info.issym() else info.size
            for info in tar
            if info.isreg() or info.issym()
        )


def sparse(size: int, segments: int) -> bytes:
    """A GNU sparse file of `size` bytes, of which every other block is data, then a plain one."""
    info = member("sparse", tarfile.GNUTYPE_SPARSE)
    info.size = 512 * segments
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    entries = [b"%011o\0%011o\0" % (1024 * number, 512) for number in range(segments)]
    head[386 : 386 + 24 * min(4, segments)] = b"".join(entries[:4])
    head[482] = segments > 4
    head[483:495] = b"%011o\0" % size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    maps = b""
    for at in range(4, segments, 21):
        block = b"".join(entries[at : at + 21]).ljust(504, b"\0")
        maps += block + bytes([at + 21 < segments]) + bytes(7)
    return bytes(head) + maps + b"s" * info.size + tar_of({"plain": b"xyz"})


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(st.tuples(NAMES, st.sampled_from(KINDS), st.binary(max_size=1500)), max_size=8),
    format=st.sampled_from(FORMATS),
    step=st.integers(1, 3000),
)
def test_the_sum_is_that_of_tarfile_for_any_tar_in_any_pieces(
    items: list[tuple[str, bytes, bytes]], format: int, step: int
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, kind, content in items:
            if format == tarfile.USTAR_FORMAT and len(name.encode()) > 100:
                name = name[:40]  # noqa: PLW2901 - what ustar has room for
            info = member(
                name,
                kind,
                "target" * (1 + len(content) % 5 * (format != tarfile.USTAR_FORMAT) * 20)
                if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE)
                else "",
            )
            if kind == tarfile.REGTYPE:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()

    assert scan(data, step) == sum_by_tarfile(data)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("length", [1, 99, 100, 101, 300, 4000])
def test_a_symbolic_link_counts_with_the_length_of_its_target(length: int, format: int) -> None:
    if format == tarfile.USTAR_FORMAT and length > 100:
        pytest.skip("ustar has no room for it")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        tar.addfile(member("link", tarfile.SYMTYPE, "t" * length))
        tar.addfile(member("hard", tarfile.LNKTYPE, "u" * min(length, 100)))
        tar.addfile(member("next", tarfile.SYMTYPE, "v"))

    assert scan(buffer.getvalue()) == scan(buffer.getvalue(), 7) == length + 1


def test_the_target_of_a_link_is_counted_in_bytes() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("link", tarfile.SYMTYPE, "é" * 10))

    assert scan(buffer.getvalue()) == 20


def test_a_hard_linked_file_counts_once() -> None:
    link = member("second", tarfile.LNKTYPE, "first")
    data = tar_of_members((member("first"), b"12345"), (link, b""), (member("third"), b"123"))

    assert scan(data) == 8


def test_a_hard_link_that_states_a_size_has_no_data() -> None:
    link = member("second", tarfile.LNKTYPE, "first")
    link.size = 5
    data = tar_of({"first": b"12345"})[:1024] + link.tobuf() + tar_of({"third": b"123"})

    assert scan(data) == 8


def test_the_size_of_a_pax_header_is_the_one_that_counts() -> None:
    info = member("file")
    info.size = 700
    info.pax_headers = {"size": "700", "comment": "é" * 600}
    head = info.tobuf(tarfile.PAX_FORMAT)
    lying = bytearray(head[-512:])
    lying[124:136] = b"%011o\0" % 0
    lying[148:156] = b" " * 8
    lying[148:156] = b"%06o\0 " % sum(lying)
    data = head[:-512] + bytes(lying) + b"x" * 700 + bytes(324) + tar_of({"next": b"abc"})

    for step in (100, 1 << 20):
        assert scan(data, step) == 703


def test_a_size_in_base_256_is_read() -> None:
    info = member("huge")
    info.size = 9 << 30

    assert scan(info.tobuf(tarfile.GNU_FORMAT)) == 9 << 30


@pytest.mark.parametrize("segments", [1, 4, 5, 25, 26, 60])
def test_a_sparse_file_counts_with_its_expanded_size(segments: int) -> None:
    data = sparse(1 << 20, segments)

    for step in (500, 1 << 20):
        assert scan(data, step) == (1 << 20) + 3
    assert sum_by_tarfile(data) == 3 + (1 << 20)


@pytest.mark.parametrize("key", ["GNU.sparse.realsize", "GNU.sparse.size"])
def test_a_sparse_file_in_pax_form_counts_with_its_expanded_size(key: str) -> None:
    info = member("file")
    info.size = 512
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", key: "100000"}
    data = info.tobuf(tarfile.PAX_FORMAT) + bytes(512) + tar_of({"next": b"abc"})

    assert scan(data) == 100003


def test_a_global_header_changes_nothing() -> None:
    buffer = io.BytesIO()
    pax = {"comment": "of all", "size": "77"}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers=pax) as tar:
        info = member("file")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"12345"))

    assert scan(buffer.getvalue()) == 5


def test_what_stands_behind_the_end_of_the_tar_does_not_count() -> None:
    assert scan(tar_of({"a": b"12"}) + tar_of({"b": b"345"})) == 2


@pytest.mark.parametrize("data", [b"", b"no tar", b"\0" * 5000, b"\xff" * 5000, b"x" * 100_000])
def test_content_that_is_no_tar_counts_nothing(data: bytes) -> None:
    assert scan(data, 100) == 0


@settings(max_examples=60, deadline=None)
@given(
    position=st.integers(0, 4000),
    junk=st.binary(min_size=1, max_size=600),
    step=st.integers(1, 2000),
)
def test_a_damaged_tar_never_fails_and_counts_alike_in_any_pieces(
    position: int, junk: bytes, step: int
) -> None:
    data = bytearray(
        tar_of({"a" * 200: b"1" * 600, "é": b"22"}, format=tarfile.PAX_FORMAT) + sparse(9999, 6)
    )
    data[position : position + len(junk)] = junk

    assert scan(bytes(data), step) == scan(bytes(data))


FIELDS = st.one_of(
    st.sampled_from(
        [b"0", b"-1", b"7", b"1000", b"0o17", b"1_0", b" 12", b"12 ", b"8", b"", b"\x80\0\0\1",
         b"\xff\xff", b"\t5", b"1\0\0002", b"+3"]
    ),
    st.integers(0, 3000).map(lambda size: b"%o" % size),
)  # fmt: skip
RECORDS = st.lists(
    st.sampled_from(
        [b"13 mtime=1.5\n", b"12 mtime=1.5\n", b"10 path=a\n", b"9 size=7\n", b"013 mtime=1.5\n",
         b"00000000000000000000033 mtime=1.5\n", b"14 linkpath=b\n", b"5 mtime=1.5\n", b"x"]
    ), max_size=3,
).map(b"".join)  # fmt: skip
CHECK_SUMS = st.sampled_from([b"%06o\0 ", b"%07o\0", b"%o", b" %o ", b"-%o", b"0%o\0\0", b"+%o"])


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A header of whatever kind and form, its check sum right as a rule, and what follows it."""
    kind = draw(st.sampled_from(b"000xx5712LKgS\0"))
    block = bytearray(512)
    block[:4] = draw(st.sampled_from([b"name", b"dir/", b"\xff\xff\xff\xff"]))
    block[124:136] = draw(FIELDS)[:12].ljust(12, draw(st.sampled_from([b"\0", b" "])))
    block[156] = kind
    records = draw(RECORDS)
    if kind == ord("x"):
        block[124:136] = b"%011o\0" % len(records)
    block[148:156] = b" " * 8
    block[148:156] = (draw(CHECK_SUMS) % (sum(block) + draw(st.sampled_from([0, 0, 0, 65521, 1]))))[
        :8
    ].ljust(8, b"\0")
    return bytes(block) + records.ljust(-(-len(records) // 512) * 512, b"\0")


@settings(deadline=None)
@given(st.lists(headers(), min_size=1, max_size=8), st.integers(1, 500))
def test_headers_of_every_form_count_alike_whole_and_in_pieces(
    parts: list[bytes], step: int
) -> None:
    data = b"".join(parts) + tar_of({"last": b"12345"})

    assert scan(data, step) == scan(data)


def test_a_layer_of_pax_records_alone_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layertar, "FREE_RECORDS", 100)
    one, two = (member("one", b"0"), b"content"), (member("two", b"0"), b"content")
    pax = member("x", b"x"), b"6 a=b\n" * 500

    assert scan(tar_of_members(one, pax, two)) == 7
    assert scan(tar_of_members(one, (pax[0], b"6 a=b\n" * 100), two)) == 14


def test_a_few_pax_records_for_each_file_are_read_however_many_files_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layertar, "FREE_RECORDS", 10)
    pax, file = (member("x", b"x"), b"6 a=b\n" * 20), (member("f", b"0"), b"content")

    assert scan(tar_of_members(*[pax, file] * 1000)) == 7000
