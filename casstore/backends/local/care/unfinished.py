"""What a change that was stopped has left to the next one, counted for gc.

The start of every change finishes it, also that of gc, which is to say what it freed.
"""

from __future__ import annotations

import os

from casstore.backends.local.leftovers import leftovers, measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from casstore.backends.local.directory import LocalStore
    from casstore.backends.local.view import LocalView
    from casstore.model.digest import Digest


class Unfinished:
    """Doomed blobs that are there still, and files in ingest/ that no live process holds."""

    def __init__(self, disk: LocalStore, view: LocalView) -> None:
        """Look what there is; no lock is needed."""
        self._disk = disk
        self._blobs: dict[Digest, int] = {}
        for digest in view.doomed():
            try:
                status = os.lstat(disk.blobs.path(digest))
            except OSError:
                continue  # gone already
            self._blobs[digest] = status.st_size if status.st_nlink == 1 else 0
        self._files = {path: measure(path) for path in leftovers(disk.root)}

    def would_go(self) -> tuple[int, int, int]:
        """Blobs, files and bytes of a dry run, less doomed blobs, which it counts as orphans."""
        return 0, *self._sum(self._files)

    def gone(self) -> tuple[int, int, int]:
        """Blobs, files and bytes that are not there any more."""
        blobs = [one for one in self._blobs if not os.path.lexists(self._disk.blobs.path(one))]
        files, size = self._sum([one for one in self._files if not os.path.lexists(one)])
        return len(blobs), files, size + sum(self._blobs[one] for one in blobs)

    def _sum(self, paths: Iterable[str]) -> tuple[int, int]:
        found = [self._files[path] for path in paths]
        return sum(files for files, _ in found), sum(size for _, size in found)
