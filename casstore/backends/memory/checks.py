"""What a store in memory can say of itself: it has no disk to fail it, and no index to lose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casstore.errors import UsageError
from casstore.model.digest import sha256
from casstore.model.findings import BROKEN_LAYER, UNSETTLED, CheckResult, Finding
from casstore.model.state import PROMISED
from casstore.rules.hurt import hurt_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casstore.backends.memory.blobs import MemoryBlobs
    from casstore.ports.change import Changing
    from casstore.ports.locks import WritersLock
    from casstore.ports.view import View
    from casstore.progress import Progress


class MemoryChecks:
    """Counts against edges, blobs against their digests."""

    def __init__(self, look: Callable[[], View], blobs: MemoryBlobs) -> None:
        self._look, self._blobs = look, blobs

    def check(
        self,
        repaired: Sequence[str],
        *,
        content: bool,
        documents: bool = True,
        progress: Progress | None = None,
    ) -> CheckResult:
        view = self._look()
        findings, blobs, size = [], 0, 0
        counted = dict.fromkeys((state.digest for state in view.all_blobs()), 0)
        for _, child in view.all_edges():
            counted[child] += 1
        for _, top in view.all_tops():
            counted[top.digest] += 1
        for number in view.trash.ids():
            for state in view.trash.held_by(number):
                counted[state.digest] += 1
        for state in view.all_blobs():
            digest = state.digest
            if counted[digest] != state.refcount:
                text = f"{state.refcount}, counted {counted[digest]}"
                findings.append(Finding("error", "refcount-wrong", digest, text))
            data = self._blobs.content(digest, state.size)
            if data is None:
                findings.append(Finding("error", "blob-missing", digest, "it is not there"))
                continue
            if len(data) != state.size or (content and sha256(data) != digest):
                findings.append(Finding("error", "blob-corrupt", digest, "other bytes"))
            blobs += 1
            size += len(data)
        for layer in view.unsettled_layers():
            if layer.state == PROMISED:
                findings.append(Finding("note", UNSETTLED, layer.digest, "nobody has read it"))
            else:
                text = f"it does not decompress to its end; needed by {hurt_by(view, layer.digest)}"
                findings.append(Finding("error", BROKEN_LAYER, layer.digest, text))
        return CheckResult(tuple(findings), blobs, size, tuple(repaired))

    def repair(self, change: Changing, *, content: bool) -> tuple[list[str], bool]:
        change.commit()
        return [], False

    def mend_from(
        self, change: Callable[[], Changing], sources: Sequence[str], *, content: bool
    ) -> tuple[list[str], list[str]]:
        raise UsageError("a store in memory is not repaired: load its images again")

    def rebuild(
        self, change: Callable[[], Changing], locked: Callable[[], WritersLock]
    ) -> tuple[list[str], bool]:
        raise UsageError("a store in memory has nothing to be rebuilt from")

    def give_rights_back(self) -> list[str]:
        return []

    def is_damaged(self) -> bool:
        return False

    def require_sound(self) -> None:
        """It is."""

    def recount(self, look: Callable[[], View], turn: Callable[..., Any]) -> list[str]:
        return []

    def kept_aside(self) -> list[str]:
        return []
