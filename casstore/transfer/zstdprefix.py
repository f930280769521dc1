"""zstd frames that continue other bytes: what is in the prefix need not be in the frame.

Every zstd since 1.3 reads them, with the prefix for a raw dictionary. To make good ones takes the
prefix mode of libzstd with long-distance matching, which `zstandard` does not offer: with a raw
dictionary it looks back a few MiB at most. Python 3.14 has it, and `backports.zstd` for others.
"""

from __future__ import annotations

from casstore.errors import Refused, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Buffer = bytes | bytearray | memoryview
    Compress = Callable[[Buffer, Buffer], bytes]  # content, prefix

LEVEL = 3
WINDOW_LOG = 27  # 128 MiB, which decoders accept without being told to
LEAST = 8  # bytes of a prefix, below which libzstd takes none


def prefix_compressor() -> Compress:
    """What compresses behind a prefix, with a check sum and the content's size in the frame.

    Raises:
        Unsupported: there is no library that can.
    """
    zstd = _library()
    option = zstd.CompressionParameter
    options = {
        option.compression_level: LEVEL,
        option.window_log: WINDOW_LOG,
        option.enable_long_distance_matching: 1,
        option.checksum_flag: 1,
    }

    def compress(content: Buffer, prefix: Buffer) -> bytes:
        before = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= LEAST else None
        data: bytes = zstd.compress(content, options=options, zstd_dict=before)
        return data

    return compress


def _library() -> ModuleType:
    from importlib import import_module

    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise Unsupported(
        "layers can be saved as deltas with Python 3.14, or with the package backports.zstd: "
        "install casstore[delta]"
    )


def decompress_behind(prefix: Buffer, frame: Buffer, size: int) -> bytes:
    """The content of a frame, which has to be of `size` bytes.

    Raises:
        Refused: it is corrupt, or of another size.
    """
    import zstandard

    before = None
    if len(prefix) >= LEAST:
        raw = zstandard.DICT_TYPE_RAWCONTENT
        before = zstandard.ZstdCompressionDict(prefix, dict_type=raw)
    try:
        told = zstandard.get_frame_parameters(frame).content_size
        if told != size:
            raise Refused(f"a frame holds {told} bytes, expected {size}")
        data = zstandard.ZstdDecompressor(dict_data=before).decompress(frame)
    except (zstandard.ZstdError, MemoryError) as error:
        raise Refused(f"corrupt zstd data: {error}") from None
    if len(data) != size:
        raise Refused(f"a frame holds {len(data)} bytes, expected {size}")
    return data
