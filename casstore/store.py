"""Store: everything that casstore does with a store, for the command line and for Python.

Each method either reads (a snapshot, no lock) or makes one change (the lock, one durable
transaction). Rules decide (rules/), sources and sinks move bytes (transfer/), commit.py keeps the
order of effects.
"""

from __future__ import annotations

import sys
import time

from casstore.disk.local import LocalStore
from casstore.errors import CasstoreError, Conflict, Damaged, NotFound
from casstore.results import (
    LoadedImage,
    LoadResult,
    Outcome,
    PruneResult,
    RemovalResult,
    Renamed,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from sqlite3 import Connection
    from types import TracebackType
    from typing import IO, Any, BinaryIO, Self

    from casstore.commit import Change
    from casstore.disk.filelocking import StoreLock
    from casstore.disk.ingest import Ingest
    from casstore.disk.sqliteview import SqliteView
    from casstore.model.digest import Digest
    from casstore.model.record import Arrival
    from casstore.results import (
        CheckResult,
        DiskUsage,
        GcResult,
        HistoryRow,
        Image,
        ImageSummary,
        LeaseInfo,
    )
    from casstore.rules.filters import Filters
    from casstore.rules.removal import Removed

LOCK_TIMEOUT = 60.0


class Store:
    """A store in a directory. Use it as a context manager, in one thread at a time."""

    def __init__(self, path: str, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        """Name a store; nothing is opened yet. `load` and `import_image` make it if need be.

        Args:
            path: the store's directory.
            lock_timeout: seconds that a change waits for other writers before it raises Locked.
        """
        self.disk = LocalStore(str(path))
        self._lock_timeout = lock_timeout
        self._connection: Connection | None = None
        self._in_memory = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The store's directory, absolute."""
        return self.disk.root

    def close(self) -> None:
        """Close the index; the store can be used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Opening

    def _view(self) -> SqliteView:
        """A look at the store as it is now. Raises NotAStore, Damaged."""
        from casstore.disk.sqliteview import SqliteView

        if self._connection is None:
            self.disk.require()
            try:
                self._connection = self.disk.connect(writable=self.disk.is_writable())
            except Damaged:
                from casstore.care.rebuild import index_in_memory

                # The next change rebuilds the database; until then index.json and the blobs
                # answer.
                self._connection, self._in_memory = index_in_memory(self.disk), True
        return SqliteView(self._connection, now=time.time_ns(), hard={})

    def _change(self, *, create: bool = False) -> Change:
        """Take the lock and begin a change; with `create`, make the store if it is not there."""
        from casstore.commit import Change

        if create:
            self.disk.create()
        else:
            self.disk.require()
        lock = self._locked()
        try:
            self._connect_for_change(create=create)
            assert self._connection is not None
            return Change(self.disk, self._connection, lock, time.time_ns())
        except BaseException:
            lock.release()
            raise

    def _locked(self) -> StoreLock:
        """The writers' lock, taken."""
        from casstore.disk.filelocking import StoreLock

        lock = StoreLock(self.disk.lock, self._lock_timeout)
        lock.acquire()
        return lock

    def _connect_for_change(self, *, create: bool) -> None:
        """Open the database for writing, building it first where it is missing or damaged."""
        if self._in_memory:
            self.close()
            self._in_memory = False
        if self._connection is not None:
            return
        import os

        if create and not self.disk.exists() and not os.path.exists(self.disk.database):
            self.disk.make_database()
        if create:
            self.disk.finish()
        try:
            if os.path.exists(self.disk.database):
                self._connection = self.disk.connect(writable=True)
                return
        except Damaged:
            pass
        from casstore.care.rebuild import rebuild_database

        rebuild_database(self.disk)
        self._connection = self.disk.connect(writable=True)

    # Ways in

    def load(
        self, source: str | IO[bytes], *, compression: str = "zstd", link: bool = False
    ) -> LoadResult:
        """Load every image of an archive or layout, or none.

        Args:
            source: path of a docker-archive, an OCI archive or an OCI layout directory (any of the
                archives plain or compressed by gzip, zstd, xz or bzip2); or a binary stream of one.
            compression: for layers that arrive uncompressed: `zstd[:LEVEL]`, `gzip[:LEVEL]`, `none`.
            link: take a layout directory's blobs by hard link or reflink where that can be done.

        Raises:
            Refused: the input is wrong, hostile or beyond a limit; nothing is changed.
        """
        from casstore.transfer.compress import parse_compression
        from casstore.transfer.source import read_images

        how = parse_compression(compression)
        return self._take_in(lambda ingest: read_images(source, ingest, compression=how, link=link))

    def import_image(
        self,
        source: str | IO[bytes],
        name: str | None = None,
        *,
        changes: Sequence[str] = (),
        message: str | None = None,
        parent: str | None = None,
        compression: str = "zstd",
        platform: str | None = None,
    ) -> Digest:
        """Make an image of one layer from a root file system tar; returns its image ID.

        Args:
            source: path of the tar (plain or compressed), or a binary stream of it.
            name: a tag for the image.
            changes: Dockerfile instructions for its config (CMD ENTRYPOINT ENV EXPOSE LABEL
                ONBUILD USER VOLUME WORKDIR).
            message: the comment of its history entry.
            parent: an IMAGE to put the layer on top of; it is recorded as the parent.
            compression: as for `load`.
            platform: `os/architecture[/variant]`; this machine's by default.
        """
        from casstore.importing import import_source

        arrivals: list[Arrival] = []

        def read(ingest: Ingest) -> Sequence[Arrival]:
            arrivals.append(
                import_source(
                    self._view(),
                    ingest,
                    source,
                    name,
                    changes=changes,
                    message=message,
                    parent=parent,
                    compression=compression,
                    platform=platform,
                    now=time.time_ns(),
                )  # fmt: skip
            )
            return arrivals

        return self._take_in(read).images[0].id

    def _take_in(self, read: Callable[[Ingest], Sequence[Arrival]]) -> LoadResult:
        """Stage what `read` brings without the lock, then admit it in one change."""
        from casstore.disk.ingest import Ingest

        if not self.disk.exists():
            with self._change(create=True) as change:
                change.commit()
        self._view()
        ingest = Ingest(self.disk.root, self.disk.blobs, self._view)
        try:
            arrivals = read(ingest)
            ingest.flush()
            with self._change() as change:
                change.publish_blobs(ingest)
                images = tuple(_admit(change, arrivals))
                change.commit()
            return LoadResult(images, tuple(change.warnings))
        except OSError as error:
            from casstore.disk.durable import storage_error

            raise storage_error(error, "cannot load") from None
        finally:
            ingest.close()

    # Names

    def tag(self, source: str, target: str) -> None:
        """Let the name `target` point to the image `source`.

        Raises:
            InvalidReference: `target` is no name for a tag.
            NotFound: no such image.
        """
        from casstore.model.reference import parse_target
        from casstore.rules.resolve import resolve

        name = parse_target(target)
        with self._change() as change:
            found = resolve(change.index, source)
            top = change.index.top_named(found.name.reference) if found.name else None
            if top is None:
                top = change.index.tops_of(found.image)[0]
            change.index.attach(name, found.image, top.digest, tagged=time.time_ns())
            change.commit()

    # Ways out

    def remove(
        self,
        images: Sequence[str],
        *,
        force: bool = False,
        prune: bool = True,
        dry_run: bool = False,
        glob: bool = False,
        verbose: bool = False,
    ) -> RemovalResult:
        """Remove names, images and every blob that nothing needs any more (`rmi`).

        Each argument succeeds or fails on its own; all that succeed are one durable change.

        Args:
            images: names, IDs, ID prefixes, or `repository@digest`.
            force: remove all references of an image named by ID; override soft leases.
            prune: delete untagged parents too.
            dry_run: change nothing, return what would happen.
            glob: arguments with `*`, `?` or `[` are patterns that stand for the references they fit.
            verbose: fill `Outcome.kept`.
        """
        from casstore.rules.removal import plan_removal

        outcomes: list[Outcome] = []
        freed = 0
        with self._change() as change:
            view = change.index
            for argument in _expanded(view, images) if glob else images:
                try:
                    plan = plan_removal(view, argument, force=force, prune=prune)
                except CasstoreError as error:
                    outcomes.append(Outcome(argument, (), error, ()))
                    continue
                change.index.apply(plan)
                freed += plan.freed
                kept = tuple(_why_kept(view, layer) for _, layer in plan.kept) if verbose else ()
                outcomes.append(Outcome(argument, plan.lines, None, kept))
            if not dry_run:
                change.commit()
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        # dockerd's client forgives with -f what is not there, and nothing else
        forgiven = force and all(isinstance(error, NotFound) for error in errors)
        return RemovalResult(
            tuple(outcomes), freed, 1 if errors and not forgiven else 0, tuple(change.warnings)
        )

    def prune(
        self, *, all: bool = False, filters: Sequence[str] = (), dry_run: bool = False
    ) -> PruneResult:
        """Remove dangling images (with `all`: every image), skipping what is in use.

        Args:
            all: not only dangling images.
            filters: `until=`, `label=`, `label!=`, `reference=` and the other filters of images.
            dry_run: change nothing, return what would happen.
        """
        from casstore.rules.filters import BadFilter
        from casstore.rules.removal import plan_removal
        from casstore.rules.retention import prune_arguments

        removed: list[Removed] = []
        with self._change() as change:
            view = change.index
            chosen = _filters(view, filters, numeric=True)
            if chosen.dangling is False:
                # Docker takes it for -a and empties the store
                raise BadFilter("Invalid filter 'dangling=[false]': use -a to remove all images")
            for argument in list(prune_arguments(view, chosen, everything=all)):
                try:
                    plan = plan_removal(view, argument)
                except (Conflict, NotFound):
                    continue
                change.index.apply(plan)
                removed += plan.lines
            if not dry_run:
                change.commit()
        return PruneResult(
            tuple(removed),
            sum(line.file_bytes for line in removed),
            sum(line.size for line in removed),
            tuple(change.warnings),
        )

    def save(self, images: Sequence[str], out: str | BinaryIO, *, format: str = "docker") -> None:
        """Write images to an archive or a layout directory.

        Args:
            images: a repository (all its tags), names, IDs; one entry for each image.
            out: a path (written under another name first, and whole or not at all), or a stream.
            format: `docker` (docker-archive), `oci` (OCI archive) or `oci-dir` (layout directory).
        """
        from casstore.saving import save_images

        with self._leased(images) as view:
            save_images(self.disk, view, images, out, format)

    # Looking

    def images(
        self, *, all: bool = False, filters: Sequence[str] = (), patterns: Sequence[str] = ()
    ) -> list[ImageSummary]:
        """List images, newest first.

        Args:
            all: untagged parents too.
            filters: `dangling=`, `label=`, `before=`, `since=`, `reference=`, `until=` ...
            patterns: reference patterns; an image is listed with the names that fit any.
        """
        from casstore.queries.listing import list_images

        view = self._view()
        return list_images(view, _filters(view, filters, patterns=patterns), everything=all)

    def get(self, image: str) -> Image:
        """One image by name, ID or ID prefix. Raises NotFound."""
        from casstore.queries.listing import get_image

        return get_image(self._view(), image)

    def inspect(self, image: str) -> dict[str, Any]:
        """An image in the shape of `docker inspect`. Raises NotFound."""
        from casstore.queries.inspection import inspect_image

        return inspect_image(self._view(), self.disk.blobs, image)

    def history(self, image: str) -> list[HistoryRow]:
        """The steps an image was made of, newest first. Raises NotFound."""
        from casstore.queries.inspection import image_history

        return image_history(self._view(), self.disk.blobs, image)

    def open_layer(self, layer: Digest | str) -> IO[bytes]:
        """A stored layer (by blob digest or diff ID) as its uncompressed tar, for reading.

        The digest is verified when the end is reached. Raises NotFound, Damaged.
        """
        from casstore.saving import open_layer

        return open_layer(self.disk, self._view(), layer)

    def df(self) -> DiskUsage:
        """What is stored, what is shared and what could be freed."""
        from casstore.queries.usage import disk_usage

        return disk_usage(self.disk, self._view())

    # Leases

    def lease(self, *images: str, name: str | None = None) -> Lease:
        """Hold images for as long as this process lives, or until the context ends (hard).

        Raises:
            NotFound: one of them is not in the store.
        """
        return Lease(self, images, name or f"process-{_pid()}")

    def leases(self) -> list[LeaseInfo]:
        """All live leases: hard ones first."""
        from casstore.leases import live_leases

        return live_leases(self.disk, self._view(), time.time_ns())

    def add_lease(self, name: str, image: str, ttl_seconds: float | None = 86400.0) -> None:
        """Keep an image by name until the time is over (soft: rmi -f overrides it)."""
        from casstore.leases import check_lease_name
        from casstore.rules.resolve import resolve

        check_lease_name(name)
        now = time.time_ns()
        expires = None if ttl_seconds is None else now + int(ttl_seconds * 1e9)
        with self._change() as change:
            change.index.drop_expired(now)
            change.index.set_lease(name, resolve(change.index, image).image, expires)
            change.commit()

    def remove_lease(self, name: str) -> None:
        """End a soft lease. Raises NotFound."""
        with self._change() as change:
            if not change.index.drop_lease(name):
                raise NotFound(f"No such lease: {name}")
            change.commit()

    def _leased(self, images: Sequence[str]) -> _Leased:
        return _Leased(self, images)

    # Care

    def gc(self, *, dry_run: bool = False) -> GcResult:
        """Finish what crashes left, remove blobs that nothing needs and staging nobody holds."""
        from casstore.care.garbage import collect_garbage

        with self._change() as change:
            return collect_garbage(self.disk, change, dry_run=dry_run)

    def check(
        self, *, repair: bool = False, rebuild: bool = False, content: bool = True
    ) -> CheckResult:
        """Verify the store (fsck).

        Args:
            repair: mend what can be mended; the last copy of anything is never removed.
            rebuild: make the database anew from index.json and the blobs first.
            content: read every blob and compare its digest; False looks at sizes only.
        """
        from casstore.care.fsck import check_store

        return check_store(self, repair=repair, rebuild=rebuild, content=content)

    def clone(self, path: str) -> None:
        """Make a store at `path` with the same content, blobs shared by hard link where possible.

        Raises:
            NotAStore: `path` is there and not empty.
        """
        from casstore.care.cloning import clone_store

        with self._change() as change:
            clone_store(self.disk, change, str(path))


class Lease:
    """A hard lease: it ends with the context, with `release`, or with the process."""

    def __init__(self, store: Store, images: Sequence[str], name: str) -> None:
        from casstore.rules.resolve import resolve

        with store._change() as change:
            self.images = tuple(resolve(change.index, image).image for image in images)
            holder = f"pid {_pid()} ({' '.join(sys.argv[:3])[:100]})".replace("\n", " ")
            self._token = store.disk.hold(name, holder, self.images)
        self.name = name

    @property
    def descriptor(self) -> int:
        """The file descriptor whose lock is the lease; a child that inherits it holds it too."""
        return self._token.descriptor

    def release(self) -> None:
        """End the lease; harmless a second time."""
        self._token.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class _Leased:
    """Images held while they are read; on a read-only store there is nobody to hold them from."""

    def __init__(self, store: Store, images: Sequence[str]) -> None:
        self._store, self._images = store, images
        self._lease: Lease | None = None

    def __enter__(self) -> SqliteView:
        from casstore.saving import chosen_images

        view = self._store._view()
        chosen = chosen_images(view, self._images)
        if self._store.disk.is_writable():
            self._lease = Lease(self._store, chosen, f"save-{_pid()}")
        return view

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lease is not None:
            self._lease.release()


def _admit(change: Change, arrivals: Sequence[Arrival]) -> list[LoadedImage]:
    """Add images, then their names in order, then parent links (a child may come first)."""
    index = change.index
    for arrival in arrivals:
        index.admit(arrival.image)
    loaded = []
    for arrival in arrivals:
        renamed = []
        for name in arrival.names:
            old = index.attach(name, arrival.image.id, arrival.image.top.digest, tagged=0)
            if old is not None:
                renamed.append(Renamed(name, old))
        loaded.append(LoadedImage(arrival.image.id, arrival.names, tuple(renamed)))
    for arrival in arrivals:
        if arrival.parent is not None and index.has_image(arrival.parent):
            _refuse_cycle(index, arrival.image.id, arrival.parent)
            index.link_parent(arrival.image.id, arrival.parent)
    return loaded


def _refuse_cycle(view: SqliteView, child: Digest, parent: Digest) -> None:
    from casstore.errors import Refused

    ancestor: Digest | None = parent
    while ancestor is not None:
        if ancestor == child:
            raise Refused(f"image {parent} is not a valid parent for {child}")
        ancestor = view.parent_of(ancestor)


def _filters(
    view: SqliteView,
    filters: Sequence[str],
    *,
    patterns: Sequence[str] = (),
    numeric: bool = False,
) -> Filters:
    from casstore.rules.filters import parse_filters
    from casstore.rules.resolve import resolve

    def created_of(image: str) -> int:
        created = view.facts_of(resolve(view, image).image).created
        return created if created is not None else -(1 << 63)

    return parse_filters(
        filters, patterns=patterns, now=time.time_ns(), created_of=created_of,
        numeric_booleans=numeric,
    )  # fmt: skip


def _expanded(view: SqliteView, arguments: Sequence[str]) -> list[str]:
    """Arguments with patterns replaced by the references that they fit, in attach order."""
    from casstore.rules.filters import check_pattern, matches

    expanded: list[str] = []
    for argument in arguments:
        if not any(c in argument for c in "*?["):
            expanded.append(argument)
            continue
        check_pattern(argument)
        names = [name for names in view.all_references().values() for name in names]
        fitting = [name.familiar for name in names if matches(argument, name.familiar)]
        expanded += fitting or [argument]  # one that fits nothing fails as a name would
    return list(dict.fromkeys(expanded))


def _why_kept(view: SqliteView, layer: Digest) -> str:
    holders = view.images_needing(layer)
    names = []
    for image in holders:
        familiar = [one.name.familiar for one in view.references_of(image)]
        names.append(familiar[0] if familiar else image.short)
    return f"{layer.hex} is still needed by {', '.join(names)}"


def _pid() -> int:
    import os

    return os.getpid()
