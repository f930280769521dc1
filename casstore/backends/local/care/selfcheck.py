"""The checks of a local store, put together."""

from __future__ import annotations

import os

from casstore.backends.local import told
from casstore.backends.local.care.listed import kept_files
from casstore.errors import Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.openindex import OpenIndex
    from casstore.model.findings import CheckResult
    from casstore.ports.change import Changing
    from casstore.ports.locks import WritersLock
    from casstore.ports.view import View
    from casstore.progress import Progress


class LocalChecks:
    """See ports/checks.py."""

    def __init__(self, store: LocalStore, index: OpenIndex) -> None:
        self._store, self._index = store, index

    @told("check the store")
    def check(
        self,
        repaired: Sequence[str],
        *,
        content: bool,
        documents: bool = True,
        progress: Progress | None = None,
    ) -> CheckResult:
        from casstore.backends.local.care.fsck import check_store

        self._store.require()
        return check_store(
            self._store, repaired, content=content, documents=documents, progress=progress
        )

    @told("repair the store")
    def repair(self, change: Changing, *, content: bool) -> tuple[list[str], bool]:
        from casstore.backends.local.care.repair import repair_store

        return repair_store(self._store, change, content=content)

    @told("repair the store")
    def mend_from(
        self, change: Callable[[], Changing], sources: Sequence[str], *, content: bool
    ) -> tuple[list[str], list[str]]:
        from casstore.backends.local.care.repairsource import mend_from

        return mend_from(self._store, change, sources, content=content)

    @told("rebuild the index")
    def rebuild(
        self, change: Callable[[], Changing], locked: Callable[[], WritersLock]
    ) -> tuple[list[str], bool]:
        from casstore.backends.local.care.rebuild import rebuild_database

        store, lines = self._store, []
        said = os.path.lexists(store.layout.path) and not store.layout.is_withdrawn()
        if not said and self._opens() and not self.is_damaged():
            # What index.json does not say, a database that is sound can still say.
            with change() as one:
                one.commit()
                one.publish()
        lock = locked()
        try:
            self._index.let_go()
            if not os.path.lexists(store.layout.path):  # nor does a database say what is in it
                from casstore.backends.local.care.salvage import write_salvaged_index
                from casstore.backends.local.creation import make_directories

                make_directories(store)
                lines.append(write_salvaged_index(store))
            # What is lost anyway is worth going on without what cannot be read; a database that
            # can be used is not.
            problems, verified = rebuild_database(store, leave_out=not self._opens())
        finally:
            lock.release()
        with change() as one:
            one.commit()
        lines.append("the database was rebuilt from index.json and the blobs")
        return lines + problems, verified

    def _opens(self) -> bool:
        """Whether there is a database that can be used as it is; a log beside it stays."""
        try:
            self._store.connect_as_is().close()
        except Damaged:
            return False
        return True

    def give_rights_back(self) -> list[str]:
        from casstore.backends.local.care.ownfiles import give_rights_back

        return give_rights_back(self._store)

    @told("read the index")
    def is_damaged(self) -> bool:
        from casstore.backends.local.care.soundness import is_damaged

        return is_damaged(self._store)

    @told("read the index")
    def require_sound(self) -> None:
        from casstore.backends.local.care.soundness import require_sound

        require_sound(self._index.to_read())

    @told("measure layers again")
    def recount(self, look: Callable[[], View], turn: Callable[..., Any]) -> list[str]:
        from casstore.backends.local.care.recount import recount, told

        return told(recount(self._store.blobs, look, turn))

    @told("look for lists that were kept aside")
    def kept_aside(self) -> list[str]:
        return kept_files(self._store)
