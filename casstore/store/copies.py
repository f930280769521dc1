"""Copies: one image from one place to another; its digest stays where it can."""

from __future__ import annotations

import os
from functools import partial

from casstore.errors import NotFound, Refused, quote
from casstore.model.keys import COPY
from casstore.store.intake import by_setting, policy_in_force, take_in
from casstore.transfer.formats import IMAGES, ONE, format_of
from casstore.transfer.place import REGISTRY, STORE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from casstore.model.descriptor import Descriptor
    from casstore.model.digest import Digest
    from casstore.model.parameters import StrPath
    from casstore.model.platform import Platform
    from casstore.model.record import Arrival, ImageRecord
    from casstore.model.reference import Reference
    from casstore.ports.ingest import Ingest
    from casstore.progress import Progress
    from casstore.registry.access import Access
    from casstore.registry.http import Transport
    from casstore.store.session import Session
    from casstore.transfer.place import Place

_MOST_DIGITS = 6  # of the position of an image in an archive


class Copies:
    """Copying into the store and out of it."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def copy_in(
        self,
        source: Place,
        name: str,
        *,
        platform: str | None = None,
        whole: bool = False,
        compression: str = "zstd",
        via: Access | Transport | None = None,
        policy: StrPath | None = None,
        verify: str | None = None,
    ) -> Digest:
        """Copy an image into the store, under a name; one durable change.

        Args:
            source: where it is.
            name: the tag that it gets.
            platform: which image of an index to take; this machine's by default.
            whole: take an index with all its platforms.
            compression: of layers that arrive uncompressed.
            via: how to reach a registry.
            policy: path of a trust policy, instead of the store's own. With a policy, what refers
                to an image of a registry comes too: it asks for signatures.
            verify: as for `load`.

        Returns:
            The digest of its manifest or index.

        Raises:
            NotFound: no such image, or none for the platform.
            Refused: the source is not what it should be, or has several images and none is named.
        """
        from casstore.model.reference import parse_target
        from casstore.registry.http import connected

        target = parse_target(name)
        wanted = _platform(platform)
        digests_only = by_setting(self._session, verify)
        if source.transport == STORE:
            _, top = self._chosen(source.where, wanted, whole=whole)
            take_in(
                self._session,
                lambda ingest, _: [_arrival(_stored(ingest, top), target)],
                origin=None,
                action=COPY,
            )
            return top.digest
        tops: list[Digest] = []

        def read(ingest: Ingest, progress: Progress | None) -> Sequence[Arrival]:
            referrers: list[Arrival] = []
            if source.transport == REGISTRY:
                from casstore.flows.newname import beside
                from casstore.flows.pull import Pull

                with connected(via) as transport:
                    pull = Pull(
                        transport, source.where, platform=wanted, whole=whole, every_tag=False,
                        signatures=policy_in_force(self._session.backend, policy) is not None,
                        tell=_silent,
                    )  # fmt: skip
                    first, *rest = pull.read(ingest, progress)
                    for warning in pull.warnings:
                        transport.notice(warning)
                image, referrers = first.image, [beside(one, target) for one in rest]
            else:
                image = _read_one(
                    ingest, source, wanted, compression, whole=whole, progress=progress,
                    notices=self._session.notices,
                )  # fmt: skip
            arrivals = [_arrival(image, target), *referrers]
            ingest.keep_only({blob.digest for one in arrivals for blob in one.image.blobs})
            tops.append(image.top.digest)
            return arrivals

        # What it is called where it comes from is what a trust policy is about.
        is_remote = source.transport == REGISTRY
        origin = (source.transport, source.where if is_remote else os.path.realpath(source.where))
        take_in(
            self._session, read, origin=origin, policy=policy, digests_only=digests_only,
            action=COPY,
        )  # fmt: skip
        return tops[0]

    def copy_out(
        self,
        image: str,
        target: Place,
        *,
        platform: str | None = None,
        whole: bool = False,
        via: Access | Transport | None = None,
    ) -> Digest:
        """Copy an image of the store to a registry, a layout or an archive.

        Args:
            image: a name or an ID.
            target: where to; a directory must be empty or not be there.
            platform, whole, via: as for `copy_in`.

        Returns:
            The digest of its manifest or index.

        Raises:
            NotFound: no such image.
            RegistryError, Refused, StorageError: the target does not take it.
        """
        from casstore.flows.push import Push
        from casstore.flows.save import write_saved
        from casstore.flows.storedfiles import StoredFiles
        from casstore.registry.http import connected
        from casstore.store.settling import settle_some
        from casstore.transfer.saved import SavedImage

        found, top = self._chosen(image, _platform(platform), whole=whole)
        view = self._session.view()
        with self._kept(view.images_needing(top.digest)[:1]):
            if target.transport == REGISTRY:
                with connected(via) as transport:
                    push = Push(
                        transport, view, target.where, every_tag=False, tell=_silent,
                        source=(found, top),
                    )  # fmt: skip
                    blobs = StoredFiles(self._session.backend.blobs, view)
                    self._session.reported(lambda progress: push.send(blobs, progress))
                return top.digest
            form = format_of(target.transport)
            names: tuple[Reference, ...] = ()
            if form.holds == IMAGES and target.reference:
                from casstore.model.reference import parse_target

                names = (parse_target(target.reference),)
            saved = SavedImage(found, top, names, None, target.reference)
            self._session.reported(
                lambda progress: write_saved(
                    self._session.backend,
                    view,
                    [saved],
                    target.where,
                    form,
                    progress=progress,
                    settle=partial(settle_some, self._session),
                )
            )
        return top.digest

    def _kept(self, images: Sequence[Digest]) -> AbstractContextManager[object]:
        """A lease for as long as the copy takes; none where nobody can write."""
        if not self._session.backend.is_writable():
            from contextlib import nullcontext

            return nullcontext()
        return self._session.hold(images, f"copy-{os.getpid()}")

    def _chosen(self, image: str, platform: Platform, *, whole: bool) -> tuple[Digest, Descriptor]:
        """The image ID and the manifest that a copy of `image` takes."""
        from casstore.model import mediatype
        from casstore.model.descriptor import Descriptor
        from casstore.queries.platforms import choose_platform
        from casstore.rules.resolve import resolve

        view = self._session.view()
        found = resolve(view, image)
        top = view.top_named(found.name.reference) if found.name is not None else None
        top = top or view.tops_of(found.image)[0]
        if whole or not mediatype.is_index(top.media_type):
            return found.image, top
        row = choose_platform(view, self._session.backend.blobs, found.image, platform)
        size = view.blob_size(row.manifest)
        assert size is not None
        return row.id, Descriptor(row.media_type, row.manifest, size)


def _read_one(
    ingest: Ingest,
    source: Place,
    platform: Platform,
    compression: str,
    *,
    whole: bool,
    progress: Progress | None,
    notices: list[str],
) -> ImageRecord:
    """Stage an archive or layout, and choose one image of it."""
    from casstore.transfer.compress import parse_compression
    from casstore.transfer.source import find_images

    how = parse_compression(compression)
    found = find_images(source.where, ingest, compression=how, progress=progress)
    image = _named(found.arrivals, source).image
    # Elsewhere it may be told of other images, or of names.
    if format_of(source.transport).holds == ONE:
        notices += found.notices
    return image if whole else _for_platform(ingest, image, platform)


def _named(arrivals: Sequence[Arrival], source: Place) -> Arrival:
    """The arrival that a place means: by its reference, or the only one."""
    if not source.reference:
        if len({arrival.image.top.digest for arrival in arrivals}) == 1:
            return arrivals[0]
        raise Refused(f"{quote(source.where)} has several images: name one of them after a colon")
    position = source.reference.removeprefix("@")
    in_order = format_of(source.transport).holds == IMAGES
    if in_order and position != source.reference and _is_count(position):
        if int(position) >= len(arrivals):
            raise NotFound(
                f"{quote(source.where)} has {len(arrivals)} images, so none at {source.reference}"
            )
        return arrivals[int(position)]
    for arrival in arrivals:
        for name in arrival.names:
            if source.reference in (name.tag, name.familiar, name, f"{name}".rpartition("@")[2]):
                return arrival
    raise NotFound(f"{quote(source.where)} has no image {quote(source.reference)}")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _for_platform(ingest: Ingest, image: ImageRecord, platform: Platform) -> ImageRecord:
    """The image itself, or the one for a platform where it is an index."""
    from casstore.model.imagetree import read_tree
    from casstore.model.treechecks import manifest_for
    from casstore.transfer.stagedtree import StagedTree

    top = manifest_for(image.top, platform, lambda index: ingest.read(index.digest))
    if top == image.top:
        return image
    return read_tree(top, StagedTree(ingest, {layer.digest: layer for layer in image.layers}))


def _stored(ingest: Ingest, top: Descriptor) -> ImageRecord:
    """The record of an image that the store has, its blobs pinned."""
    from casstore.model.imagetree import read_tree
    from casstore.transfer.stagedtree import StagedTree

    return read_tree(top, StagedTree(ingest))


def _arrival(image: ImageRecord, name: Reference) -> Arrival:
    from casstore.model.record import Arrival

    return Arrival(image, (name,), None)


def _platform(text: str | None) -> Platform:
    from casstore.model.platform import parse_platform, this_machine

    return parse_platform(text) if text else this_machine()


def _silent(what: str, to: str) -> None:
    """A copy tells its end alone."""
