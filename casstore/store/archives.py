"""Archives: images out of them and into them."""

from __future__ import annotations

import os
from functools import partial

from casstore.clock import current_time
from casstore.errors import warn
from casstore.model.keys import IMPORT, SAVE
from casstore.store.intake import by_setting, take_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO, BinaryIO

    from casstore.model.digest import Digest
    from casstore.model.parameters import Several, StrPath
    from casstore.model.record import Arrival
    from casstore.ports.ingest import Ingest
    from casstore.progress import Progress
    from casstore.results.exchange import LoadResult
    from casstore.store.session import Session


class Archives:
    """Loading, importing and saving."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def load(
        self,
        source: StrPath | IO[bytes],
        *,
        compression: str = "zstd",
        link: bool = False,
        policy: StrPath | None = None,
        verify: str | None = None,
        tag: str | None = None,
        clobber: bool = True,
    ) -> LoadResult:
        """Load every image of an archive or layout, or none.

        Args:
            source: path of a docker-archive, an OCI archive, an OCI layout directory or a directory
                of skopeo's `dir:` (an archive plain or compressed by gzip, zstd, xz or bzip2); or a
                binary stream of an archive.
            compression: of layers that arrive uncompressed: `zstd[:LEVEL]`, `gzip[:LEVEL]`, `none`.
            link: take a layout directory's blobs by hard link or reflink where that can be done.
            policy: path of a trust policy, instead of the store's own.
            verify: what is verified of layers that come compressed: `all`, or `digest`: their
                digests and sizes, and the rest when they are first read (`settle`). None: by the
                store's setting `verify`.
            tag: the name that the one image gets, in place of those that it comes with. Images that
                are only a parent of it, and what refers to it, do not count.
            clobber: move names that the store has to the images that come with them. Else such a
                name stays where it is (`LoadedImage.kept`), and the image comes without it.

        Raises:
            Refused: the input is wrong, hostile, beyond a limit, or against the policy; or there
                are several images for one `tag`. Nothing is changed.
        """
        from casstore.model.arguments import path_or_file
        from casstore.model.reference import parse_target
        from casstore.transfer.compress import parse_compression
        from casstore.transfer.source import find_images

        where = path_or_file(source)
        how = parse_compression(compression)
        digests_only = by_setting(self._session, verify)
        target = parse_target(tag) if tag is not None else None
        origin: list[str] = []
        notices: list[str] = []

        def read(ingest: Ingest, progress: Progress | None) -> Sequence[Arrival]:
            found = find_images(
                where, ingest, compression=how, link=link, progress=progress,
                settle=partial(self._settle, progress),
            )  # fmt: skip
            named = where if isinstance(where, str) and where != "-" else None
            origin[:] = found.transport, os.path.realpath(named) if named is not None else ""
            notices[:] = found.notices
            if target is None:
                return found.arrivals
            from casstore.flows.newname import named as with_name

            return with_name(found.arrivals, target)

        result = take_in(
            self._session, read, origin=origin, policy=policy, digests_only=digests_only,
            clobber=clobber,
        )  # fmt: skip
        warn(notices)
        return result._replace(warnings=(*notices, *result.warnings))

    def _settle(self, progress: Progress | None, diff_ids: set[Digest]) -> bool:
        """Read layers that the store has as promises of these diff IDs; whether there are any."""
        from casstore.model.state import PROMISED
        from casstore.store.settling import settle_some

        unsettled = self._session.view().unsettled_layers()
        found = [one for one in unsettled if one.state == PROMISED and one.diff_id in diff_ids]
        if found:
            settle_some(self._session, found, progress)
        return bool(found)

    def import_image(
        self,
        source: StrPath | IO[bytes],
        name: str | None = None,
        *,
        changes: Several[str] = (),
        message: str | None = None,
        parent: str | None = None,
        compression: str = "zstd",
        platform: str | None = None,
    ) -> Digest:
        """Make an image of one layer from a root file system tar; returns its image ID.

        Args:
            source: path of the tar (plain or compressed), or a binary stream of it.
            name: a tag for the image.
            changes: Dockerfile instructions for its config (CMD ENTRYPOINT ENV EXPOSE
                HEALTHCHECK LABEL ONBUILD USER VOLUME WORKDIR).
            message: the comment of its history entry.
            parent: an IMAGE to put the layer on top of; it is recorded as the parent.
            compression: as for `load`.
            platform: `os/architecture[/variant]`; this machine's by default.
        """
        from casstore.flows.import_ import import_source
        from casstore.model.arguments import path_or_file, several

        where, instructions = path_or_file(source), several(changes, "changes")
        arrivals: list[Arrival] = []

        def read(ingest: Ingest, progress: Progress | None) -> Sequence[Arrival]:
            arrivals.append(
                import_source(
                    self._session.view(),
                    ingest,
                    where,
                    name,
                    changes=instructions,
                    message=message,
                    parent=parent,
                    compression=compression,
                    platform=platform,
                    now=current_time(),
                    progress=progress,
                )
            )
            return arrivals

        return take_in(self._session, read, origin=None, action=IMPORT).images[0].id

    def save(
        self,
        images: Several[str],
        out: StrPath | BinaryIO,
        *,
        format: str = "docker",
        platform: str | None = None,
        exclude_base: Several[str] = (),
        since: Several[StrPath] = (),
        delta_from: Several[str] = (),
    ) -> None:
        """Write images to an archive or a layout directory.

        Args:
            images: a repository (all its tags), names, IDs; one entry for each image. In OCI
                formats what refers to them (signatures, SBOMs) goes along.
            out: a path (written under another name first, and whole or not at all), or a stream.
            format: `docker` (docker-archive), `oci` (OCI archive), `oci-dir` (layout directory) or
                `dir` (a directory of skopeo's `dir:`, for one image).
            platform: `os/architecture[/variant]`: of an index, its image for this platform alone.
            exclude_base: images whose layers the other side has. These are left out, and the
                archive says so: `load` takes them from the store that it loads into.
            since: paths of archives or layouts whose layers the other side has, or of lists of
                digests and diff IDs, one a line.
            delta_from: as `exclude_base`; of all other layers what differs from those of these
                images is written, where that can be done.

        Raises:
            NotFound: no such image, or it is not there for the platform.
            Refused, Unsupported, StorageError: it cannot be written; no output is left. So it is
                with `delta_from` where neither Python nor backports.zstd can make deltas.
        """
        from casstore.flows.save import write_saved
        from casstore.flows.selection import chosen_images, selection
        from casstore.flows.storedfiles import StoredFiles
        from casstore.model.arguments import PATHS, path_of, path_or_file, several
        from casstore.model.platform import parse_platform
        from casstore.rules.resolve import resolve
        from casstore.store.leases import Leases
        from casstore.store.settling import settle_some
        from casstore.transfer.formats import format_named

        names, target, form = several(images, "images"), path_or_file(out), format_named(format)
        wanted = parse_platform(platform) if platform is not None else None
        bases = several(exclude_base, "exclude_base")
        origins = several(delta_from, "delta_from")
        files = [path_of(one) for one in several(since, "since", PATHS)]
        backend, view = self._session.backend, self._session.view()
        settle = partial(settle_some, self._session)

        note = self._session.noting(SAVE)

        def write(progress: Progress | None) -> None:
            saved = selection(view, names, form, blobs=backend.blobs, platform=wanted)
            held = None
            if bases or origins or files:
                from casstore.flows.thinning import Held

                held, blobs = Held(), StoredFiles(backend.blobs, view)
                for base in bases:
                    held.add_image(view, blobs, base)
                for base in origins:
                    held.add_image(view, blobs, base, deltas=True)
                for file in files:
                    held.add_file(file)
            write_saved(
                backend, view, saved, target, form, progress=progress, settle=settle, held=held
            )
            if held is not None:
                self._session.notice(held.notices)
            note(*[(one.image_id, None) for one in saved])

        if not backend.is_writable():  # there is nobody to hold the images from
            self._session.reported(write)
            return
        bases_too = [resolve(view, base).image for base in (*bases, *origins)]
        chosen = dict.fromkeys((*chosen_images(view, names, form), *bases_too))
        # as the user's own lease: saving an image is a use of it
        with Leases(self._session).hold(*chosen, name=f"save-{os.getpid()}"):
            self._session.reported(write)

    def open_layer(self, layer: Digest | str) -> IO[bytes]:
        """A stored layer (by blob digest or diff ID) as its uncompressed tar, for reading.

        The digest is verified when the end is reached. A layer that was taken in by its digest, and
        that nobody has read, is read before. Raises NotFound, Damaged; BeyondLimit as `settle`.
        """
        from casstore.flows.save import open_layer
        from casstore.store.settling import settle_some

        session = self._session
        return open_layer(
            session.backend, session.view(), layer, settle=partial(settle_some, session)
        )
