"""A store on one machine: where its parts are, whether it is one, and how it is opened.

    STORE/oci-layout  index.json  blobs/sha256/  ingest/  casstore.db  casstore.lock

A directory is a store if it has `oci-layout`; any OCI image layout is a store whose database has
yet to be built. A directory that is neither that nor empty is never touched.
"""

from __future__ import annotations

import os
import stat

from casstore.errors import Damaged, NotAStore, StorageError, quote
from casstore.startup.parts import cached_property

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.backends.local.blobs import BlobDirectory
    from casstore.backends.local.contents import ContentsDirectory
    from casstore.backends.local.locks import Door
    from casstore.backends.local.published import LayoutFile
    from casstore.backends.local.reserve import Reserve
    from casstore.backends.local.schema import Connection
    from casstore.backends.local.tokens import Token
    from casstore.backends.local.uses import LastUses
    from casstore.model.digest import Digest
    from casstore.model.lease import HardLease

LEASE = "lease"
INDEX_JSON = "index.json"
_AT_ONCE = 1 << 20
TRUST_POLICY = "trust-policy.json"  # a person puts it there; casstore only reads it


class LocalStore:
    """The parts of a store's directory. What a look has no use for is not even imported for it."""

    def __init__(self, root: str, *, volatile: bool = False) -> None:
        """`volatile`: this process flushes nothing in it, from here on."""
        self.volatile = volatile
        self.root = os.path.abspath(root)
        self.ingest = os.path.join(self.root, "ingest")
        self.database = os.path.join(self.root, "casstore.db")
        self.policy = os.path.join(self.root, TRUST_POLICY)
        self.lock = os.path.join(self.root, "casstore.lock")
        if volatile:
            from casstore.files.durable import make_volatile

            make_volatile(self.root)

    @cached_property
    def blobs(self) -> BlobDirectory:
        """Its blobs."""
        from casstore.backends.local.blobs import BlobDirectory

        return BlobDirectory(self.root)

    @cached_property
    def contents(self) -> ContentsDirectory:
        """The tables of contents of its layers."""
        from casstore.backends.local.contents import ContentsDirectory

        return ContentsDirectory(self.root, self.ingest, self.blobs)

    @cached_property
    def layout(self) -> LayoutFile:
        """Its index.json."""
        from casstore.backends.local.published import LayoutFile

        return LayoutFile(self.root, os.path.join(self.ingest, INDEX_JSON))

    @cached_property
    def reserve(self) -> Reserve:
        """The space it keeps back."""
        from casstore.backends.local.reserve import Reserve

        return Reserve(self.root, (self.database, os.path.join(self.root, INDEX_JSON)))

    @cached_property
    def uses(self) -> LastUses:
        """When its images were last used."""
        from casstore.backends.local.uses import LastUses

        return LastUses(self.root, os.path.join(self.ingest, "casstore.uses"))

    def complete(self) -> None:
        """Make the directories of the store that are missing; no lock is needed.

        git, zip and rsync -m leave empty ones out, and other tools make a layout without ingest/.
        """
        blobs = os.path.join(self.root, "blobs", "sha256")
        if not (os.path.isdir(self.ingest) and os.path.isdir(blobs)):
            from casstore.backends.local.creation import make_directories
            from casstore.files import durable

            try:
                make_directories(self)
            except OSError as error:
                raise durable.storage_error(error, "cannot complete the store") from None

    def exists(self) -> bool:
        """Whether there is a store (or an OCI image layout) here."""
        return os.path.isfile(os.path.join(self.root, "oci-layout"))

    def require(self) -> None:
        """Raises NotAStore unless there is a store here."""
        if not self.exists():
            self._check_access()
            if os.path.isdir(self.root) and os.listdir(self.root):
                raise NotAStore(f"{quote(self.root)} is not a casstore store (no oci-layout)")
            raise NotAStore(f"there is no store at {quote(self.root)}")
        self.check_layout()
        self._check_parts()

    def _check_access(self) -> None:
        """Raises StorageError if it cannot be said whether there is a store."""
        try:
            os.stat(os.path.join(self.root, "oci-layout"))
        except PermissionError:
            raise StorageError(f"cannot look into {quote(self.root)}: permission denied") from None
        except OSError:
            pass  # it is not there

    def _check_parts(self) -> None:
        """Raises Damaged if a part of the store is a link to elsewhere, or no file at all."""
        for path, kind in (
            (os.path.join(self.root, "blobs"), stat.S_IFDIR),
            (os.path.join(self.root, "blobs", "sha256"), stat.S_IFDIR),
            (self.ingest, stat.S_IFDIR),
            (os.path.join(self.root, INDEX_JSON), stat.S_IFREG),
            (self.database, stat.S_IFREG),
        ):
            try:
                found = stat.S_IFMT(os.lstat(path).st_mode)
            except OSError:
                continue  # missing: whoever needs it says so
            if found != kind:
                what = "not a directory" if kind == stat.S_IFDIR else "not a regular file"
                what = "a symbolic link" if found == stat.S_IFLNK else what
                raise Damaged(f"{path} is {what}, which is refused in a store")

    def check_layout(self) -> None:
        """Raises NotAStore if `oci-layout` is of a version that casstore does not know."""
        path = os.path.join(self.root, "oci-layout")
        try:
            with open(path, "rb", buffering=0, opener=_follow_nothing) as file:
                text = file.read(4096)
        except OSError as error:
            import errno  # a table of 130 names

            if error.errno == errno.ELOOP:
                raise Damaged(f"{path} is a symbolic link, which is refused in a store") from None
            from casstore.files import durable

            raise durable.storage_error(error, "cannot read oci-layout") from None
        if b'"1.0.0"' not in text:
            raise NotAStore(f"{quote(self.root)} is not an OCI image layout of version 1.0.0")

    def sync_database(self) -> None:
        """Make durable what other processes have committed and published, and this one sees.

        That is in SQLite's log, and in the names of the store's directory; what is in casstore.db
        itself was synced before the log went. (To open and close casstore.db here would drop
        SQLite's locks: POSIX locks are the process's.)
        """
        from casstore.files import durable

        log = self.database + "-wal"
        if os.path.exists(log):
            durable.sync_files([log])
        durable.sync_directory(self.root)

    def identity(self) -> tuple[int, int] | None:
        """Which file the database is (device, inode); None if there is none."""
        try:
            status = os.stat(self.database)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def is_shared(self) -> bool:
        """Whether the database, its log or the log's index has a second name.

        That is in a copy by hard links, or in a backup that links what has not changed since the
        one before: there each has a log of its own, which must not come into the database of all.
        """
        for path in (self.database, self.database + "-wal", self.database + "-shm"):
            try:
                if os.lstat(path).st_nlink > 1:
                    return True
            except OSError:
                pass  # it is not there
        return False

    def connect(self, *, writable: bool, upgrade: bool = False) -> Connection:
        """Open the tag index. Raises Damaged where it is missing or no database of ours.

        With `upgrade`, a database of an older version becomes one of this; the lock is held.
        """
        from casstore.backends.local import schema

        if not os.path.exists(self.database):
            raise Damaged("casstore.db is missing; the next change rebuilds it")
        try:
            return schema.connect(
                self.database, writable=writable, upgrade=upgrade, volatile=self.volatile
            )
        except Damaged:
            # What could not be read this once is damage for SQLite, too.
            return schema.connect(
                self.database, writable=writable, upgrade=upgrade, volatile=self.volatile
            )

    def check_readable(self) -> None:
        """Read the files of the tag index: SQLite tells no damage from a disk that fails.

        Raises:
            StorageError: the disk does.
        """
        from casstore.files import durable

        for path in (self.database, self.database + "-wal"):
            if not os.path.isfile(path):
                continue
            try:
                with open(path, "rb", buffering=0) as file:
                    while file.read(_AT_ONCE):
                        pass
            except OSError as error:
                raise durable.storage_error(error, f"cannot read the index {path}") from None

    def connect_to_read(self) -> tuple[Connection, bool]:
        """Open the tag index for looking, also on a full disk: the connection, and if it writes.

        Raises Damaged where it is missing or no database of ours.
        """
        if self.is_writable() and not self.is_shared():  # who closes it brings the log into it
            try:
                return self.connect(writable=True), True
            except StorageError:
                pass  # SQLite makes a file to read, for which there may be no space, and need not
        return self.connect(writable=False), False

    def connect_as_is(self) -> Connection:
        """Open the tag index for reading and leave it as it is; the lock is held.

        Raises as `connect`.
        """
        from casstore.backends.local import schema

        if not os.path.exists(self.database):
            raise Damaged("casstore.db is missing")
        return schema.connect_as_is(self.database)

    def connect_to_hold(self) -> Connection:
        """Open the tag index for reading, so that no other process is the last to close it.

        Raises as `connect`.
        """
        from casstore.backends.local import schema

        return schema.connect_to_hold(self.database)

    def check_not_newer(self) -> None:
        """Refuse a database that a newer casstore made, before anything is put in its place.

        Raises:
            NotAStore: it is of a newer version. One that cannot be read says nothing.
        """
        try:
            self.connect_as_is().close()
        except (Damaged, StorageError):
            pass

    def is_writable(self) -> bool:
        """Whether this process may change the store."""
        return os.access(self.root, os.W_OK) and (
            not os.path.exists(self.database) or os.access(self.database, os.W_OK)
        )

    def is_ingest_empty(self) -> bool:
        """Whether nothing is arriving, held or left over."""
        try:
            return not os.listdir(self.ingest)
        except OSError:
            return False  # whoever looks closer says so

    # Hard leases: files in ingest/, locked by the process that holds them

    def door(self, timeout: float, *, shared: bool) -> Door:
        """What leases are taken (`shared`) and removals committed behind."""
        from casstore.backends.local.locks import Door

        return Door(self.ingest, timeout, shared=shared)

    def hold(self, name: str, holder: str, images: Iterable[Digest]) -> Token:
        """Take a hard lease for this process (and children that inherit the descriptor)."""
        from casstore.backends.local.tokens import Token

        text = "\n".join((name, holder, *images))
        return Token(self.ingest, LEASE, text + "\n", inherited=True)

    def hard_leases(self, *, to_change: bool = False) -> list[HardLease]:
        """Hard leases whose process lives.

        Raises:
            StorageError: with `to_change`, one cannot be read: it may be on any image.
        """
        held: list[HardLease] = []
        path = self.ingest
        try:
            if not any(name.startswith(LEASE) for name in os.listdir(path)):
                return held  # mostly so: not worth an import
            from casstore.backends.local.tokens import tokens

            for path, alive in tokens(self.ingest, LEASE):
                lease = _read_lease(path, to_change=to_change) if alive else None
                if lease is not None:
                    held.append(lease)
        except FileNotFoundError:
            return held
        except OSError as error:
            if not to_change:
                return held
            from casstore.files import durable

            what = f"cannot read {path}, which may be a lease on any image"
            raise durable.storage_error(error, what) from None
        return held


def _follow_nothing(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _read_lease(path: str, *, to_change: bool) -> HardLease | None:
    try:
        with open(path, encoding="utf-8") as file:
            name, holder, *images = file.read().splitlines()
    except (FileNotFoundError, ValueError):
        return None  # it ended, or has not said yet what it holds
    except OSError:
        if to_change:
            raise
        return None
    from casstore.backends.local.locks import seen_from_here
    from casstore.model.digest import Digest
    from casstore.model.lease import HardLease

    return HardLease(name, seen_from_here(holder), tuple(Digest(image) for image in images))
