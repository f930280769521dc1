"""Store: everything that casstore does with a store, for the command line and for Python.

Each method either reads (a snapshot, no lock) or makes one change (the lock, one durable
transaction). Rules decide (rules/), sources and sinks move bytes (transfer/), commit.py keeps the
order of effects.
"""

from __future__ import annotations

import os

from casstore.copying import CopyingStore
from casstore.disk.local import current_time
from casstore.keeping import KeepingStore
from casstore.looking import LookingStore
from casstore.naming import NamingStore
from casstore.trustedstore import TrustedStore
from casstore.upkeep import Upkeep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO, BinaryIO

    from casstore.disk.ingest import Ingest
    from casstore.model.arguments import Several, StrPath
    from casstore.model.digest import Digest
    from casstore.model.record import Arrival
    from casstore.results.exchange import LoadResult
    from casstore.results.space import DiskUsage, Kept, TreeRow


class Store(NamingStore, LookingStore, TrustedStore, CopyingStore, KeepingStore, Upkeep):
    """A store in a directory. Use it as a context manager, in one thread at a time."""

    # Ways in

    def load(
        self,
        source: StrPath | IO[bytes],
        *,
        compression: str = "zstd",
        link: bool = False,
        policy: StrPath | None = None,
    ) -> LoadResult:
        """Load every image of an archive or layout, or none.

        Args:
            source: path of a docker-archive, an OCI archive or an OCI layout directory (any of the
                archives plain or compressed by gzip, zstd, xz or bzip2); or a binary stream of one.
            compression: of layers that arrive uncompressed: `zstd[:LEVEL]`, `gzip[:LEVEL]`, `none`.
            link: take a layout directory's blobs by hard link or reflink where that can be done.
            policy: path of a trust policy, instead of the store's own.

        Raises:
            Refused: the input is wrong, hostile, beyond a limit, or against the policy; nothing
                is changed.
        """
        from casstore.model.arguments import path_or_file
        from casstore.transfer.compress import parse_compression
        from casstore.transfer.source import find_images

        where = path_or_file(source)
        how = parse_compression(compression)
        origin: list[str] = []
        notices: list[str] = []

        def read(ingest: Ingest) -> Sequence[Arrival]:
            found = find_images(where, ingest, compression=how, link=link, progress=self.progress)
            named = where if isinstance(where, str) and where != "-" else None
            origin[:] = found.transport, os.path.realpath(named) if named is not None else ""
            notices[:] = found.notices
            return found.arrivals

        result = self._take_in(read, origin=origin, policy=policy)
        return result._replace(warnings=(*notices, *result.warnings))

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
        from casstore.importing import import_source
        from casstore.model.arguments import path_or_file, several

        where, instructions = path_or_file(source), several(changes, "changes")
        arrivals: list[Arrival] = []

        def read(ingest: Ingest) -> Sequence[Arrival]:
            arrivals.append(
                import_source(
                    self._view(),
                    ingest,
                    where,
                    name,
                    changes=instructions,
                    message=message,
                    parent=parent,
                    compression=compression,
                    platform=platform,
                    now=current_time(),
                    progress=self.progress,
                )
            )
            return arrivals

        return self._take_in(read, origin=None).images[0].id

    # Ways out

    def save(
        self, images: Several[str], out: StrPath | BinaryIO, *, format: str = "docker"
    ) -> None:
        """Write images to an archive or a layout directory.

        Args:
            images: a repository (all its tags), names, IDs; one entry for each image. In OCI
                formats what refers to them (signatures, SBOMs) goes along.
            out: a path (written under another name first, and whole or not at all), or a stream.
            format: `docker` (docker-archive), `oci` (OCI archive) or `oci-dir` (layout directory).
        """
        from casstore.model.arguments import path_or_file, several
        from casstore.saving import DOCKER, chosen_images, save_images

        images, target = several(images, "images"), path_or_file(out)
        view = self._view()
        if not self.disk.is_writable():  # there is nobody to hold the images from
            save_images(self.disk, view, images, target, format, progress=self.progress)
            return
        chosen = chosen_images(view, images, each_manifest=format != DOCKER)
        with self.lease(*chosen, name=f"save-{os.getpid()}"):
            save_images(self.disk, view, images, target, format, progress=self.progress)

    # Looking

    def open_layer(self, layer: Digest | str) -> IO[bytes]:
        """A stored layer (by blob digest or diff ID) as its uncompressed tar, for reading.

        The digest is verified when the end is reached. Raises NotFound, Damaged.
        """
        from casstore.saving import open_layer

        return open_layer(self.disk, self._view(), layer)

    def df(self) -> DiskUsage:
        """What is stored, what is shared and what could be freed."""
        from casstore.queries.usage import disk_usage

        return disk_usage(self.disk, self._view(), current_time())

    def tree(self, *, by: str = "layers") -> list[TreeRow]:
        """Images under what they are built on, in the order in which a tree is drawn.

        Args:
            by: `layers`: under the recorded parent, else under the image or the run of layers
                whose layers are the first of its own; `parent`: recorded parents only.
        """
        from casstore.queries.lineage import image_tree

        return image_tree(self.disk, self._view(), current_time(), by=by)

    def why(self, argument: str) -> Kept | None:
        """All that keeps an image (by name, ID, prefix) or a blob (by digest, diff ID, prefix).

        Returns:
            None where no such blob is in the store.

        Raises:
            NotFound: a name or a prefix that fits nothing, or several blobs.
        """
        from casstore.queries.keepers import what_keeps

        return what_keeps(self.disk, self._view(), argument, current_time())

    def report(self, out: StrPath) -> None:
        """Write the store's report to `out`: one HTML page that needs nothing else."""
        from casstore.model.arguments import path_of
        from casstore.queries.inventory import take_inventory
        from casstore.report.page import write_page

        write_page(path_of(out), take_inventory(self.disk, self._view(), current_time()))

    def use(self, *images: str) -> None:
        """Say that images are in use now, for policies that go by the last use. Raises NotFound."""
        from casstore.model.arguments import several
        from casstore.rules.resolve import resolve

        images = several(images, "images")
        view = self._view()
        self.disk.uses.note([resolve(view, image).image for image in images], current_time())
