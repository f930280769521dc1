"""Images into a store and out to registries: the part of Store that talks to the world.

Whatever comes in goes one way: staged without the lock, then admitted in one durable change.
"""

from __future__ import annotations

import os

from casstore.disk.local import current_time
from casstore.errors import Locked, RegistryError
from casstore.opening import OpenStore
from casstore.results.exchange import LoadResult, PullResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from casstore.commit import Change
    from casstore.disk.ingest import Ingest
    from casstore.model.arguments import StrPath
    from casstore.model.record import Arrival
    from casstore.registry.access import Access
    from casstore.registry.http import Transport
    from casstore.results.exchange import PushedTag

    Tell = Callable[[str, str], None]

FROM_REGISTRY = ("docker", "")  # transport and path
ROOM_AT_ONCE = 64 << 20  # bytes that a load which meets a full disk takes from the trash


class ExchangingStore(OpenStore):
    """A store that takes images in, and exchanges them with registries."""

    def publish(self, *, on_demand: bool | None = None) -> None:
        """Write index.json, which other OCI tools read, as the store is now.

        Args:
            on_demand: True lets changes withdraw index.json from now on instead of keeping it up to
                date, so that they cost the same in a store of any size, until `publish` is called
                again; False ends that; None leaves it as it is.
        """
        from casstore.commit import ALWAYS, ON_DEMAND, PUBLISH

        with self._change() as change:
            if on_demand is not None:
                change.index.set_meta(PUBLISH, ON_DEMAND if on_demand else ALWAYS)
            change.publish()  # first: where that fails, the setting is as it was
            change.commit()

    def pull(
        self,
        name: str,
        *,
        platform: str | None = None,
        all_platforms: bool = False,
        all_tags: bool = False,
        referrers: bool = False,
        via: Access | Transport | None = None,
        tell: Tell | None = None,
        policy: StrPath | None = None,
    ) -> PullResult:
        """Pull an image from a registry; whole, or nothing is changed.

        What an earlier pull has fetched before it failed is gone on with.

        Args:
            name: `repository[:tag][@digest]`, as `docker pull` understands it.
            platform: `os/architecture[/variant]` to take from an index; this machine's by default.
            all_platforms: take the whole index; it is then the image that is named.
            all_tags: every tag of the repository, as one change.
            referrers: also what refers to the manifests that are kept: signatures, SBOMs.
            via: how to reach registries (`casstore.registry.access`); with a Transport the
                connections are shared among calls.
            tell: called with what happens: (`sha256 short:`, `Pulling fs layer`) and the like.
            policy: path of a trust policy, instead of the store's own. With a policy, what refers
                to the image is pulled too: it asks for signatures.

        Raises:
            NotFound: the registry has no such image, or none for the platform.
            RegistryError: the registry cannot be reached, or refuses.
            Refused: it sends something else than it should, or the policy refuses the image.
        """
        from casstore.model.platform import parse_platform
        from casstore.pulling import Pull, this_machine
        from casstore.registry.http import connected

        with connected(via) as transport:
            pull = Pull(
                transport,
                name,
                platform=parse_platform(platform) if platform else this_machine(),
                whole=all_platforms,
                every_tag=all_tags,
                referrers=referrers,
                signatures=self._policy(policy) is not None,
                tell=tell or _silent,
                progress=self.progress,
            )
            result = self._take_in(pull.read, policy=policy)
            notices = transport.take_notices()
        return PullResult(result.images, (*notices, *pull.warnings, *result.warnings))

    def push(
        self,
        name: str,
        *,
        all_tags: bool = False,
        referrers: bool = False,
        via: Access | Transport | None = None,
        tell: Tell | None = None,
    ) -> tuple[PushedTag, ...]:
        """Push an image (an index with all its platforms) to the registry that its name tells.

        The digest reference that it has there is recorded, as Docker does.

        Args:
            name: `repository[:tag]`.
            all_tags: every tag of the repository that the store has.
            referrers: also what refers to the image in the store: signatures, SBOMs.
            via: as for `pull`.
            tell: called with what happens; where the connections are its own, also with
                `Warning:` and what could not be asked.

        Raises:
            NotFound: the store has no such name.
            RegistryError: the registry cannot be reached, or refuses.
        """
        from casstore.pushing import Push
        from casstore.registry.http import connected
        from casstore.saving import StoredFiles

        telling = tell or _silent

        def told(notices: Sequence[str]) -> None:
            for notice in notices:
                telling("Warning:", notice)

        with connected(via, told) as transport:
            view = self._view()
            push = Push(
                transport,
                view,
                name,
                every_tag=all_tags,
                referrers=referrers,
                tell=telling,
                progress=self.progress,
            )
            blobs = StoredFiles(self.disk.blobs, view)
            if not self.disk.is_writable():  # there is nobody to hold the images from
                return tuple(push.send(blobs))
            with self._hold(push.images(), f"push-{os.getpid()}"):
                pushed = push.send(blobs)
                self._record(pushed)
        return tuple(pushed)

    def _record(self, pushed: Sequence[PushedTag]) -> None:
        """Give each pushed image its digest reference."""
        from casstore.model.reference import Reference

        view = self._view()
        wanted = {
            Reference(f"{p.name.repository}@{p.digest}"): p
            for p in pushed
            if any(top.digest == p.digest for top in view.tops_of(p.image))
        }
        if all(view.image_named(name) == p.image for name, p in wanted.items()):
            return
        with self._change() as change:
            for name, tag in wanted.items():
                # The lease keeps the image, not the one manifest, whose name may have gone.
                if tag.digest in {top.digest for top in change.index.tops_of(tag.image)}:
                    change.index.attach(name, tag.image, tag.digest, tagged=0)
            change.commit()

    def _take_in(
        self,
        read: Callable[[Ingest], Sequence[Arrival]],
        *,
        origin: Sequence[str] | None = FROM_REGISTRY,
        policy: StrPath | None = None,
    ) -> LoadResult:
        """The way in: stage what `read` brings without the lock, then admit it in one change.

        Args:
            read: stages blobs, and says what images they are.
            origin: the transport and the path that images come from, as trust policies name them,
                looked at when `read` has returned; None for what is made here.
            policy: path of a trust policy, instead of the store's own.
        """
        from casstore.admission import admit_arrivals
        from casstore.disk.ingest import Ingest
        from casstore.disk.schema import Error, database_error

        if not self.disk.exists():
            with self._change(create=True) as change:
                change.commit()
        self._view()
        self._complete_directories()
        ingest = None
        keep = False
        try:
            self._empty_trash_if_nearly_full()
            ingest = Ingest(
                self.disk.root, self.disk.blobs, self._view, self._make_room, self.max_layer_size
            )
            arrivals, forget = self._united(read(ingest), ingest)
            if ingest.not_linked:
                self.notices.append(
                    f"{ingest.not_linked} blobs were copied, not linked: they belong to another"
                    " user, or others may write them, and a blob must not change"
                )
            if origin is not None:
                self._ask_policy(policy, origin, arrivals, ingest)
            if self.progress is not None:
                self.progress.finish()
                self.progress.task("Committing")
            ingest.flush()
            uses = self.disk.uses  # imported before the change: nothing may fail after it
            with self._change() as change:
                change.index.drop_expired_trash(change.now)
                change.publish_blobs(ingest)
                images = admit_arrivals(change.index, arrivals)
                forget(change)
                change.commit()
                uses.note((image.id for image in images), current_time())
        except (RegistryError, Locked, KeyboardInterrupt, SystemExit):
            keep = True  # trying again can work, and goes on with what has come
            raise
        except OSError as error:
            from casstore.disk.durable import storage_error

            raise storage_error(error, "cannot load") from None
        except Error as error:  # of a look at the index
            raise database_error(error, self.disk.database) from None
        finally:
            left = ingest.close(keep_parts=keep) if ingest is not None else []
        return LoadResult(images, (*change.warnings, *left))

    def _empty_trash_if_nearly_full(self) -> None:
        """Free what a load may need soon, as far as the trash goes; its oldest goes first."""
        from casstore.disk.reserve import nearly_full

        lacking = nearly_full(self.disk.root)
        if lacking:
            self._make_room(lacking)

    def _make_room(self, byte_count: int = ROOM_AT_ONCE) -> bool:
        """Empty the trash, oldest first, until so many bytes are free; False if it was empty.

        Through a connection of its own: a load calls it while it reads, from whichever thread.
        """
        from casstore.disk.sqlitetrash import TrashTables
        from casstore.trash import empty_oldest

        with OpenStore(self.path, lock_timeout=self._lock_timeout, command=self._command) as other:
            if TrashTables(other._view()).oldest() is None:  # noqa: SLF001 - one of us
                return False
            return other._change_that_frees(  # noqa: SLF001
                lambda change: empty_oldest(change, byte_count)
            )

    def _united(
        self, arrivals: Sequence[Arrival], ingest: Ingest
    ) -> tuple[Sequence[Arrival], Callable[[Change], None]]:
        """Let signatures that arrive stand beside those that the store has, not for them.

        Returns:
            What to admit, and what to call in the change after that.
        """
        from casstore.model.reference import subject_of

        if not any(subject_of(name) for arrival in arrivals for name in arrival.names):
            return arrivals, _nothing
        from casstore.uniting import drop_unnamed, unite_with_stored

        united, replaced = unite_with_stored(arrivals, ingest, self._view())
        return united, lambda change: drop_unnamed(change, replaced)

    def _ask_policy(
        self,
        policy: StrPath | None,
        origin: Sequence[str],
        arrivals: Sequence[Arrival],
        ingest: Ingest,
    ) -> None:
        """The door: nothing comes in that the trust policy refuses."""
        path = self._policy(policy)
        if path is None:
            return
        from casstore.gatekeeping import Origin, check_arrivals

        check_arrivals(path, Origin(*origin), arrivals, ingest, self._view())

    def _policy(self, policy: StrPath | None) -> str | None:
        """Path of the trust policy in force: the one given, else the store's own."""
        if policy is not None:
            from casstore.model.arguments import path_of

            return path_of(policy)
        return self.disk.policy if os.path.lexists(self.disk.policy) else None


def _silent(what: str, to: str) -> None:
    """Nobody wants to be told."""


def _nothing(change: Change) -> None:
    """No artifact was replaced."""
