"""The way in: what arrives is staged without the lock, then admitted in one durable change."""

from __future__ import annotations

from casstore.clock import current_time
from casstore.errors import Locked, RegistryError, warn
from casstore.model.keys import LOAD
from casstore.results.exchange import LoadResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casstore.change.commit import Change
    from casstore.model.parameters import StrPath
    from casstore.model.record import Arrival
    from casstore.ports.backend import Backend
    from casstore.ports.ingest import Ingest
    from casstore.progress import Progress
    from casstore.store.session import Session

FROM_REGISTRY = ("docker", "")  # transport and path

ROOM_AT_ONCE = 64 << 20  # bytes that a load which meets a full disk takes from the trash


def take_in(
    session: Session,
    read: Callable[[Ingest, Progress | None], Sequence[Arrival]],
    *,
    origin: Sequence[str] | None = FROM_REGISTRY,
    policy: StrPath | None = None,
    digests_only: Callable[[], bool] | None = None,
    clobber: bool = True,
    action: str = LOAD,
    given: Callable[[Change], None] | None = None,
) -> LoadResult:
    """The way in: stage what `read` brings without the lock, then admit it in one change.

    Args:
        read: stages blobs, counts them where it is told to, and says what images they are.
        origin: the transport and the path that images come from, as trust policies name them,
            looked at when `read` has returned; None for what is made here.
        policy: path of a trust policy, instead of the store's own.
        digests_only: whether layers are held to their digests and sizes alone (`by_setting`).
        clobber: whether names that the store has move to what comes under them.
        action: what events call it.
        given: of what a client of a registry gives, blobs first, and to which nothing is added:
            called in the change when the images are admitted.
    """
    return session.reported(
        lambda progress: _taken_in(
            session,
            read,
            origin=origin,
            policy=policy,
            digests_only=digests_only,
            progress=progress,
            clobber=clobber,
            action=action,
            given=given,
        )
    )


def by_setting(session: Session, verify: str | None) -> Callable[[], bool]:
    """What `take_in` wants to know, by what the caller asks for, else by the store's setting.

    Raises:
        UsageError: no value of `verify`.
    """
    if verify is not None:
        from casstore.model.keys import DIGEST, VERIFY
        from casstore.rules.settings import checked

        only = checked(VERIFY, verify) == DIGEST
        return lambda: only

    def in_force() -> bool:  # asked for when a layer comes compressed, which few commands meet
        from casstore.rules.settings import verifies_digests_only

        return verifies_digests_only(session.view().meta)

    return in_force


def _taken_in(
    session: Session,
    read: Callable[[Ingest, Progress | None], Sequence[Arrival]],
    *,
    origin: Sequence[str] | None,
    policy: StrPath | None,
    digests_only: Callable[[], bool] | None,
    progress: Progress | None,
    clobber: bool,
    action: str,
    given: Callable[[Change], None] | None,
) -> LoadResult:
    from casstore.change.admission import admit_arrivals

    if not session.backend.exists():
        with session.change(create=True) as change:
            change.commit()
    session.view()
    session.backend.prepare_ingest()
    ingest = None
    keep = committed = False
    try:
        _empty_trash_if_nearly_full(session)
        ingest = session.backend.begin_ingest(
            session.view, lambda: make_room(session), session.max_layer_size, digests_only,
            with_uploads=given is not None,
        )  # fmt: skip
        arrivals, forget = read(ingest, progress), given
        if forget is None:
            arrivals, forget = _united(session, arrivals, ingest)
        if ingest.not_linked:
            not_linked = (
                f"{ingest.not_linked} blobs were copied, not linked: they belong to another"
                " user, or others may write them, and a blob must not change"
            )
            session.notice([not_linked])
        if origin is not None:
            ask_policy(session, policy, origin, arrivals, ingest)
        if progress is not None:
            progress.finish()
            progress.task("Committing")
        ingest.flush()
        uses = session.backend.uses  # imported before the change: nothing may fail after it
        with session.change() as change:
            change.index.drop_expired_trash(change.now)
            change.publish_blobs(ingest)
            images = admit_arrivals(change.index, arrivals, action=action, clobber=clobber)
            forget(change)
            change.commit()
            committed = True
            uses.note((image.id for image in images), current_time())
    except (RegistryError, Locked, KeyboardInterrupt, SystemExit):
        keep = True  # trying again can work, and goes on with what has come
        raise
    finally:
        left = []
        if ingest is not None:
            left = ingest.close(keep_parts=keep, drop_uploads=committed)
        warn(left)
    return LoadResult(images, (*change.warnings, *left))


def _united(
    session: Session, arrivals: Sequence[Arrival], ingest: Ingest
) -> tuple[Sequence[Arrival], Callable[[Change], None]]:
    """Let signatures that arrive stand beside those that the store has, not for them.

    Returns:
        What to admit, and what to call in the change after that.
    """
    from casstore.model.reference import subject_of

    if not any(subject_of(name) for arrival in arrivals for name in arrival.names):
        return arrivals, _nothing
    from casstore.flows.signatureunion import drop_unnamed, unite_with_stored

    united, replaced = unite_with_stored(arrivals, ingest, session.view())
    return united, lambda change: drop_unnamed(change, replaced)


def _empty_trash_if_nearly_full(session: Session) -> None:
    """Free what a load may need soon, as far as the trash goes; its oldest goes first."""
    lacking = session.backend.lacking_bytes()
    if lacking:
        make_room(session, lacking)


def make_room(session: Session, byte_count: int = ROOM_AT_ONCE) -> bool:
    """Empty the trash, oldest first, until so many bytes are free; False if it was empty.

    Through a connection of its own: a load calls it while it reads, from whichever thread.
    """
    from casstore.change.trash import empty_oldest

    other = session.another()
    try:
        if other.view().trash.oldest() is None:
            return False
        return other.change_that_frees(lambda change: empty_oldest(change, byte_count))
    finally:
        other.close()


def ask_policy(
    session: Session,
    policy: StrPath | None,
    origin: Sequence[str],
    arrivals: Sequence[Arrival],
    ingest: Ingest,
) -> None:
    """The door: nothing comes in that the trust policy refuses."""
    path = policy_in_force(session.backend, policy)
    if path is None:
        return
    from casstore.flows.trustpolicy import Origin, check_arrivals

    check_arrivals(path, Origin(*origin), arrivals, ingest, session.view())


def policy_in_force(backend: Backend, policy: StrPath | None) -> str | None:
    """Path of the trust policy in force: the one given, else the store's own."""
    if policy is not None:
        from casstore.model.arguments import path_of

        return path_of(policy)
    return backend.trust_policy()


def _nothing(change: Change) -> None:
    """No artifact was replaced."""
