"""The trash: what was removed and kept, and bringing it back."""

from __future__ import annotations

import builtins

from casstore.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.results.trash import EmptiedTrash, RestoreResult, TrashEntry
    from casstore.store.session import Session


class Trash:
    """The trash of a store."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def __repr__(self) -> str:
        return f"<casstore.Trash of {self._session.backend.where!r}>"

    def list(self) -> builtins.list[TrashEntry]:
        """What was removed and kept, newest first; entries whose time is over while they last."""
        from casstore.change.trash import list_trash

        return list_trash(self._session.view())

    def restore(self, *entries: str | int, name: str | None = None) -> RestoreResult:
        """Bring back what a removal took: the image, its parents that went with it, its names.

        All of it or nothing; it leaves the trash. An image that is there again gets the names
        only.

        Args:
            entries: entries by number (`TrashEntry.id`), or by a name or image ID in them, which
                mean the newest that has it.
            name: one name for the image, in place of those that it had; for one entry only.

        Raises:
            NotFound: it is not in the trash.
            Conflict: another image has one of the names now.
            InvalidReference: `name` is no name for a tag.
            Damaged: bytes of it are missing.
        """
        from casstore.change.trash import restore_entries
        from casstore.model.arguments import several
        from casstore.model.reference import parse_target

        arguments = [str(entry) for entry in several(entries, "entries", (str, int))]
        if name is not None and len(entries) != 1:
            raise UsageError("one name is for one entry of the trash")
        target = None if name is None else parse_target(name)
        with self._session.change() as change:
            return restore_entries(self._session.backend, change, arguments, name=target)

    def empty(self, *entries: str | int) -> EmptiedTrash:
        """Remove entries of the trash for good (all, where none is named), and free their blobs.

        Raises:
            NotFound: one of them is not in the trash; nothing is removed.
        """
        from casstore.change.trash import empty_entries
        from casstore.model.arguments import several

        arguments = [str(entry) for entry in several(entries, "entries", (str, int))]
        return self._session.change_that_frees(lambda change: empty_entries(change, arguments))
