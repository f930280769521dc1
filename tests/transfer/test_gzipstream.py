from __future__ import annotations

import gzip
import io
import struct
import sys
import zlib
from collections.abc import Sequence
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casstore.errors import Refused
from casstore.transfer import gzipstream, outputlimit
from casstore.transfer.gzipstream import BadGzip, IsalInflater, ZlibInflater, inflater
from casstore.transfer.layerstream import open_uncompressed
from tests.transfer.deflate import END, Symbol, block, member
from tests.transfer.noise import noise

Library = type[IsalInflater] | type[ZlibInflater]

BOTH = [
    pytest.param(ZlibInflater, id="zlib"),
    pytest.param(
        IsalInflater,
        id="isal",
        marks=pytest.mark.skipif(find_spec("isal") is None, reason="isal has no wheel here"),
    ),
]
each_library = pytest.mark.parametrize("library", BOTH)

TEXT = b"".join(b"line %d of many\n" % number for number in range(3000))
# One piece, pieces of all lengths that a header's fields have, and some that split everything.
CUTS = [[1 << 20], [1], [2], [3], [7], [10], [11, 1], [1000]]

NAME, COMMENT, EXTRA = 8, 16, 4
FIELDS = {
    "name": (NAME, b"layer.tar\0"),
    "empty name": (NAME, b"\0"),
    "long name": (NAME, b"n" * 3000 + b"\0"),
    "comment": (COMMENT, b"of the layer\0"),
    "extra": (EXTRA, b"\x06\0BC\x02\0\x1b\0"),
    "empty extra": (EXTRA, b"\0\0"),
    "long extra": (EXTRA, b"\xff\x0f" + b"x" * 0x0FFF),
    "all": (EXTRA | NAME | COMMENT, b"\x03\0abcname\0comment\0"),
    "text": (1, b""),
}


def inflated(
    library: Library, data: bytes, cuts: Sequence[int] = (1 << 20,), most: int = 1 << 20
) -> tuple[bytes, bytes] | None:
    """The plain bytes of a member given in pieces, and what follows it; None if it is refused."""
    one, plain, at, turn, full = library(), b"", 0, 0, False
    while not one.eof:
        piece = b""
        if not full:
            piece = data[at : at + cuts[turn % len(cuts)]]
            at, turn = at + len(piece), turn + 1
        try:
            more = one.decompress(memoryview(piece), most)
        except BadGzip:
            return None
        assert len(more) <= most
        if not (piece or more or full or one.eof):
            return None
        full = len(more) == most
        plain += more
    return plain, one.unused_data + data[at:]


def judged_by_zlib(data: bytes) -> tuple[bytes, bytes] | None:
    """The same of zlib in one call, as Python has it."""
    one = zlib.decompressobj(31)
    try:
        plain = one.decompress(data)
    except zlib.error:
        return None
    return (plain, one.unused_data) if one.eof else None


@each_library
@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_a_member_in_pieces_is_the_same_member(library: Library, cuts: list[int]) -> None:
    for plain in (b"", b"x", TEXT, noise(30_000)):
        data = member(plain) + b"what follows"
        assert inflated(library, data, cuts) == (plain, b"what follows")


@each_library
@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("field", list(FIELDS))
def test_fields_of_a_header_in_pieces_are_passed_over(
    library: Library, cuts: list[int], field: str
) -> None:
    flags, fields = FIELDS[field]

    for with_crc in (False, True):
        data = member(b"plain", flags=flags, fields=fields, with_crc=with_crc) + b"rest"
        assert inflated(library, data, cuts) == (b"plain", b"rest")


@each_library
@pytest.mark.parametrize("field", list(FIELDS))
@pytest.mark.parametrize("cuts", CUTS[:5], ids=str)
def test_a_header_whose_check_sum_is_wrong_is_refused(
    library: Library, field: str, cuts: list[int]
) -> None:
    flags, fields = FIELDS[field]
    data = bytearray(member(b"plain", flags=flags, fields=fields, with_crc=True))
    data[5] ^= 1  # of the time

    assert inflated(library, bytes(data), cuts) is None


@each_library
@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("bit", range(8))
def test_the_start_of_a_header_is_judged_as_by_zlib(library: Library, at: int, bit: int) -> None:
    data = bytearray(member(TEXT))
    data[at] ^= 1 << bit

    for cuts in CUTS:
        assert inflated(library, bytes(data), cuts) == judged_by_zlib(bytes(data))


@each_library
@pytest.mark.parametrize(
    "trailer",
    [
        struct.pack("<II", zlib.crc32(TEXT) ^ 1, len(TEXT)),
        struct.pack("<II", zlib.crc32(TEXT), len(TEXT) + 1),
        struct.pack("<I", zlib.crc32(TEXT)),
        b"",
    ],
    ids=["check sum", "length", "no length", "none"],
)
def test_a_trailer_that_is_wrong_or_cut_is_refused(library: Library, trailer: bytes) -> None:
    for cuts in CUTS:
        assert inflated(library, member(TEXT, trailer=trailer), cuts) is None


