"""A store on one machine: where its parts are, whether it is one, and how it is made.

    STORE/oci-layout  index.json  blobs/sha256/  ingest/  casstore.db  casstore.lock

A directory is a store if it has `oci-layout`; any OCI image layout is a store whose database has
yet to be built. A directory that is neither that nor empty is never touched.
"""

from __future__ import annotations

import os
import stat

from casstore.disk import durable
from casstore.disk.blobdir import BlobDirectory
from casstore.disk.filelocking import Token, tokens
from casstore.disk.layoutfile import LAYOUT, LayoutFile
from casstore.disk.reserve import NAME, Reserve
from casstore.errors import Damaged, NotAStore, StorageError, quote
from casstore.model.digest import Digest
from casstore.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.disk.lastuse import LastUses
    from casstore.disk.schema import Connection

LEASE = "lease"
_DIRECTORY_MODE = 0o700
TRUST_POLICY = "trust-policy.json"  # a person puts it there; casstore only reads it
_PARTS = frozenset(
    (
        "blobs",
        "ingest",
        "casstore.db",
        "casstore.lock",
        "casstore.uses",
        "index.json",
        TRUST_POLICY,
        NAME,
    )
)
_DATABASE_EXTRAS = ("-wal", "-shm", "-journal")


class HardLease(Value):
    """Images held by a live process."""

    name: str
    holder: str
    images: tuple[Digest, ...]


