from __future__ import annotations

import gzip
import io
import lzma
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
import zstandard

from casstore.errors import Damaged
from casstore.model.descriptor import Descriptor
from casstore.model.digest import Digest, sha256
from casstore.model.kept import LayerRecord
from casstore.transfer import blobplaces
from casstore.transfer.tarout import Member, place_tar, stream_tar, tar_size
from tests.transfer.building import OCI_LAYER
from tests.transfer.noise import noise
from tests.transfer.storedfiles import StoredFiles

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE = 1 << 18
DATA = noise(1 << 16) * 23 + bytes(3000) + b"end"  # 1.5 MiB: many frames, and no whole blocks
SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip"

Wrap = Callable[[bytes], bytes]


def frames_of(
    data: bytes, size: int = PIECE, *, checked: bool = False, sized: bool = True
) -> bytes:
    packer = zstandard.ZstdCompressor(level=1, write_checksum=checked, write_content_size=sized)
    return b"".join(packer.compress(data[at : at + size]) for at in range(0, len(data), size))


WRAPS: dict[str, Wrap] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip members": lambda x: gzip.compress(x[:9]) + gzip.compress(x[9:]),
    "xz": lambda x: lzma.compress(x, preset=0),
    "one frame": zstandard.compress,
    "frames": frames_of,
    "tiny frames": lambda x: frames_of(x[:5000], 100) + frames_of(x[5000:]),
    "frames with check sums": lambda x: frames_of(x, checked=True),
    "frames of unknown size": lambda x: frames_of(x, sized=False),
    "frames, then a large one": lambda x: frames_of(x[:PIECE]) + frames_of(x[PIECE:], 1 << 30),
    "skippable and empty frames": lambda x: (
        SKIPPABLE + frames_of(x) + zstandard.compress(b"") + SKIPPABLE
    ),
    "a long skippable frame": lambda x: (
        b"\x50\x2a\x4d\x18" + struct.pack("<I", 2 * PIECE) + bytes(2 * PIECE) + frames_of(x)
    ),
}
each_form = pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)


@pytest.fixture(autouse=True)
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobplaces, "PIECE", PIECE)
    monkeypatch.setattr(blobplaces, "_INPUT", PIECE + (PIECE >> 2))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [x.name for x in threading.enumerate() if x.name.startswith("casstore")] == []


class Target:
    """A `Placed` in memory, which remembers what was written where."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.parts: list[tuple[int, int]] = []

    def place(self, offset: int, data: memoryview) -> None:
        assert offset + len(data) <= len(self.data)
        self.data[offset : offset + len(data)] = data
        self.parts.append((offset, len(data)))


class Stored(StoredFiles):
    """Layers in any form, and how many bytes of each were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.records: dict[Digest, LayerRecord] = {}
        self.read_bytes = 0

    def add_layer(self, blob: bytes, data: bytes) -> Member:
        record = LayerRecord(self.add(blob), len(blob), OCI_LAYER, sha256(data), len(data), 0)
        return Member(f"{record.diff_id.hex}.tar", layer=record)

    def open(self, digest: Digest) -> IO[bytes]:
        stored = self

        class Counted(io.FileIO):
            def readinto(self, buffer: WriteableBuffer, /) -> int:
                count = super().readinto(buffer)
                stored.read_bytes += count
                return count

        super().open(digest).close()
        return Counted(self.path(digest))


@pytest.fixture
def blobs(tmp_path: Path) -> Stored:
    return Stored(tmp_path)


def placed(blobs: Stored, *members: Member) -> bytes:
    target = Target(tar_size(members))
    place_tar(target, members, blobs)
    return bytes(target.data)


def streamed(blobs: Stored, *members: Member) -> bytes:
    out = io.BytesIO()
    stream_tar(out, members, blobs)
    return out.getvalue()


@each_form
@pytest.mark.parametrize("size", [0, 700, 60_000, PIECE, len(DATA)])
def test_a_layer_of_any_form_is_placed_as_it_is_streamed(
    blobs: Stored, wrap: Wrap, size: int
) -> None:
    member = blobs.add_layer(wrap(DATA[:size]), DATA[:size])

    assert placed(blobs, member) == streamed(blobs, member)


def test_members_of_all_kinds_are_placed_as_they_are_streamed(blobs: Stored) -> None:
    large, small = frames_of(DATA), noise(100)
    members = [
        Member("manifest.json", b"[]"),
        Member("blobs/"),
        *(blobs.add_layer(wrap(DATA[n:]), DATA[n:]) for n, wrap in enumerate(WRAPS.values())),
        Member("copy", blob=Descriptor(OCI_LAYER, blobs.add(large), len(large))),
        Member("short", blob=Descriptor(OCI_LAYER, blobs.add(small), len(small))),
        Member("empty", b""),
    ]

    assert placed(blobs, *members) == streamed(blobs, *members)