@each_library
def test_a_cut_at_any_byte_is_refused(library: Library) -> None:
    whole = member(TEXT[:3000], flags=NAME | EXTRA, fields=b"\x02\0ABname\0", with_crc=True)

    for end in range(len(whole)):
        assert inflated(library, whole[:end], [64]) is None


@each_library
@pytest.mark.parametrize("most", [1, 100, 32_768, 100_000])
def test_no_more_comes_out_of_a_call_than_was_asked_for(library: Library, most: int) -> None:
    plain = bytes(300_000) if most > 1 else bytes(3000)

    assert inflated(library, member(plain) + b"rest", [7], most) == (plain, b"rest")


A = ord("a")
ONE_OF_EACH = {A: 1, END: 2, 257: 2}
REPEATED: list[Symbol] = [A, 257, ("distance", 0), END]  # a, and three times the same again
# What is inside, how it is packed, and whether that is deflate.
ODD_BLOCKS: dict[str, tuple[bytes, bytes, bool]] = {
    "codes of its own": (b"aa", block([A, A, END], {A: 1, END: 1}), True),
    "nothing but its end": (b"", block([END], {END: 1}), True),
    "a repetition": (b"aaaa", block(REPEATED, ONE_OF_EACH, [1]), True),
    "thirty distances": (b"aaaa", block(REPEATED, ONE_OF_EACH, [1] + [0] * 29), True),
    "fixed codes": (b"aaaa", block(REPEATED), True),
    "the longest repetition": (b"a" * 259, block([A, 285, ("distance", 0), END]), True),
    "the same in another way": (
        b"a" * 259,
        block([A, 284, ("bits", 5, 31), ("distance", 0), END]),
        True,
    ),
    "stored": (b"abc", b"\x01\x03\0\xfc\xffabc", True),
    "stored after nothing": (b"abc", b"\0\0\0\xff\xff" * 50 + b"\x01\x03\0\xfc\xffabc", True),
    "a wrong length of what is stored": (b"abc", b"\x01\x03\0\xfd\xffabc", False),
    "a third kind": (b"", b"\x07\0", False),
    "too many codes": (b"aa", block([A, A, END], {A: 1, ord("b"): 1, END: 1}), False),
    "no code for the end": (b"aa", block([A, A], {A: 1, ord("b"): 1}), False),
    "287 literals": (b"aa", block([A, A, END], {A: 1, END: 1}, count=287), False),
    # Deflate64 has codes for two distances more.
    "31 distances": (b"aaaa", block(REPEATED, ONE_OF_EACH, [1] + [0] * 30), False),
    "32 distances": (b"aaaa", block(REPEATED, ONE_OF_EACH, [1] + [0] * 31), False),
    "the distance 30": (b"aaaa", block([A, 257, ("distance", 30), END]), False),
    "the distance 31": (b"aaaa", block([A, 257, ("distance", 31), END]), False),
    "the length 286": (b"aaaa", block([A, 286, ("distance", 0), END]), False),
    "the length 287": (b"aaaa", block([A, 287, ("distance", 0), END]), False),
    "a distance before the start": (
        b"aaaa",
        block([A, 257, ("distance", 1), END], ONE_OF_EACH, [1, 1]),
        False,
    ),
    "a distance without a code": (
        b"aaaa",
        block([A, 257, ("bits", 1, 0), END], ONE_OF_EACH, [0]),
        False,
    ),
}


@each_library
@pytest.mark.parametrize("name", list(ODD_BLOCKS))
def test_what_no_compressor_writes_is_judged_as_by_zlib(library: Library, name: str) -> None:
    plain, packed, is_deflate = ODD_BLOCKS[name]
    data = member(plain, packed)

    assert judged_by_zlib(data) == ((plain, b"") if is_deflate else None)
    for cuts in CUTS:
        assert inflated(library, data, cuts) == judged_by_zlib(data)


# The one difference that is left; casstore/transfer/gzipstream.py tells it.
UNUSED_CODES = {
    "literals": block([A, A, END], {A: 2, END: 2}),
    "distances": block([A, 2 + 255, ("distance", 0), END], ONE_OF_EACH, [2, 2]),
    "code lengths": block([A, A, END], {A: 1, END: 1}, of_lengths=(*[5] * 16, 0, 0, 0)),
}


