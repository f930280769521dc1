"""What is pulled is in use: noted for policies of gc that go by the last use.

Once in a while for each image is enough, for a policy counts in days; the journal would grow with
every request otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

from casstore.clock import current_time
from casstore.model.digest import Digest
from casstore.ports.backend import Backend

_AGAIN = 600 * 1_000_000_000  # ns
_MOST = 10_000

_noted: dict[tuple[str, Digest], int] = {}


def note(backend: Backend, images: Iterable[Digest]) -> None:
    """Note that images are used now, unless that was noted a short while ago."""
    now = current_time()
    new = [one for one in images if now - _noted.get((backend.where, one), 0) > _AGAIN]
    if not new:
        return
    if len(_noted) > _MOST:
        _noted.clear()
    _noted.update(((backend.where, one), now) for one in new)
    backend.uses.note(new, now)
