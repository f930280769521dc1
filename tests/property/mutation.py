"""Inputs that are nearly right: real archives, stores and names with something changed in them.

Mutations know the form of what they change, so that they come past the first checks: headers of a
tar keep a right checksum, a JSON document stays JSON, a descriptor stays a descriptor. Each
change is drawn from a `Random`; `Choices` is one that coverage can guide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

BLOCK = 512
LONGEST = 120_000  # characters of one word: Linux takes no more than 128 KiB
NASTY: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 63, 1e400, "", "\0", "..", "/etc/passwd", "../../x", "a" * 5000, [], {},
    [[]], {"a": {}}, "sha256:" + "0" * 64, "sha256:../../x", "\ud800", "é", {"digest": 1}, [None],
)  # fmt: skip
NUMBERS = (b"00000000000\0", b"77777777777\0", b"-0000000001\0", b"\x80" + bytes(11),
           b"\xff" * 12, b"           \0", b"00000001000\0")  # fmt: skip
FIELDS = {"name": (0, 100), "mode": (100, 8), "size": (124, 12), "type": (156, 1),
          "link": (157, 100), "magic": (257, 8), "prefix": (345, 155)}  # fmt: skip
# Words of documents, to be put where others stand: a name that is known gets further than noise.
KEYS = (
    "urls", "data", "platform", "subject", "artifactType", "manifests", "layers", "config", "size",
    "digest", "mediaType", "annotations", "history", "rootfs", "diff_ids", "schemaVersion", "os",
    "container_config", "created", "RepoTags", "Parent", "LayerSources", "Layers", "Config",
)  # fmt: skip
VALUES = (
    "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "application/vnd.oci.empty.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar", "app:1", "a/b@sha256:" + "0" * 64,
    "2020-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "layers", "linux",
    2, 1 << 31, (1 << 63) - 1, 1 << 64, -(1 << 63), 1e22, 0.5, False, {"a": "b"}, ["a", "a"],
)  # fmt: skip
JSON_PIECES = (
    b" " * 4096, b"\xef\xbb\xbf", b"[" * 200, b'"a":1,', b"NaN", b"\\u0000", b"9" * 5000, b"1e999",
    b"//", b"\xff", b"\\ud800",
)  # fmt: skip
WORDS = (b"/etc/passwd", b"../x", b"manifest.json", b"index.json", b"oci-layout", b"", b"a" * 100)


class Choices(Random):
    """Chance out of bytes: what a guide changes in them is changed in the input.

    When they are used up it goes on by itself, always in the same way.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        super().__init__(0)

    def getrandbits(self, bits: int, /) -> int:
        """The next bits, in whole bytes."""
        size = -(-bits // 8)
        taken = self._data[self._at : self._at + size]
        self._at += size
        if len(taken) < size:
            return super().getrandbits(bits)
        return int.from_bytes(taken) >> (8 * size - bits)

    def random(self) -> float:
        """In steps of 1/65536, which is enough to choose."""
        return self.getrandbits(16) / (1 << 16)


def mutated(data: bytes, chance: Random) -> bytes:
    """An archive with one to three changes."""
    for _ in range(chance.randint(1, 3)):
        data = chance.choice((bitten, bitten, _header, _header, _document, _document))(data, chance)
    return data


def bitten(data: bytes, chance: Random) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    size = chance.choice((1, 1, 4, 512, 1024))
    return chance.choice(
        (
            lambda: data[:at] + chance.randbytes(size) + data[at + size :],
            lambda: data[:at] + data[at + size :],
            lambda: data[:at] + chance.randbytes(size) + data[at:],
            lambda: data[:at],
            lambda: data[:at] + data[at : at + 2048] + data[at:],
            lambda: data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :],
        )
    )()


def _headers(data: bytes) -> list[int]:
    return [
        at for at in range(0, len(data) - BLOCK, BLOCK) if data[at + 257 : at + 262] == b"ustar"
    ]