@pytest.mark.parametrize("what", list(UNUSED_CODES))
@each_library
def test_codes_with_unused_words_give_their_bytes_or_are_refused(
    library: Library, what: str
) -> None:
    plain = b"aaaa" if what == "distances" else b"aa"

    assert inflated(library, member(plain, UNUSED_CODES[what])) == (
        None if library is ZlibInflater else (plain, b"")
    )


STRATEGIES = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED]


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """A member as some compressor could write it."""
    plain = draw(
        st.one_of(
            st.binary(max_size=2000),
            st.tuples(st.binary(max_size=40), st.integers(0, 4000)).map(
                lambda two: two[0] * two[1]
            ),
        )
    )
    level, memory = draw(st.integers(0, 9)), draw(st.integers(1, 9))
    strategy = draw(st.sampled_from(STRATEGIES))
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, memory, strategy)
    middle = draw(st.integers(0, len(plain)))
    flush = draw(st.sampled_from([zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH]))
    packed = deflate.compress(plain[:middle]) + deflate.flush(flush)
    packed += deflate.compress(plain[middle:]) + deflate.flush()
    flags, fields = draw(st.sampled_from([(0, b""), *FIELDS.values()]))
    return member(plain, packed, flags=flags, fields=fields, with_crc=draw(st.booleans()))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A member, or several, with bits turned over, cut off, or with something behind."""
    data = bytearray(b"".join(draw(st.lists(members(), min_size=1, max_size=3))))
    for at in draw(st.lists(st.integers(0, 8 * len(data) - 1), max_size=3)):
        data[at // 8] ^= 1 << at % 8
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data) + draw(st.binary(max_size=20))


pieces = st.lists(st.sampled_from([1, 2, 5, 30, 500, 5000, 1 << 17]), min_size=1, max_size=4)


@each_library
@settings(max_examples=150, deadline=None)
@given(data=damaged(), cuts=pieces, most=st.sampled_from([100, 1000, 33_000, 1 << 20]))
def test_random_members_are_judged_as_by_zlib(
    library: Library, data: bytes, cuts: list[int], most: int
) -> None:
    if len(data) > 10_000:
        cuts = [max(cut, 500) for cut in cuts]

    assert inflated(library, data, cuts, most) == judged_by_zlib(data)


def outcome(library: Library, data: bytes) -> bytes | str:
    """What a layer gives that is read by this library: its bytes, or why it is refused."""
    gzipstream._chosen = library
    try:
        return open_uncompressed(io.BytesIO(data)).read()
    except Refused as error:
        return str(error)


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzipstream, "_chosen", None)


@pytest.mark.skipif(find_spec("isal") is None, reason="isal has no wheel here")
@settings(max_examples=150, deadline=None)
@given(data=damaged())
def test_what_a_refusal_says_does_not_tell_the_library(data: bytes) -> None:
    assert outcome(IsalInflater, data) == outcome(ZlibInflater, data)


@each_library
def test_members_in_a_row_zeros_and_junk(library: Library) -> None:
    two = member(TEXT) + member(b"end", flags=EXTRA, fields=b"\x02\0ab")

    assert outcome(library, two) == TEXT + b"end"
    assert outcome(library, two + b"junk") == "unexpected bytes after the end of the gzip data"
    assert outcome(library, two + bytes(9)) == "unexpected bytes after the end of the gzip data"
    assert outcome(library, two[:-1]) == "truncated or corrupt gzip data"
    assert outcome(library, member(TEXT, trailer=bytes(8))) == "truncated or corrupt gzip data"
    assert open_uncompressed(io.BytesIO(two + bytes(9)), padded=True).read() == TEXT + b"end"


@each_library
def test_a_bomb_is_refused_before_it_is_unpacked(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputlimit, "ALWAYS_ALLOWED", 1 << 20)
    bomb = gzip.compress(bytes(16 << 20))

    assert "exceeds the limit of" in str(outcome(library, bomb))


def test_room_for_what_comes_out_grows_with_the_member(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms: list[int] = []

    class Noted(ZlibInflater):
        def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
            rooms.append(max_length)
            return super().decompress(data, max_length)

    monkeypatch.setattr(gzipstream, "_chosen", Noted)
    small, large = member(b"small"), member(noise(600_000))

    assert len(open_uncompressed(io.BytesIO(small * 3 + large + small)).read()) == 600_020
    assert [room >> 10 for room in (*rooms[:4], rooms[-1])] == [64, 128, 64, 64, 64]
    assert max(rooms) == 256 << 10


def test_isal_is_used_where_it_is_installed_and_zlib_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = find_spec("isal") is not None

    assert type(inflater()) is (IsalInflater if installed else ZlibInflater)
    monkeypatch.setattr(gzipstream, "_chosen", None)
    monkeypatch.setitem(sys.modules, "isal", None)
    assert type(inflater()) is ZlibInflater
    assert open_uncompressed(io.BytesIO(member(TEXT))).read() == TEXT
