"""Archives as named members: a tar (plain, compressed, or from a pipe) or a directory.

A member's name is a key, never a path to open: nothing is extracted. A tar in a regular file is
read where it lies; one that is compressed, or comes through a pipe, is first written plain to an
unnamed file, so that members can be read in any order with bounded memory. A directory is read
without following a link that leads out of it, and without waiting for a fifo.
"""

from __future__ import annotations

import io
import os
import stat

from casstore.errors import NotFound, Refused, printable, quote
from casstore.model.digest import is_hex64
from casstore.startup.typed import Protocol, cast
from casstore.transfer import tarstream
from casstore.transfer.counted import CountedReader
from casstore.transfer.directoryarchive import DirectoryArchive
from casstore.transfer.fullreads import remaining
from casstore.transfer.layerstream import HEAD_SIZE, NONE, compression_of, open_uncompressed
from casstore.transfer.membername import cannot_open
from casstore.transfer.outputlimit import Limit, archive_limit
from casstore.transfer.tararchive import TarArchive
from casstore.transfer.tarstream import PassingBytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import IO, Self

    from casstore.progress import Progress, Task

STDIN = "-"
READING, LOADING = "Reading", "Loading"
MAX_TRAILER = 64 << 20  # bytes behind the end of the tar

_COPY = 1 << 20
_EXTENSIONS = (".gz", ".bz2", ".xz", ".zst", ".tgz", ".tar", ".oci")


class Spool(Protocol):
    """Where an archive is written down plain, if it cannot be read where it is."""

    max_layer_size: int | None  # bytes that a layer may have uncompressed; None: the usual limit

    def scratch(self) -> IO[bytes]:
        """An unnamed temporary file, gone when closed."""


class Archive(Protocol):
    """Members by name. Names are relative, with `/`, without `.` and `..`."""

    label: str  # what messages call it
    stem: str | None  # its base name without extensions; None for a stream

    @property
    def names(self) -> Collection[str]:
        """The names of all members, directories among them."""

    def has(self, name: str) -> bool:
        """Whether there is a regular file of this name, or a link to one."""

    def size(self, name: str) -> int:
        """Length of the file. Raises as `open`."""

    def read(self, name: str, limit: int) -> bytes:
        """The whole file. Raises as `open`, and Refused where it is longer than `limit`."""

    def open(self, name: str) -> IO[bytes]:
        """A reader of the file, which may be read while others are.

        Raises:
            Refused: `open NAME: no such file or directory`, a link that leads out of the archive
                or nowhere, a device, a fifo, a directory.
        """

    def path(self, name: str) -> str | None:
        """Path of the file on disk, where it is one by itself."""

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


def open_archive(
    where: str | os.PathLike[str] | IO[bytes], spool: Spool, progress: Progress | None = None
) -> Archive:
    """Open what `where` names: a file, a directory, `-` for standard input, or an open file.

    With `progress`, what is read is counted, as a task `Loading` (and before it `Reading`, of what
    has to be written down plain first) of as many bytes as there are, where that is known.

    Raises:
        NotFound: there is nothing.
        Refused: not a tar in any compression that is known; truncated, corrupt, over a limit.
        StorageError: it cannot be read.
    """
    if not isinstance(where, (str, os.PathLike)):
        name = getattr(where, "name", None)
        label = name if isinstance(name, str) else "archive"
        return _from_stream(where, label, None, spool, progress)
    path = os.fspath(where)
    if path == STDIN:
        return _standard_input(spool, progress)
    try:
        if os.path.isdir(path):
            return DirectoryArchive(path, _directory_task(path, progress))
        file = open(path, "rb", buffering=0)  # noqa: SIM115 -- the archive closes it
    except OSError as error:
        raise cannot_open(path, error) from None
    except ValueError:  # a NUL in the path
        raise NotFound(f"open {printable(path)}: no such file or directory") from None
    try:
        archive = _from_stream(cast("IO[bytes]", file), path, _stem(path), spool, progress)
    except BaseException:
        file.close()
        raise
    archive.owned = (file, *archive.owned)
    return archive


