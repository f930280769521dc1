"""An OCI layout that blobs are added to, whoever else has written to it.

A blob appears whole, verified and durable, or not at all; then the list of images is replaced by
one that has what others wrote, and the new name. So at each moment everybody can read the layout,
and what a copy that was stopped has brought stays for the next one, which skips it.

What is being written lies in a directory of its own, which is locked for as long as its process
lives; one that nobody locks is removed by the next copy. The list is changed under a lock on the
layout's directory, where the file system has such locks, so that copies at the same time lose no
names. Other tools know no lock: as among themselves, the last one wins.
"""

from __future__ import annotations

import os
import stat

from casstore.errors import Refused, quote
from casstore.files import durable
from casstore.model.digest import Digest, sha256
from casstore.model.document import MAX_DOCUMENT, MAX_INDEX_JSON
from casstore.model.manifest import INDEX_JSON, OCI_LAYOUT, parse_index_json
from casstore.model.treechecks import check_digest, check_size
from casstore.startup import allocate_lock
from casstore.transfer.directoryarchive import DirectoryArchive
from casstore.transfer.layoutlist import (
    BLOBS,
    EMPTY,
    LAYOUT,
    check_layout_version,
    encoded,
    is_listed,
    with_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any, Self

    from casstore.errors import StorageError
    from casstore.model.descriptor import Descriptor
    from casstore.model.manifest import Index

_DATABASE = "casstore.db"  # a store is a layout, and more
_STAGING = ".casstore-copy-"
_PIECE = 256 << 10
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LayoutSink:
    """A layout directory that something is copied to; a context manager.

    `has` and `document` may be asked before it is entered, which makes it where it is not there.
    """

    def __init__(self, path: str) -> None:
        """Raises Refused: `path` is neither a layout nor an empty directory."""
        self._shown, self._path = path, os.path.realpath(path)
        self._blobs = os.path.join(self._path, BLOBS)
        self._staging, self._descriptor = "", -1
        self._made: list[str] = []  # by this copy, in order
        self._guard = allocate_lock()
        self._ready: list[tuple[str, str]] = []  # verified, not flushed: path, name
        self._count, self._named = 0, 0
        self._check()

    def _check(self) -> None:
        try:
            names = [name for name in os.listdir(self._path) if not _is_begun(name)]
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise self._refusal() from None
        if _DATABASE in names:
            raise Refused(
                f"{quote(self._shown)} is a store of casstore: copy to a name in it, with --store"
            )
        if OCI_LAYOUT in names:
            check_layout_version(DirectoryArchive(self._path))
            self._index()
            return
        from casstore.files.strangers import is_systems

        if not all(map(is_systems, names)):
            raise self._refusal()

    def _refusal(self) -> Refused:
        return Refused(
            f"{quote(self._shown)} is there already and is neither a layout nor an empty directory"
        )

    # What is there

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob of this digest and size is there; its content is not looked at."""
        try:
            status = os.lstat(self._place(descriptor.digest))
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == descriptor.size

    def document(self, descriptor: Descriptor) -> bytes | None:
        """A manifest or an index, if it is there and is what its digest says."""
        if descriptor.size > MAX_DOCUMENT or not self.has(descriptor):
            return None
        with open(self._place(descriptor.digest), "rb") as file:
            data = file.read(MAX_DOCUMENT + 1)
        return data if sha256(data) == descriptor.digest else None

    def is_listed(self, top: Descriptor, reference: str) -> bool:
        """Whether nothing has to be changed for the list to name `top` so."""
        return is_listed(self._index()[1], top, reference)

    def _index(self) -> tuple[bytes, Index]:
        """The list as it is."""
        try:
            data = DirectoryArchive(self._path).read(INDEX_JSON, MAX_INDEX_JSON)
        except Refused:
            if os.path.lexists(os.path.join(self._path, INDEX_JSON)):
                raise
            data = encoded(EMPTY)  # a layout that is being made
        return data, parse_index_json(data)

    def _changed(self, top: Descriptor, reference: str) -> bytes | None:
        """The list with `top` in it; None where it has it so."""
        import json

        data, known = self._index()
        if is_listed(known, top, reference):
            return None
        index: dict[str, Any] = json.loads(data)
        index["manifests"] = index.get("manifests") or []
        if len(index["manifests"]) != len(known.manifests):
            raise Refused(f"{INDEX_JSON} of {quote(self._shown)} has keys in another case")
        return encoded(with_name(index, top, reference))

    # Adding to it

    def __enter__(self) -> Self:
        try:
            while not self._begun():
                pass  # whoever had made it took it back
        except OSError as error:
            self._unmake()
            raise self._failed(error) from None
        except BaseException:
            self._unmake()
            raise
        return self

    def _begun(self) -> bool:
        """Make what is not there of the layout, and a place to write to; False if it went away."""
        try:
            os.mkdir(self._path)
        except FileExistsError:
            pass
        else:
            self._made.append(self._path)
            durable.sync_directory(os.path.dirname(self._path))
        try:
            lock = self._lock()
        except FileNotFoundError:
            return False
        try:
            if not os.path.isdir(self._path) or not _is_at(self._path, lock):
                return False
            self._remove_dead()
            self._make_layout()
            staging = os.path.join(self._path, f"{_STAGING}{os.urandom(6).hex()}.part")
            os.mkdir(staging)
            self._staging = staging
            self._descriptor = os.open(staging, _DIRECTORY)
            _lock(self._descriptor, wait=False)
        finally:
            os.close(lock)
        return True

    def _make_layout(self) -> None:
        from casstore.files.newfile import create_file

        for name, data in (OCI_LAYOUT, LAYOUT), (INDEX_JSON, encoded(EMPTY)):
            path = os.path.join(self._path, name)
            if not os.path.lexists(path):
                create_file(path, data, 0o644)
                self._made.append(path)
        for path in (os.path.dirname(self._blobs), self._blobs):
            if not os.path.isdir(path):
                durable.make_directories(path)
                self._made.append(path)

    def _lock(self) -> int:
        """The layout's directory, locked until it is closed."""
        lock = os.open(self._path, _DIRECTORY)
        try:
            _lock(lock)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def write(self, descriptor: Descriptor, stream: IO[bytes], is_off: Callable[[], bool]) -> None:
        """Add a blob, from a stream; any thread may, until `is_off`.

        Raises:
            Refused: the bytes are not what the descriptor says.
            StorageError: they cannot be written.
        """
        import hashlib

        from casstore.files.placedfile import start_writeback

        path = self._new()
        hashing, left, begun = hashlib.sha256(), descriptor.size, 0
        with open(path, "xb", buffering=0) as file:
            while data := stream.read(min(_PIECE, left + 1)):
                left -= len(data)
                if left < 0 or is_off():
                    break
                hashing.update(data)
                self._written(file, data)
                at = descriptor.size - left
                if at - begun >= durable.BEGUN:
                    start_writeback(file.fileno(), begun, at - begun)
                    begun = at
            check_size(descriptor, descriptor.size - left)
            check_digest(descriptor, Digest.of_bytes(hashing.digest()))
        self._finished(path, descriptor)

    def add(self, descriptor: Descriptor, data: bytes) -> None:
        """Add a document, which has been verified."""
        path = self._new()
        with open(path, "xb", buffering=0) as file:
            self._written(file, data)
        self._finished(path, descriptor)

    def publish(self, top: Descriptor, reference: str) -> None:
        """Let the list name what has been added; what had this name so far has none then.

        Raises:
            StorageError: it cannot be written; the list is as it was.
        """
        try:
            self._give_names()
            lock = self._lock()
            try:
                changed = self._changed(top, reference)
                if changed is not None:
                    staging = os.path.join(self._staging, INDEX_JSON)
                    target = os.path.join(self._path, INDEX_JSON)
                    with durable.replace_file(target, staging) as new:
                        new.file.write(changed)
            finally:
                os.close(lock)
        except OSError as error:
            raise self._failed(error) from None

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            if kind is not None:
                self._give_names()  # they need not be fetched again
        except OSError:
            pass  # the first error is the one to tell
        finally:
            self._unmake(all_of_it=kind is not None and not self._named)

    def _new(self) -> str:
        with self._guard:
            self._count += 1
            return os.path.join(self._staging, str(self._count))

    def _written(self, file: IO[bytes], data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            raise self._failed(error) from None

    def _finished(self, path: str, descriptor: Descriptor) -> None:
        """A blob is written: a large one gets its name now, the others together."""
        move = (path, self._place(descriptor.digest))
        if descriptor.size < durable.BEGUN:
            with self._guard:
                self._ready.append(move)
            return
        try:
            durable.sync_files([path])
            durable.publish([move], self._blobs)
        except OSError as error:
            raise self._failed(error) from None
        with self._guard:
            self._named += 1

    def _give_names(self) -> None:
        with self._guard:
            ready, self._ready = self._ready, []
        durable.sync_files(path for path, _ in ready)
        durable.publish(ready, self._blobs)
        self._named += len(ready)

    def _place(self, digest: Digest) -> str:
        return os.path.join(self._blobs, digest.hex)

    def _remove_dead(self) -> None:
        """Remove what copies have left that were killed. The layout is locked."""
        from casstore.files.trees import remove_dead

        for name in os.listdir(self._path):
            if _is_begun(name):
                os.unlink(os.path.join(self._path, name))
            if name.startswith(_STAGING):
                remove_dead(os.path.join(self._path, name))

    def _unmake(self, *, all_of_it: bool = True) -> None:
        """Remove the place to write to; and what was made for nothing, if nobody else is here."""
        if self._staging:
            from casstore.files.trees import remove_tree

            remove_tree(self._staging)
            os.close(self._descriptor)
        if not (self._made and all_of_it):
            return
        try:
            lock = self._lock()
            try:
                others = any(name.startswith(_STAGING) for name in os.listdir(self._path))
                if others or self._index()[1].manifests:
                    return
                for path in reversed(self._made):
                    os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
            finally:
                os.close(lock)
        except (OSError, Refused):
            pass  # it is not empty, or gone; the first error is the one to tell

    def _failed(self, error: OSError) -> StorageError:
        return durable.storage_error(error, f"cannot write {quote(self._shown)}")


def _is_begun(name: str) -> bool:
    """Whether a file is one of those that make a layout, before it has its name."""
    return name.startswith((f"{OCI_LAYOUT}.", f"{INDEX_JSON}.")) and name.endswith(".part")


def _is_at(path: str, descriptor: int) -> bool:
    """Whether a directory that is open is still the one at a path."""
    return os.path.samestat(os.stat(path), os.fstat(descriptor))


def _lock(descriptor: int, *, wait: bool = True) -> None:
    """Lock a directory, where its file system has such locks."""
    import errno
    import fcntl  # a library to load, where a copy that finds nothing new locks nothing

    none = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in none:
            raise
