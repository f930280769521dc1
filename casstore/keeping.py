"""The part of Store that keeps things: leases hold images, the trash keeps what was removed."""

from __future__ import annotations

from casstore.disk.local import current_time, end_of
from casstore.errors import NotFound, UsageError
from casstore.opening import OpenStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.leases import Lease
    from casstore.results.keeping import (
        EmptiedTrash,
        LeaseInfo,
        RestoreResult,
        SettingValue,
        TrashEntry,
    )


class KeepingStore(OpenStore):
    """A store that holds images for somebody, and whose removals can be undone."""

    # Leases

    def lease(self, *images: str, name: str | None = None) -> Lease:
        """Hold images for as long as this process lives, or until the context ends (hard).

        Raises:
            NotFound: one of them is not in the store.
        """
        from casstore.model.arguments import several

        images = several(images, "images")
        uses = self.disk.uses  # imported before the change: nothing may fail after it
        lease = self._hold(images, name)
        uses.note(lease.images, current_time())
        return lease

    def leases(self) -> list[LeaseInfo]:
        """All live leases: hard ones first."""
        from casstore.leases import live_leases

        return live_leases(self.disk, self._view(), current_time())

    def add_lease(self, name: str, image: str, ttl_seconds: float | None = 86400.0) -> None:
        """Keep an image by name until the time is over (soft: rmi -f overrides it)."""
        from casstore.leases import check_lease_name
        from casstore.rules.resolve import resolve

        check_lease_name(name)
        uses = self.disk.uses  # imported before the change: nothing may fail after it
        now = current_time()
        expires = None if ttl_seconds is None else end_of(now, ttl_seconds * 1e9)
        with self._change() as change:
            change.index.drop_expired(now)
            held = resolve(change.index, image).image
            change.index.set_lease(name, held, expires)
            change.commit()
        uses.note((held,), now)

    def remove_lease(self, *names: str) -> None:
        """End soft leases: all of them, or none where one is none. Raises NotFound."""
        from casstore.model.arguments import several

        names = several(names, "names")
        with self._change() as change:
            for name in dict.fromkeys(names):
                if not change.index.drop_lease(name):
                    for hard in self.disk.hard_leases():
                        if hard.name == name:
                            raise NotFound(
                                f"{name} is a hard lease: it ends with the process that holds it"
                            )
                    raise NotFound(f"No such lease: {name}")
            change.commit()

    # The trash

    def trash(self) -> list[TrashEntry]:
        """What was removed and kept, newest first; entries whose time is over while they last."""
        from casstore.trash import list_trash

        return list_trash(self._view())

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
        from casstore.model.arguments import several
        from casstore.model.reference import parse_target
        from casstore.trash import restore_entries

        arguments = [str(entry) for entry in several(entries, "entries", (str, int))]
        if name is not None and len(entries) != 1:
            raise UsageError("one name is for one entry of the trash")
        target = None if name is None else parse_target(name)
        with self._change() as change:
            return restore_entries(self.disk, change, arguments, name=target)

    def empty_trash(self, *entries: str | int) -> EmptiedTrash:
        """Remove entries of the trash for good (all, where none is named), and free their blobs.

        Raises:
            NotFound: one of them is not in the trash; nothing is removed.
        """
        from casstore.model.arguments import several
        from casstore.trash import empty_entries

        arguments = [str(entry) for entry in several(entries, "entries", (str, int))]
        return self._change_that_frees(lambda change: empty_entries(change, arguments))

    # Settings

    def settings(self) -> list[SettingValue]:
        """Every setting of the store, by name, with the value in force."""
        from casstore.results.keeping import SettingValue
        from casstore.rules.settings import SETTINGS, key_of, value_of

        view = self._view()
        return [
            SettingValue(name, value_of(view.meta, name), one.default,
                         view.meta(key_of(name)) is not None, one.help)
            for name, one in sorted(SETTINGS.items())
        ]  # fmt: skip

    def set_setting(self, name: str, value: str) -> None:
        """Set a setting of the store, for every process that uses it.

        Raises:
            NotFound: there is no such setting.
            UsageError: it does not take the value.
        """
        from casstore.rules.settings import checked, key_of

        text = checked(name, value)
        with self._change() as change:
            change.index.set_meta(key_of(name), text)
            change.commit()

    def unset_setting(self, name: str) -> None:
        """Let the default hold again. Raises NotFound if there is no such setting."""
        from casstore.rules.settings import key_of, setting_named

        key = key_of(setting_named(name).name)
        with self._change() as change:
            change.index.drop_meta(key)
            change.commit()