@pytest.mark.parametrize("width", [1, 3])
def test_a_blob_of_frames_is_read_once(blobs: Stored, width: int) -> None:
    blob = frames_of(DATA)
    place = blobplaces.BlobPlace(0, blobs.add(blob), len(blob), len(DATA), plain=False)
    target = Target(len(DATA))

    blobplaces.place_blobs([place], target, blobs, width=width)

    assert target.data == DATA
    assert blobs.read_bytes == len(blob)
    assert max(length for _, length in target.parts) == PIECE


def damaged(blob: bytes) -> Iterator[bytes]:
    """A byte changed in every twelfth of a blob and in its first and last, and other lengths."""
    step = max(len(blob) // 12, 1)
    for at in {0, 4, 5, *range(0, len(blob), step), len(blob) - 1}:
        changed = bytearray(blob)
        changed[at] ^= 0x10
        yield bytes(changed)
    for length in (0, 3, len(blob) // 2, len(blob) - 1):
        yield blob[:length]
    yield blob + b"junk"
    yield blob + zstandard.compress(b"")
    yield blob + blob


@each_form
@pytest.mark.parametrize("size", [700, len(DATA)])
def test_damage_anywhere_in_a_blob_is_told_and_touches_no_other_member(
    blobs: Stored, wrap: Wrap, size: int
) -> None:
    blob, data = wrap(DATA[:size]), DATA[:size]
    members = [blobs.add_layer(blob, data), Member("behind", b"behind")]
    assert members[0].layer is not None
    digest = members[0].layer.digest
    behind = streamed(blobs, *members)[512 + size + -size % 512 :]

    for wrong in damaged(blob):
        blobs.change(digest, wrong)
        target = Target(tar_size(members))
        with pytest.raises(Damaged, match=f"^blob {digest} is damaged: "):
            place_tar(target, members, blobs)
        assert target.data[-len(behind) :] == behind


@pytest.mark.parametrize("size", [700, len(DATA)])
def test_damage_of_a_blob_that_is_copied_is_told(blobs: Stored, size: int) -> None:
    blob = DATA[:size]
    digest = blobs.add(blob)

    for wrong in damaged(blob):
        blobs.change(digest, wrong)
        with pytest.raises(Damaged, match=f"^blob {digest} is damaged: "):
            placed(blobs, Member("copy", blob=Descriptor(OCI_LAYER, digest, size)))


@each_form
@pytest.mark.parametrize("wrong", [-512, -1, 1, 512])
def test_a_layer_of_another_length_than_its_record_says_is_damage(
    blobs: Stored, wrap: Wrap, wrong: int
) -> None:
    member = blobs.add_layer(wrap(DATA), DATA)
    assert member.layer is not None
    member = Member("layer.tar", layer=member.layer._replace(diff_size=len(DATA) + wrong))

    with pytest.raises(Damaged, match="does not hold"):
        placed(blobs, member, Member("behind", b"behind"))


@each_form
def test_a_missing_layer_is_damage(blobs: Stored, wrap: Wrap, tmp_path: Path) -> None:
    first = blobs.add_layer(frames_of(DATA), DATA)
    second = blobs.add_layer(wrap(DATA[1:]), DATA[1:])
    assert second.layer is not None
    (tmp_path / second.layer.digest.hex).unlink()

    with pytest.raises(Damaged, match="is missing"):
        placed(blobs, first, second)


@each_form
def test_what_goes_wrong_in_a_thread_is_told_and_ends_the_others(blobs: Stored, wrap: Wrap) -> None:
    class Full(Target):
        def place(self, offset: int, data: memoryview) -> None:
            if offset > len(self.data) // 3:
                raise OSError(28, "full")
            super().place(offset, data)

    members = [blobs.add_layer(wrap(DATA), DATA), blobs.add_layer(wrap(DATA * 3), DATA * 3)]

    with pytest.raises(OSError, match="full"):
        place_tar(Full(tar_size(members)), members, blobs)


def test_pieces_lie_in_memory_as_in_the_file_so_that_no_copy_is_needed(blobs: Stored) -> None:
    import ctypes
    import mmap

    class Aligned(Target):
        def place(self, offset: int, data: memoryview) -> None:
            if len(data) > blobplaces.SMALL:
                address = ctypes.addressof(ctypes.c_char.from_buffer(data))
                assert (address - offset) % mmap.PAGESIZE == 0
            super().place(offset, data)

    members = [blobs.add_layer(wrap(DATA), DATA) for wrap in (frames_of, gzip.compress, bytes)]
    target = Aligned(tar_size(members))

    place_tar(target, members, blobs)

    assert max(length for _, length in target.parts) > blobplaces.SMALL
