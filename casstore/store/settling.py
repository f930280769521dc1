"""Layers that came in by their digests alone, settled for a session: all of them, or some now."""

from __future__ import annotations

from casstore.errors import Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.change.settling import Settling
    from casstore.model.digest import Digest
    from casstore.model.kept import LayerRecord
    from casstore.progress import Progress
    from casstore.store.session import Session


def settled(session: Session, seconds: float | None = None) -> Settling:
    """Read what nobody has read, for so many seconds, and what is begun to its end.

    Where the store cannot be changed, nothing that is found is written.
    """
    from casstore.change.settling import promises

    def settle(progress: Progress | None) -> Settling:
        settling = _settling(session, progress)
        settling.settle(promises(session.view()), seconds=seconds)
        return settling

    return session.reported(settle)


def settle_some(
    session: Session, layers: Sequence[LayerRecord], progress: Progress | None
) -> dict[Digest, LayerRecord]:
    """Read layers that are about to be used; what they are, by blob digest.

    Raises:
        BeyondLimit: more comes out of one than may.
        Damaged: one is not what was promised; or its blob is missing, or not its digest.
        StorageError: it cannot be read.
    """
    from casstore.change.settling import told

    settling = _settling(session, progress)
    settling.settle(layers)
    if settling.errors:
        raise settling.errors[0]
    if settling.damaged:
        raise Damaged(told(settling.damaged[0]))
    return settling.found


def _settling(session: Session, progress: Progress | None) -> Settling:
    from casstore.change.settling import Settling

    return Settling(
        session.backend.blobs,
        session.view,
        session.change_that_frees if session.backend.is_writable() else None,
        max_layer_size=session.max_layer_size,
        progress=progress,
    )
