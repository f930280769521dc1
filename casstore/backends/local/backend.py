"""The backend of a store in a directory of this machine."""

from __future__ import annotations

import os

from casstore.backends.local import told
from casstore.backends.local.directory import LocalStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from casstore.backends.local.blobs import BlobDirectory
    from casstore.backends.local.care.selfcheck import LocalChecks
    from casstore.backends.local.care.template import Template
    from casstore.backends.local.care.unfinished import Unfinished
    from casstore.backends.local.contents import ContentsDirectory
    from casstore.backends.local.edits import LocalEdits
    from casstore.backends.local.events import LocalEvents
    from casstore.backends.local.ingest import Ingest
    from casstore.backends.local.locks import Door, StoreLock
    from casstore.backends.local.openindex import OpenIndex
    from casstore.backends.local.published import LayoutFile
    from casstore.backends.local.reserve import Reserve
    from casstore.backends.local.tokens import Token
    from casstore.backends.local.uploads import Uploads
    from casstore.backends.local.uses import LastUses
    from casstore.backends.local.view import LocalView
    from casstore.model.digest import Digest
    from casstore.model.lease import HardLease
    from casstore.model.storage import Disk
    from casstore.ports.edits import Edits
    from casstore.ports.view import View


def _no_room() -> bool:
    return False