class LocalStore:
    """The parts of a store's directory."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.blobs = BlobDirectory(self.root)
        self.ingest = os.path.join(self.root, "ingest")
        self.database = os.path.join(self.root, "casstore.db")
        self.policy = os.path.join(self.root, TRUST_POLICY)
        self.lock = os.path.join(self.root, "casstore.lock")
        layout = os.path.join(self.root, "index.json")
        self.reserve = Reserve(self.root, (self.database, layout))
        self.layout = LayoutFile(self.root, os.path.join(self.ingest, "index.json"))

    @property
    def uses(self) -> LastUses:
        """When its images were last used."""
        from casstore.disk.lastuse import LastUses

        return LastUses(self.root, os.path.join(self.ingest, "casstore.uses"))

    def exists(self) -> bool:
        """Whether there is a store (or an OCI image layout) here."""
        return os.path.isfile(os.path.join(self.root, "oci-layout"))

    def require(self) -> None:
        """Raises NotAStore unless there is a store here."""
        if not self.exists():
            if os.path.isdir(self.root) and os.listdir(self.root):
                raise NotAStore(f"{quote(self.root)} is not a casstore store (no oci-layout)")
            raise NotAStore(f"there is no store at {quote(self.root)}")
        self.check_layout()
        self._check_parts()

    def _check_parts(self) -> None:
        """Raises Damaged if a part of the store is a link to elsewhere, or no file at all."""
        for path, kind in (
            (os.path.dirname(self.blobs.directory), stat.S_IFDIR),
            (self.blobs.directory, stat.S_IFDIR),
            (self.ingest, stat.S_IFDIR),
            (self.layout.path, stat.S_IFREG),
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
        try:
            with open(os.path.join(self.root, "oci-layout"), "rb", buffering=0) as file:
                text = file.read(4096)
        except OSError as error:
            raise durable.storage_error(error, "cannot read oci-layout") from None
        if b'"1.0.0"' not in text:
            raise NotAStore(f"{quote(self.root)} is no OCI image layout of version 1.0.0")

    def create(self) -> None:
        """Make the store, or finish making it; harmless where it is there.

        The caller holds no lock: every step is safe beside another process that does the same,
        except the database, which `make_database` makes under the lock. `oci-layout` comes last.

        Raises:
            NotAStore: the directory holds something else.
        """
        if self.exists():
            self.check_layout()
        elif os.path.isdir(self.root) and not _PARTS.issuperset(
            name for name in os.listdir(self.root) if not name.startswith("casstore.db-")
        ):
            raise NotAStore(f"{quote(self.root)} is not empty and not a casstore store")
        try:
            fresh = not os.path.isdir(self.root)
            if fresh:
                durable.make_directories(os.path.dirname(self.root))
                try:
                    os.mkdir(self.root, _DIRECTORY_MODE)
                except FileExistsError:
                    pass  # another process was quicker
            self.make_directories()
            if fresh:
                durable.sync_directory(os.path.dirname(self.root) or "/")
        except OSError as error:
            raise durable.storage_error(
                error, f"cannot make a store at {quote(self.root)}"
            ) from None

    def make_directories(self) -> None:
        """Make the directories of the store, durably, where they are missing. Raises OSError."""
        for path in (os.path.dirname(self.blobs.directory), self.blobs.directory, self.ingest):
            if durable.make_directory(path):
                durable.sync_directory(os.path.dirname(path))

    def make_database(self) -> None:
        """Make an empty database; the lock is held."""
        from casstore.disk import schema

        try:
            schema.create(self.staging_database())
            self.install_database(self.staging_database(clear=False))
        except schema.Error as error:
            raise schema.database_error(error, self.database) from None
        except OSError as error:
            raise durable.storage_error(error, "cannot make casstore.db") from None

    def staging_database(self, *, clear: bool = True) -> str:
        """Where a new database is built; with `clear`, what a crash left there is removed."""
        staging = os.path.join(self.ingest, "casstore.db")
        for leftover in (staging, *(staging + extra for extra in _DATABASE_EXTRAS)):
            if clear and os.path.lexists(leftover):
                os.unlink(leftover)
        return staging

    def install_database(self, path: str) -> None:
        """Put a finished database file in place; one that is there is kept aside, with its log.

        A log that stayed would be played into the new database: it has left its name for good
        before the new one is there.
        """
        aside = f"{self.database}.damaged-{os.urandom(4).hex()}"
        for extra in ("", *_DATABASE_EXTRAS):
            if os.path.lexists(self.database + extra):
                durable.move_aside(self.database + extra, aside + extra)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            durable.share_with_group(descriptor, self.database)  # SQLite's own files follow it
        finally:
            os.close(descriptor)
        durable.sync_files([path])
        durable.publish([(path, self.database)], self.root)

    def sync_database(self) -> None:
        """Make durable what other processes have committed and this one sees.

        That is in SQLite's log; what is in casstore.db itself was synced before the log went.
        (To open and close casstore.db here would drop SQLite's locks: POSIX locks are the
        process's.)
        """
        log = self.database + "-wal"
        if os.path.exists(log):
            durable.sync_files([log])

    def finish(self) -> None:
        """Write `index.json` and `oci-layout` where they are missing; the lock is held."""
        if not os.path.exists(self.layout.path):
            self.layout.write((), 0)
        marker = os.path.join(self.root, "oci-layout")
        if not os.path.exists(marker):
            # Whoever made the directories may have died before their names were on the disk.
            for directory in (self.root, self.blobs.directory):
                durable.sync_directory(os.path.dirname(directory))
            with durable.replace_file(marker, os.path.join(self.ingest, "oci-layout")) as new:
                new.file.write(LAYOUT)

    def connect(self, *, writable: bool, upgrade: bool = False) -> Connection:
        """Open the tag index. Raises Damaged where it is missing or no database of ours.

        With `upgrade`, a database of an older version becomes one of this; the lock is held.
        """
        from casstore.disk import schema

        if not os.path.exists(self.database):
            raise Damaged("casstore.db is missing; the next change rebuilds it")
        return schema.connect(self.database, writable=writable, upgrade=upgrade)

    def connect_to_read(self) -> tuple[Connection, bool]:
        """Open the tag index for looking, also on a full disk: the connection, and if it writes.

        Raises Damaged where it is missing or no database of ours.
        """
        if self.is_writable():
            try:
                return self.connect(writable=True), True
            except StorageError:
                pass  # SQLite makes a file to read, for which there may be no space, and need not
        return self.connect(writable=False), False

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

    def hold(self, name: str, holder: str, images: Iterable[Digest]) -> Token:
        """Take a hard lease for this process (and children that inherit the descriptor)."""
        text = "\n".join((name, holder, *images))
        return Token(self.ingest, LEASE, text + "\n")

    def hard_leases(self) -> list[HardLease]:
        """Hard leases whose process lives."""
        held = []
        for path, alive in tokens(self.ingest, LEASE):
            if not alive:
                continue
            try:
                with open(path, encoding="utf-8") as file:
                    name, holder, *images = file.read().splitlines()
            except (OSError, ValueError):
                continue  # it ended, or has not said yet what it holds
            held.append(HardLease(name, holder, tuple(Digest(image) for image in images)))
        return held
