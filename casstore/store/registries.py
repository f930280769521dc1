"""Registries: images pulled from them and pushed to them."""

from __future__ import annotations

import os

from casstore.errors import warn
from casstore.model.keys import PULL, PUSH, TAG
from casstore.results.exchange import PullResult
from casstore.store.intake import by_setting, policy_in_force, take_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casstore.model.parameters import StrPath, Tell
    from casstore.progress import Progress
    from casstore.registry.access import Access
    from casstore.registry.http import Transport
    from casstore.results.exchange import PushedTag
    from casstore.store.session import Session


class Registries:
    """Pulling and pushing."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

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
        verify: str | None = None,
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
            verify: as for `load`.

        Raises:
            NotFound: the registry has no such image, or none for the platform.
            RegistryError: the registry cannot be reached, or refuses.
            Refused: it sends something else than it should, or the policy refuses the image.
        """
        from casstore.flows.pull import Pull
        from casstore.model.platform import parse_platform, this_machine
        from casstore.registry.http import connected

        digests_only = by_setting(self._session, verify)
        with connected(via) as transport:
            pull = Pull(
                transport,
                name,
                platform=parse_platform(platform) if platform else this_machine(),
                whole=all_platforms,
                every_tag=all_tags,
                referrers=referrers,
                signatures=policy_in_force(self._session.backend, policy) is not None,
                tell=tell or _silent,
            )
            result = take_in(
                self._session, pull.read, policy=policy, digests_only=digests_only, action=PULL
            )
            warn(pull.warnings)
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
        from casstore.flows.push import Push
        from casstore.flows.storedfiles import StoredFiles
        from casstore.registry.http import connected

        telling = tell or _silent

        def told(notices: Sequence[str]) -> None:
            for notice in notices:
                telling("Warning:", notice)

        with connected(via, told) as transport:
            view = self._session.view()
            push = Push(
                transport,
                view,
                name,
                every_tag=all_tags,
                referrers=referrers,
                tell=telling,
            )
            blobs, note = StoredFiles(self._session.backend.blobs, view), self._session.noting(PUSH)

            def send(progress: Progress | None) -> list[PushedTag]:
                pushed = push.send(blobs, progress)
                note(*[(one.image, one.name) for one in pushed])
                return pushed

            if not self._session.backend.is_writable():  # there is nobody to hold the images from
                return tuple(self._session.reported(send))
            with self._session.hold(push.images(), f"push-{os.getpid()}"):
                pushed = self._session.reported(send)
                self._record(pushed)
        return tuple(pushed)

    def _record(self, pushed: Sequence[PushedTag]) -> None:
        """Give each pushed image its digest reference."""
        from casstore.model.reference import Reference

        view = self._session.view()
        wanted = {
            Reference(f"{p.name.repository}@{p.digest}"): p
            for p in pushed
            if any(top.digest == p.digest for top in view.tops_of(p.image))
        }
        if all(view.image_named(name) == p.image for name, p in wanted.items()):
            return
        with self._session.change() as change:
            for name, tag in wanted.items():
                # The lease keeps the image, not the one manifest, whose name may have gone.
                if tag.digest in {top.digest for top in change.index.tops_of(tag.image)}:
                    change.index.attach(name, tag.image, tag.digest, tagged=0)
                    change.index.record(TAG, tag.image, name)
            change.commit()


def _silent(what: str, to: str) -> None:
    """Nobody wants to be told."""