class LocalBackend:
    """A directory, and the connection to its index. The ports say what each method promises."""

    def __init__(self, path: str, *, volatile: bool = False) -> None:
        """`volatile`: this process flushes nothing in it, from here on."""
        self.directory = LocalStore(path, volatile=volatile)
        self.where = self.directory.root
        self._index: OpenIndex | None = None
        self._events: LocalEvents | None = None

    @property
    def blobs(self) -> BlobDirectory:
        return self.directory.blobs

    @property
    def contents(self) -> ContentsDirectory:
        return self.directory.contents

    @property
    def published(self) -> LayoutFile:
        return self.directory.layout

    @property
    def uses(self) -> LastUses:
        return self.directory.uses

    @property
    def events(self) -> LocalEvents:
        if self._events is None:
            from casstore.backends.local.events import LocalEvents

            self._events = LocalEvents(self.where, lambda: self.index)
        return self._events

    @property
    def reserve(self) -> Reserve:
        return self.directory.reserve

    @property
    def checks(self) -> LocalChecks:
        from casstore.backends.local.care.selfcheck import LocalChecks

        return LocalChecks(self.directory, self.index)

    # Opening

    @property
    def index(self) -> OpenIndex:
        """The index that is kept open."""
        if self._index is None:
            from casstore.backends.local.openindex import OpenIndex

            self._index = OpenIndex(self.directory)
        return self._index

    def exists(self) -> bool:
        return self.directory.exists()

    def require(self) -> None:
        self.directory.require()

    def create(self) -> None:
        from casstore.backends.local.creation import create

        create(self.directory)

    def is_writable(self) -> bool:
        return self.directory.is_writable()

    @told("see what the store is on")
    def cautions(self) -> list[str]:
        if os.major(os.stat(self.where).st_dev):
            return []  # a disk of this machine: not worth the import
        from casstore.files.mounts import network_file_system

        kind = network_file_system(self.where)
        if kind is None:
            return []
        text = (
            f"the store is on a network file system ({kind}): its lock may not hold between"
            " machines, and its database can be damaged if two of them use it at a time"
        )
        return [text]

    def lock(self, timeout: float, command: str) -> StoreLock:
        from casstore.backends.local.locks import StoreLock

        return StoreLock(self.directory.lock, timeout, command)

    @told("read the index")
    def view(self, now: int) -> LocalView:
        from casstore.backends.local.view import LocalView

        return LocalView(self.index.to_read(), now=now, hard={})

    @told("read the index")
    def listed_ids(self, *, digits: int, everything: bool) -> Iterator[list[str]] | None:
        from casstore.backends.local.idlist import listed_ids

        return listed_ids(self.index.to_read(), digits=digits, everything=everything)

    @told("open the index")
    def prepare(self, *, create: bool) -> list[str]:
        return self.index.prepare(create=create)

    def edits(self, now: int, hard: Mapping[Digest, Sequence[str]]) -> LocalEdits:
        from casstore.backends.local.edits import LocalEdits

        return LocalEdits(self.index.to_change(), now=now, hard=hard)

    @told("copy the index")
    def rehearse(
        self, now: int, hard: Mapping[Digest, Sequence[str]]
    ) -> tuple[LocalEdits, list[str]]:
        from casstore.backends.local.edits import LocalEdits
        from casstore.backends.local.snapshot import private_copy

        copy = private_copy(self.index.to_read())
        unseen = []
        if os.path.exists(self.directory.database) and self.published.is_foreign():
            unseen.append(
                "another tool wrote index.json: the next change takes in what is new there, of"
                " which a dry run knows nothing"
            )
        return LocalEdits(copy, now=now, hard=hard), unseen

    def refresh(self) -> None:
        self.index.refresh()

    @told("make the index durable")
    def make_durable(self) -> None:
        self.directory.sync_database()

    def clear_leftovers(self) -> None:
        if not self.directory.is_ingest_empty():
            self.remove_leftovers()

    def let_go(self, *, at_once: bool = False) -> None:
        if self._index is None:
            return
        if at_once:
            self._index.let_go_now()
        else:
            self._index.let_go()

    def close(self) -> None:
        if self._index is not None:
            self._index.close()

    def leave(self) -> None:
        if self._index is not None:
            self._index.leave()

    def another(self) -> LocalBackend:
        return LocalBackend(self.where, volatile=self.directory.volatile)

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (self.where, self.directory.volatile)

    # Staging and leases

    def prepare_ingest(self) -> None:
        self.directory.complete()

    def begin_ingest(
        self,
        view: Callable[[], View],
        make_room: Callable[[], bool] = _no_room,
        max_layer_size: int | None = None,
        digests_only: Callable[[], bool] | None = None,
        *,
        with_uploads: bool = False,
    ) -> Ingest:
        from casstore.backends.local.ingest import Ingest

        return Ingest(
            self.where, self.blobs, view, make_room, max_layer_size,
            digests_only=digests_only, with_uploads=with_uploads,
        )  # fmt: skip

    def uploads(self, make_room: Callable[[], bool] = _no_room) -> Uploads:
        from casstore.backends.local.uploads import Uploads

        return Uploads(self.directory.ingest, make_room)

    def door(self, timeout: float, *, shared: bool) -> Door:
        return self.directory.door(timeout, shared=shared)

    def hold(self, name: str, holder: str, images: Iterable[Digest]) -> Token:
        from casstore.backends.local.locks import introduction

        return self.directory.hold(name, introduction(holder).replace("\n", " "), images)

    def hard_leases(self, *, to_change: bool = False) -> list[HardLease]:
        return self.directory.hard_leases(to_change=to_change)

    # Space, and the rest

    @told("see how full the disk is")
    def space(self) -> Disk:
        from casstore.model.storage import Disk

        status = os.statvfs(self.where)
        # as df counts: what only the superuser may fill is neither used nor free
        used = status.f_blocks - status.f_bfree
        return Disk((used + status.f_bavail) * status.f_frsize, status.f_bavail * status.f_frsize)

    def lacking_bytes(self) -> int:
        from casstore.backends.local.reserve import nearly_full

        return nearly_full(self.where)

    @told("see what is arriving")
    def arriving_bytes(self) -> int:
        total = 0
        for folder, _, files in os.walk(self.directory.ingest):
            for name in files:
                try:
                    status = os.lstat(os.path.join(folder, name))
                except FileNotFoundError:
                    continue
                if status.st_nlink == 1:
                    total += status.st_size
        return total

    @told("see what was left unfinished")
    def unfinished(self) -> Unfinished:
        from casstore.backends.local.care.unfinished import Unfinished
        from casstore.backends.local.view import LocalView

        return Unfinished(self.directory, LocalView(self.index.to_read(), now=0, hard={}))

    @told("look for old copies of the index")
    def old_copies(self, now: int) -> list[tuple[str, int]]:
        from casstore.backends.local.asides import old_copies

        return old_copies(self.directory, now)

    def remove_copies(self, copies: list[tuple[str, int]]) -> list[tuple[str, int]]:
        from casstore.backends.local.asides import remove_copies

        return remove_copies(self.directory, copies)

    @told("remove temporary files")
    def remove_leftovers(self) -> tuple[int, int]:
        from casstore.backends.local.leftovers import remove_leftovers

        return remove_leftovers(self.where)

    def trust_policy(self) -> str | None:
        path = self.directory.policy
        return path if os.path.lexists(path) else None

    def template(self, index: Edits) -> Template:
        from casstore.backends.local.care.template import Template
        from casstore.backends.local.edits import LocalEdits

        assert isinstance(index, LocalEdits)
        return Template(self.directory, index)


def _unpickled(path: str, volatile: bool) -> LocalBackend:  # noqa: FBT001 - of a tuple
    return LocalBackend(path, volatile=volatile)