def _header(data: bytes, chance: Random) -> bytes:
    """A field of a tar header, with the checksum made right."""
    headers = _headers(data)
    if not headers:
        return bitten(data, chance)
    at = chance.choice(headers)
    block = bytearray(data[at : at + BLOCK])
    start, length = FIELDS[chance.choice(list(FIELDS))]
    if length == 1:
        block[start] = chance.choice(b"0123456789gxLKSVMDN\0\xff")
    elif length == 12:
        block[start : start + 12] = chance.choice(NUMBERS)
    else:
        block[start : start + length] = chance.choice(WORDS)[:length].ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + BLOCK :]


def _document(data: bytes, chance: Random) -> bytes:
    """A JSON document in a tar with one value exchanged, and its size made right."""
    found = []
    for at in _headers(data):
        try:
            size = int(data[at + 124 : at + 135].rstrip(b"\0 ") or b"0", 8)
            document = json.loads(data[at + BLOCK : at + BLOCK + size])
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict | list) and document:
            found.append((at, size, document))
    if not found:
        return bitten(data, chance)
    at, size, document = chance.choice(found)
    content = json.dumps(exchanged(document, chance)).encode("utf-8", "surrogatepass")
    end = at + BLOCK + -(-size // BLOCK) * BLOCK
    padded = content + bytes(-len(content) % BLOCK)
    block = bytearray(data[at : at + BLOCK])
    block[124:136] = b"%011o\0" % len(content)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + padded + data[end:]


def exchanged(document: Any, chance: Random) -> Any:
    """A document with one value somewhere in it exchanged, left out or doubled."""
    if isinstance(document, dict) and document and chance.random() < 0.85:
        key = chance.choice(list(document))
        if chance.random() < 0.1:
            return {name: value for name, value in document.items() if name != key}
        return {**document, key: exchanged(document[key], chance)}
    if isinstance(document, list) and document and chance.random() < 0.85:
        at = chance.randrange(len(document))
        if chance.random() < 0.2:
            return [*document, document[at]]
        return [*document[:at], exchanged(document[at], chance), *document[at + 1 :]]
    return chance.choice(NASTY if chance.random() < 0.5 else VALUES)


def document_of(data: bytes) -> Any:
    """The object or list that is in a JSON document, None for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and value else None


def reworded(data: bytes, chance: Random, others: Sequence[Any] = ()) -> bytes:
    """A JSON document with something else in it, mostly JSON still.

    `others` are documents that it may get parts of.
    """
    document = document_of(data)
    if document is None:
        return bitten(data, chance)
    how = chance.random()
    if how < 0.6:
        document = exchanged(document, chance)
    elif how < 0.75:
        document = _grafted(document, chance.choice((document, *others)), chance)
    elif how < 0.9 and isinstance(document, dict):
        document = {**document, chance.choice(KEYS): chance.choice((*NASTY, *VALUES))}
    text = json.dumps(document).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(text))
        piece = text if chance.random() < 0.1 else chance.choice(JSON_PIECES)
        text = text[:at] + piece + text[at:]
    return text


def _grafted(document: Any, donor: Any, chance: Random) -> Any:
    """A document with a part of another in the place of one of its own."""
    part = donor
    while isinstance(part, dict | list) and part and chance.random() < 0.8:
        part = chance.choice(list(part.values()) if isinstance(part, dict) else part)
    at = document
    while isinstance(at, dict | list) and at:
        key = chance.choice(list(at)) if isinstance(at, dict) else chance.randrange(len(at))
        if chance.random() < 0.5:
            at[key] = json.loads(json.dumps(part))
            break
        at = at[key]
    return document


def garbled(examples: Sequence[str], tokens: Sequence[str], chance: Random) -> str:
    """One of the examples, with some tokens put in, and parts left out, doubled or exchanged."""
    text = chance.choice(examples)
    for _ in range(chance.randint(0, 4)):
        begin, end = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        piece = chance.choice(
            (chance.choice(tokens), chance.choice(tokens), "", text[begin:end] * 2,
             text[begin:end] * 200, chance.choice(examples))
        )  # fmt: skip
        if chance.random() < 0.5:
            end = begin
        text = (text[:begin] + piece + text[end:])[:LONGEST]
    return text