def _directory_task(path: str, progress: Progress | None) -> Task | None:
    """A task for the files that are called by digests, which are nearly all of a directory."""
    if progress is None:
        return None
    total = 0
    for below in (os.path.join("blobs", "sha256"), ""):
        try:
            with os.scandir(os.path.join(path, below)) as entries:
                blobs = [one for one in entries if is_hex64(one.name) and one.is_file()]
                total += sum(one.stat().st_size for one in blobs)
        except OSError:  # whoever reads it says what is wrong
            pass
    return _loading(progress, total or None)


def _loading(progress: Progress | None, total: int | None) -> Task | None:
    return None if progress is None else progress.task(LOADING, total)


def _standard_input(spool: Spool, progress: Progress | None) -> Archive:
    try:
        file = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 -- it stays open
    except OSError as error:
        raise cannot_open("standard input", error) from None
    return _from_stream(cast("IO[bytes]", file), "standard input", None, spool, progress)


def _from_stream(
    file: IO[bytes], label: str, stem: str | None, spool: Spool, progress: Progress | None
) -> TarArchive:
    base = _start(file)
    length = None if base is None else remaining(file, 0)
    if base is not None:
        head = file.read(HEAD_SIZE)
        file.seek(base)
        if not head:
            raise Refused(f"{quote(label)} is empty")
        if compression_of(head) == NONE:
            return TarArchive(file, label, stem, base, _loading(progress, length))
    scratch, limit = spool.scratch(), archive_limit(spool.max_layer_size)
    try:
        if progress is None:
            _spool(file, scratch, limit)
        else:
            reading = progress.task(READING, length)
            _spool(cast("IO[bytes]", CountedReader(file, reading)), scratch, limit)
            reading.finish()
        task = _loading(progress, remaining(scratch, 0))
        archive = TarArchive(scratch, label, stem, 0, task)
    except BaseException:
        scratch.close()
        raise
    archive.owned = (scratch,)
    return archive


def _start(file: IO[bytes]) -> int | None:
    """Where a file that can be read in any order stands; None for anything else."""
    descriptor = tarstream.descriptor_of(file)
    if descriptor is None:
        return file.tell() if isinstance(file, io.BytesIO) else None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return None
    return file.tell()


def _spool(file: IO[bytes], scratch: IO[bytes], limit: Limit) -> None:
    """Write the plain tar in `file` to a scratch file.

    The walk over its headers goes along, so that what is no tar, or has no end, is refused
    before it has filled the disk.
    """
    plain = open_uncompressed(cast("IO[bytes]", _Borrowed(file)), limit=limit, padded=True)
    tee = _Tee(plain, scratch)
    for _ in tarstream.members(PassingBytes(cast("IO[bytes]", tee))):
        pass
    _drain(plain)  # check sums come last; and whoever writes the pipe shall be able to finish
    tee.finish()
    scratch.seek(0)


def _drain(stream: IO[bytes]) -> None:
    left = MAX_TRAILER
    while data := stream.read(_COPY):
        left -= len(data)
        if left < 0:
            raise Refused("what follows the end of the archive exceeds the limit")


class _Borrowed:
    """A stream of the caller's, which closing the decompressor shall not close."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.read = stream.read

    def close(self) -> None:
        pass


class _Tee:
    """A reader that writes down what it reads; zeros are left out, which takes no space."""

    def __init__(self, source: IO[bytes], copy: IO[bytes]) -> None:
        self._source = source
        self._copy = copy
        self._size = 0
        self._zeros = bytes(_COPY)

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        rest = memoryview(data)
        self._size += len(data)
        if data[:1] == b"\0" and data == self._zeros[: len(data)]:
            self._copy.seek(self._size)
            return data
        while rest:
            rest = rest[self._copy.write(rest) :]
        return data

    def finish(self) -> None:
        """Make the copy as long as what was read, also where it ends with zeros."""
        self._copy.flush()
        self._copy.truncate(self._size)


def _stem(path: str) -> str:
    stem = os.path.basename(path)
    while True:
        shorter = next((stem[: -len(e)] for e in _EXTENSIONS if stem.lower().endswith(e)), stem)
        if shorter == stem or not shorter:
            return stem
        stem = shorter
