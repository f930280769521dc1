"""Inputs that are nearly right: real archives, stores and names with something changed in them.

Mutations know the form of what they change, so that they come past the first checks: headers of a
tar keep a right checksum, a JSON document stays JSON, a descriptor stays a descriptor. There is no
coverage to guide them.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

from casstore import Store
from casstore.cli.main import main

FIXTURES = Path(__file__).parents[2] / "fixtures"
SEEDS = sorted(
    path
    for pattern in ("transcripts/archives/*.tar", "images/*/*.tar")
    for path in FIXTURES.glob(pattern)
    if path.stat().st_size < 200_000
)
SECONDS = 20.0
RESIDENT_MIB = 300
BLOCK = 512
NASTY: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 63, 1e400, "", "\0", "..", "/etc/passwd", "../../x", "a" * 5000, [], {},
    [[]], {"a": {}}, "sha256:" + "0" * 64, "sha256:../../x", "\ud800", "é", {"digest": 1}, [None],
)  # fmt: skip
NUMBERS = (b"00000000000\0", b"77777777777\0", b"-0000000001\0", b"\x80" + bytes(11),
           b"\xff" * 12, b"           \0", b"00000001000\0")  # fmt: skip
FIELDS = {"name": (0, 100), "mode": (100, 8), "size": (124, 12), "type": (156, 1),
          "link": (157, 100), "magic": (257, 8), "prefix": (345, 155)}  # fmt: skip
WORDS = (b"/etc/passwd", b"../x", b"manifest.json", b"index.json", b"oci-layout", b"", b"a" * 100)


def mutated(data: bytes, chance: Random) -> bytes:
    """An archive with one to three changes."""
    for _ in range(chance.randint(1, 3)):
        data = chance.choice((_bytes, _bytes, _header, _header, _document, _document))(data, chance)
    return data


def _bytes(data: bytes, chance: Random) -> bytes:
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
        return _bytes(data, chance)
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
        return _bytes(data, chance)
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
    return chance.choice(NASTY)


class Victim:
    """A store that gets such inputs, and what is wrong with how it takes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._good = folder / "good"
        self._store = folder / "store"
        with Store(str(self._good)) as store:
            store.load(str(FIXTURES / "transcripts" / "archives" / "chain.tar"))
        self._seeds = [path.read_bytes() for path in SEEDS]
        self._fresh()

    def _fresh(self) -> None:
        shutil.rmtree(self._store, ignore_errors=True)
        shutil.copytree(self._good, self._store)

    def problem(self, chance: Random) -> str:
        """Try one input; an empty text if it was taken, or refused, as it must be."""
        return chance.choice((self.archive, self.archive, self.archive, self.name, self.damage))(
            chance
        )

    def archive(self, chance: Random) -> str:
        """A changed archive is loaded, or refused without a change."""
        path = self._folder / "input.tar"
        path.write_bytes(mutated(chance.choice(self._seeds), chance))
        before = self._files()
        status, wrong = self._run(["load", "-i", str(path)])
        after = self._files()
        if status == 0:
            self._fresh()
        elif before != after:
            self._fresh()
            wrong = wrong or f"refused with {status}, and changed {sorted(before ^ after)}"
        stray = {entry.name for entry in self._folder.iterdir()} - {"good", "store", "input.tar"}
        return wrong or (f"wrote {stray}" if stray else "")

    def name(self, chance: Random) -> str:
        """A strange name is refused, or it is one."""
        letters = "aA0._-/:@*?[]\\ \n\x1bé%sha256:" + "f" * 5
        text = "".join(chance.choice(letters) for _ in range(chance.randint(0, 90)))
        text = chance.choice((text, "sha256:" + text, "a" * chance.choice((64, 128, 256, 5000))))
        words = chance.choice(
            ("tag app:1", "inspect", "rmi --dry-run", "rmi --glob --dry-run", "images", "save")
        )
        command = [*words.split(), "--", text]
        status, wrong = self._run(command)
        if status == 0 and command[0] == "tag":
            self._fresh()
        return wrong

    def damage(self, chance: Random) -> str:
        """A store whose index.json or database was changed: every command says what it can."""
        path = self._store / chance.choice(("index.json", "casstore.db", "oci-layout"))
        data = path.read_bytes()
        if path.name == "index.json" and chance.random() < 0.7:
            changed = json.dumps(exchanged(json.loads(data), chance)).encode("utf-8", "replace")
        else:
            changed = _bytes(data, chance)
        path.write_bytes(changed)
        try:
            for command in (["images", "-a"], ["fsck"], ["rmi", "-f", "nosuch:1"], ["gc"]):
                _, wrong = self._run(command)
                if wrong:
                    return f"after a change of {path.name}: {wrong}"
        finally:
            self._fresh()
        return ""

    def _run(self, words: list[str]) -> tuple[int, str]:
        """Run a command: its status, and what is wrong with how it ended."""
        said, begin = io.StringIO(), time.monotonic()
        os.environ["CASSTORE_DEBUG"] = "1"
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        with redirect_stdout(out), redirect_stderr(said):
            status = main(["--store", str(self._store), *words])
        text = said.getvalue()
        took = time.monotonic() - begin
        shown = [word[:60] for word in words]
        if status == 70 or "Traceback" in text:
            return status, f"{shown}: {text[-700:]}"
        if status not in (0, 1, 2, 10, 12):
            return status, f"{shown}: exit status {status}: {text[:300]}"
        if status and not text and words[0] != "fsck":
            return status, f"{shown}: exit status {status} without a word"
        if any(ord(c) < 32 and c != "\n" for c in text):
            return status, f"{shown}: control characters: {text[:300]!r}"
        if took > SECONDS:
            return status, f"{shown}: took {took:.0f} s"
        return status, ""

    def _files(self) -> set[tuple[str, int]]:
        return {
            (str(path.relative_to(self._store)), path.stat().st_size)
            for path in self._store.rglob("*")
            if path.is_file() and path.name != "casstore.lock" and path.suffix != ".db"
        }


def resident() -> int:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
