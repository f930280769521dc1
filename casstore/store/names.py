"""Names: giving them to images and taking them away, and with the last name the image."""

from __future__ import annotations

from casstore.clock import current_time
from casstore.model.keys import PIN, PRUNE, TAG, UNPIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casstore.gc.stop import Stop
    from casstore.model.parameters import Several
    from casstore.model.removal import PruneResult, RemovalResult
    from casstore.store.session import Session


class Names:
    """Tagging, pinning and removing."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def tag(self, source: str, target: str) -> None:
        """Let the name `target` point to the image `source`.

        Raises:
            InvalidReference: `target` is no name for a tag.
            NotFound: no such image.
        """
        from casstore.model.reference import parse_target
        from casstore.rules.resolve import resolve

        name = parse_target(target)
        uses = self._session.backend.uses  # imported before the change: nothing may fail after it
        with self._session.change() as change:
            found = resolve(change.index, source)
            top = change.index.top_named(found.name.reference) if found.name else None
            if top is None:
                top = change.index.tops_of(found.image)[0]
            now = current_time()
            change.index.attach(name, found.image, top.digest, tagged=now)
            change.index.record(TAG, found.image, name)
            change.commit()
            uses.note((found.image,), now)

    def pin(self, *images: str, pinned: bool = True) -> None:
        """Protect images from every removal that is not forced; or, not `pinned`, no more.

        All of them or none. Raises NotFound.
        """
        from casstore.model.arguments import several
        from casstore.rules.resolve import resolve

        images = several(images, "images")
        with self._session.change() as change:
            for found in [resolve(change.index, name) for name in images]:
                change.index.set_pin(found.image, pinned=pinned)
                name = found.name.reference if found.name is not None else None
                change.index.record(PIN if pinned else UNPIN, found.image, name)
            change.commit()

    def remove(
        self,
        images: Several[str],
        *,
        force: bool = False,
        prune: bool = True,
        dry_run: bool = False,
        glob: bool = False,
        verbose: bool = False,
        keep: float | None = None,
    ) -> RemovalResult:
        """Remove names, images and every blob that nothing needs any more (`rmi`).

        Each argument succeeds or fails on its own; all that succeed are one durable change.

        Args:
            images: names, IDs, ID prefixes, or `repository@digest`.
            force: remove all references of an image named by ID; override soft leases.
            prune: delete untagged parents too.
            dry_run: change nothing, return what would happen.
            glob: arguments with `*`, `?` or `[` are patterns, and mean the references they fit.
            verbose: fill `Outcome.kept`.
            keep: seconds for which the trash keeps what goes, 0 for not at all; by default as the
                store's setting `trash.keep` says.
        """
        from casstore.change.removal import remove_images
        from casstore.model.arguments import several

        images = several(images, "images")
        kept = None if keep is None else int(keep * 1e9)
        return self._session.attempt(
            lambda change: remove_images(
                change, images, force=force, prune=prune, glob=glob, verbose=verbose, keep=kept
            ),
            dry_run=dry_run,
        )

    def prune(
        self,
        *,
        all: bool = False,
        filters: Several[str] = (),
        dry_run: bool = False,
        keep: float | None = None,
        stop: Stop | None = None,
    ) -> PruneResult:
        """Remove dangling images (with `all`: every image), skipping what is in use.

        Which ones is decided at the beginning. They go in short turns, each a durable change of its
        own; what others name, lease or build on meanwhile, stays.

        Args:
            all: not only dangling images.
            filters: `until=`, `label=`, `label!=`, `reference=` and the other filters of images.
            dry_run: change nothing, return what would happen.
            keep: as for `remove`.
            stop: lets a signal handler end the run, or a callback of `progress`.

        Raises:
            BadFilter: a filter does not exist, or does not take its value.
            Stopped: a signal handler has ended it before it removed an image.
        """
        from casstore.gc.prune import Choice, Prune, rehearsed
        from casstore.gc.stop import Stop
        from casstore.model.arguments import several

        session = self._session
        kept = None if keep is None else int(keep * 1e9)
        choice = Choice(everything=all, filters=several(filters, "filters"), keep=kept)
        if dry_run:
            return session.rehearse(lambda rehearsal: rehearsed(rehearsal, choice))
        prune, note = (
            Prune(choice, session.change_that_frees, stop or Stop()),
            session.noting(PRUNE),
        )
        result = session.reported(lambda progress: prune.run(session.view, progress))
        note(reclaimed=str(result.reclaimed))
        return result

    def use(self, *images: str) -> None:
        """Say that images are in use now, for policies that go by the last use. Raises NotFound."""
        from casstore.model.arguments import several
        from casstore.rules.resolve import resolve

        images = several(images, "images")
        view = self._session.view()
        self._session.backend.uses.note(
            [resolve(view, image).image for image in images], current_time()
        )
