"""The calls of a real command that change files, recorded with their data.

strace prints every call with all its bytes in hex; here its lines become operations on inodes and
directory entries. `Recorder.check` compares the outcome of all operations with the files that the
command has really left: a call that is not understood shows there.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CALLS = (
    "open,openat,creat,lseek,write,writev,pwrite64,ftruncate,truncate,fallocate,rename,renameat,"
    "renameat2,link,linkat,unlink,unlinkat,symlink,symlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,"
    "copy_file_range,sendfile"
)
# SQLite's shared memory is built anew from the log; the text in a lock file is for people.
DESCRIPTOR = re.compile(r"/proc/(?:\d+|self)/fd/(\d+)")
UNIMPORTANT = ("-shm", "casstore.lock")


class Write(NamedTuple):
    """Bytes written into a file."""

    inode: int
    offset: int
    data: bytes


class Resize(NamedTuple):
    """A file cut or grown to a size."""

    inode: int
    size: int


class Entry(NamedTuple):
    """A name in a directory that now means an inode, or nothing."""

    directory: int
    name: str
    inode: int | None
    half: bool = False  # the old name of a rename: it does not go before the new one is there


class Sync(NamedTuple):
    """Data of a file, or names in a directory, made durable."""

    inode: int


class Exit(NamedTuple):
    """A command has ended."""

    status: int


Operation = Write | Resize | Entry | Sync | Exit


class Files(NamedTuple):
    """The files at the beginning: content of files, entries of directories, by inode."""

    content: dict[int, bytes]
    entries: dict[int, dict[str, int]]


class Recorder:
    """Commands run under strace on the files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 1
        self._entries: dict[int, dict[str, int]] = {}
        self._content: dict[int, bytearray] = {}
        self._offsets: dict[tuple[str, str], int] = {}
        self._appending: set[tuple[str, str]] = set()  # descriptors open with O_APPEND
        self._unnamed: dict[str, int] = {}  # descriptor -> inode of a file made with O_TMPFILE
        self._linked: dict[int, int] = {}  # the real inode of a file with several names -> ours
        self._read(folder, 0)
        self.start = Files(
            {inode: bytes(data) for inode, data in self._content.items()},
            {inode: dict(names) for inode, names in self._entries.items()},
        )
        self.operations: list[Operation] = []

    def _read(self, path: Path, inode: int) -> None:
        names = self._entries.setdefault(inode, {})
        for child in sorted(path.iterdir()):
            status = child.lstat()
            several = child.is_file() and status.st_nlink > 1
            own = self._linked.get(status.st_ino) if several else None
            names[child.name] = own = self._number() if own is None else own
            if several:
                self._linked[status.st_ino] = own
            if child.is_dir():
                self._read(child, own)
            else:
                self._content[own] = bytearray(child.read_bytes())

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def run(
        self, command: Sequence[str], environment: dict[str, str], *inject: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and add its calls."""
        log = self._folder.with_name(self._folder.name + ".trace")
        options = ["-f", "-y", "-xx", "-s", str(1 << 24), "-qq", "-e", f"trace={CALLS}"]
        options += [f"--inject={rule}" for rule in inject]
        done = subprocess.run(
            ["strace", *options, "-o", str(log), *command],
            capture_output=True, text=True, check=False, env=environment, cwd=self._folder,
        )  # fmt: skip
        self._offsets.clear()
        self._unnamed.clear()
        for call, arguments, result in _calls(log):
            self._call(call, arguments, result)
        log.unlink()
        self.operations.append(Exit(done.returncode))
        return done

    def directories(self) -> frozenset[int]:
        """The inodes that are directories."""
        return frozenset(self._entries)

    def check(self) -> str:
        """How the recorded outcome differs from the real one; an empty text if it does not."""
        return self._compare(self._folder, 0)

    def _compare(self, path: Path, inode: int) -> str:
        there = {child.name for child in path.iterdir()}
        names = self._entries[inode]
        if there != names.keys():
            return f"{path}: {sorted(there ^ names.keys())}"
        for name, own in names.items():
            child = path / name
            if child.is_dir():
                if wrong := self._compare(child, own):
                    return wrong
            elif not name.endswith(UNIMPORTANT) and child.read_bytes() != self._content[own]:
                return f"{child} has another content"
        return ""

    # From a call to operations

    def _call(self, call: str, arguments: list[str], result: int) -> None:
        if call in ("open", "openat", "creat"):
            self._open(call, arguments, result)
        elif call in ("write", "writev", "pwrite64", "lseek", "ftruncate", "fallocate"):
            self._data(call, arguments, result)
        elif call in ("fsync", "fdatasync"):
            inode = self._inode_of(arguments[0])
            if inode is not None:
                self.operations.append(Sync(inode))
        elif call in ("unlink", "unlinkat", "rmdir"):
            self._name(_paths(arguments)[0], None)
        elif call in ("mkdir", "mkdirat"):
            inode = self._number()
            self._entries[inode] = {}
            self._name(_paths(arguments)[0], inode)
        elif call in ("link", "linkat"):
            old, new = _paths(arguments)
            descriptor = DESCRIPTOR.fullmatch(old)
            self._name(new, self._unnamed[descriptor[1]] if descriptor else self._find(old))
        elif call in ("rename", "renameat", "renameat2"):
            old, new = _paths(arguments)
            inode = self._find(old)
            self._name(new, inode)
            self._name(old, None, half=True)
        elif any(self._inside(path) for path in _paths(arguments)):
            raise NotImplementedError(f"{call}({', '.join(arguments)[:200]})")

    def _open(self, call: str, arguments: list[str], result: int) -> None:
        path = _paths(arguments)[0]
        self._unnamed.pop(str(result), None)
        if "O_TMPFILE" in arguments[-2] and (path == str(self._folder) or self._inside(path)):
            own = self._unnamed[str(result)] = self._number()
            self._content[own] = bytearray()
            self._offsets[str(result), ""] = 0
            return
        again = DESCRIPTOR.fullmatch(path)
        if again and again[1] in self._unnamed:
            self._unnamed[str(result)] = self._unnamed[again[1]]
            return
        if not self._inside(path):
            return
        flags = "O_CREAT|O_TRUNC" if call == "creat" else arguments[2 if call == "openat" else 1]
        if "O_WRONLY" in flags or "O_RDWR" in flags:
            self._offsets[str(result), path] = 0
            self._appending.discard((str(result), path))
            if "O_APPEND" in flags:
                self._appending.add((str(result), path))
        inode = self._find(path)
        if inode is None and "O_CREAT" in flags:
            inode = self._number()
            self._content[inode] = bytearray()
            self._name(path, inode)
        elif inode is not None and "O_TRUNC" in flags:
            self._resize(inode, 0)

    def _data(self, call: str, arguments: list[str], result: int) -> None:
        number, path = _descriptor(arguments[0])
        unnamed = self._unnamed.get(number) if not path else None
        if unnamed is None and not self._inside(path):
            return
        inode = self._find(path) if unnamed is None else unnamed
        if inode is None or inode not in self._content:
            return  # it has no name any more, and so no future
        if call == "lseek":
            self._offsets[number, path] = result
        elif call == "ftruncate":
            self._resize(inode, int(arguments[1]))
        elif call == "fallocate":
            end = int(arguments[2]) + int(arguments[3])
            self._resize(inode, max(end, len(self._content[inode])))
        elif call == "pwrite64":
            self._write(inode, int(arguments[3]), _bytes(arguments[1])[:result])
        else:
            offset = self._offset(number, path)
            if (number, path) in self._appending:
                offset = len(self._content[inode])
            data = b"".join(map(_bytes, re.findall(r'"[^"]*"', ",".join(arguments[1:]))))
            self._write(inode, offset, data[:result])
            self._offsets[number, path] = offset + result

    def _offset(self, number: str, path: str) -> int:
        if (number, path) not in self._offsets:  # renamed since it was opened
            moved = [key for key in self._offsets if key[0] == number]
            return self._offsets[moved[-1]]
        return self._offsets[number, path]

    def _write(self, inode: int, offset: int, data: bytes) -> None:
        content = self._content[inode]
        apply_write(content, offset, data)
        self.operations.append(Write(inode, offset, data))

    def _resize(self, inode: int, size: int) -> None:
        apply_resize(self._content[inode], size)
        self.operations.append(Resize(inode, size))

    def _name(self, path: str, inode: int | None, *, half: bool = False) -> None:
        if not self._inside(path):
            return
        folder, name = os.path.split(path)
        directory = self._find(folder)
        assert directory is not None, path
        if inode is None:
            del self._entries[directory][name]
        else:
            self._entries[directory][name] = inode
        self.operations.append(Entry(directory, name, inode, half))

    def _inside(self, path: str) -> bool:
        return path.startswith(f"{self._folder}/")

    def _inode_of(self, argument: str) -> int | None:
        number, path = _descriptor(argument)
        if not path and number in self._unnamed:
            return self._unnamed[number]
        known = path == str(self._folder) or self._inside(path)
        return self._find(path) if known else None

    def _find(self, path: str) -> int | None:
        inode = 0
        for name in os.path.relpath(path, self._folder).split("/"):
            if name == ".":
                continue
            found = self._entries.get(inode, {}).get(name)
            if found is None:
                return None
            inode = found
        return inode


def apply_write(content: bytearray, offset: int, data: bytes) -> None:
    """What a write does to a file."""
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def apply_resize(content: bytearray, size: int) -> None:
    """What a truncate does to a file."""
    del content[size:]
    content.extend(bytes(size - len(content)))


def _calls(log: Path) -> Iterator[tuple[str, list[str], int]]:
    """The calls in a log that succeeded: name, arguments, result."""
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        process, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            begun[process] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
            text = begun.pop(process) + text[resumed.end() :]
        if found := re.fullmatch(r"(\w+)\((.*)\)\s*= (\d+)(?:<.*>(?:\(deleted\))?)?", text):
            yield found[1], _split(found[2]), int(found[3])


def _split(arguments: str) -> list[str]:
    """Arguments at the commas; strings are in hex, so that no comma is in one."""
    return [part.strip() for part in arguments.split(",")]


def _bytes(quoted: str) -> bytes:
    return bytes.fromhex(quoted.strip('"').replace("\\x", ""))


def _paths(arguments: list[str]) -> list[str]:
    """The paths among the arguments, each made absolute by the directory before it."""
    found = []
    base = ""
    for argument in arguments:
        if argument.startswith('"'):
            found.append(os.path.normpath(os.path.join(base, os.fsdecode(_bytes(argument)))))
        elif argument.endswith(">"):
            base = _descriptor(argument)[1]
    return found


def _descriptor(argument: str) -> tuple[str, str]:
    number, _, path = argument.rstrip(">").partition("<")
    if path.endswith("(deleted)"):
        return number, ""
    return number, os.fsdecode(_bytes(path)) if path.startswith("\\x") else path
