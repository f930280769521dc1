"""Store: everything that casstore does with a store, for the command line and for Python.

Each method either reads (a snapshot, no lock) or makes one change (the lock, one durable
transaction). Rules decide (rules/), sources and sinks move bytes (transfer/), and change/commit.py
keeps the order of effects.

`Store` is put together of parts, each of which knows a `Session` and inherits nothing. Everyday
verbs stand in the parts too, and are looked up when they are first used: so a command imports the
part that it works with, and no other (startup/parts.py says what that saves).
"""

from __future__ import annotations

import os

from casstore.errors import UsageError
from casstore.startup.parts import Part, Verb
from casstore.store.session import LOCK_TIMEOUT, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import EllipsisType, TracebackType
    from typing import Self, TypeVar

    from casstore.model.parameters import StrPath
    from casstore.progress import ProgressCallback
    from casstore.store.archives import Archives
    from casstore.store.copies import Copies
    from casstore.store.events import Events
    from casstore.store.files import Files
    from casstore.store.images import Images
    from casstore.store.keys import Keys
    from casstore.store.leases import Leases
    from casstore.store.names import Names
    from casstore.store.registries import Registries
    from casstore.store.settings import Settings
    from casstore.store.space import Space
    from casstore.store.trash import Trash
    from casstore.store.upkeep import Upkeep

    S = TypeVar("S", bound="Store")

    class _Verbs(Archives, Copies, Events, Files, Images, Keys, Names, Registries, Space, Upkeep):
        """Every verb, as a type checker sees them."""

else:

    class _Verbs:
        """Every verb, by the part that it stands in."""

        __slots__ = ()

    for part, verbs in {
        "archives.Archives": "load import_image save open_layer",
        "copies.Copies": "copy_in copy_out",
        "events.Events": "events",
        "files.Files": "files layers diff export unpack copy_files",
        "images.Images": (
            "images each_image image_ids names get history inspect attestations sbom platforms"
        ),
        "keys.Keys": "sign verify encrypt decrypt",
        "names.Names": "tag pin remove prune use",
        "registries.Registries": "pull push",
        "space.Space": "df tree why report figures",
        "upkeep.Upkeep": "gc collect settle check clone publish",
    }.items():
        for verb in verbs.split():
            setattr(_Verbs, verb, Verb(part, verb))


class Store(_Verbs):
    """A store. Use it as a context manager, in one thread at a time.

    `session` and `parts` are its inside, and not public.
    """

    if TYPE_CHECKING:
        leases: Leases
        trash: Trash
        settings: Settings
    else:
        leases = Part("leases.Leases")
        trash = Part("trash.Trash")
        settings = Part("settings.Settings")

    def __init__(
        self,
        path: StrPath | EllipsisType = ...,  # None is refused: it is a mistake more often
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        command: str = "",
        max_layer_size: int | None = None,
        progress: ProgressCallback | None = None,
        volatile: bool = False,
    ) -> None:
        """Name a store; nothing is opened yet. `load` and `import_image` make it if need be.

        Args:
            path: the store's directory; by default the one that the command line uses.
            lock_timeout: seconds that a change waits for other writers before it raises Locked.
            command: what those who wait for a change made here are told; the program by default.
            max_layer_size: bytes that a layer which comes in may have uncompressed. By default
                4 GiB, or a hundred times what it has compressed, up to 64 GiB.
            progress: called with how far long methods are, in the thread that called them. What it
                raises ends the method, which then raises it; an image that was on its way in, or a
                file on its way out, is not there then. It must not use this object itself.
            volatile: for tests: wait for the disk never. A power cut may damage the store or lose
                what is in it; nothing else does. It holds for this process, whoever else in it has
                a Store of the same directory.

        Raises:
            UsageError: no path is given, and there is no home directory for one.
        """
        if path is ...:
            from casstore.model.storepath import store_path

            path = store_path(None, os.environ)
            if not path:
                raise UsageError("there is no home directory for a store: give its path")
        from casstore.model.arguments import path_of

        self.session = Session.of_directory(
            path_of(path), lock_timeout=lock_timeout, command=command, volatile=volatile
        )
        self.session.max_layer_size = max_layer_size
        self.progress = progress
        self.parts: dict[str, object] = {}

    @classmethod
    def in_memory(cls) -> Self:
        """A new store in memory, for tests that need no files; it lasts as long as the object."""
        return store_of(Session.in_memory(), cls)

    @property
    def path(self) -> str:
        """The store's directory, absolute."""
        return self.session.backend.where

    @property
    def notices(self) -> list[str]:
        """What the user should know, besides results and errors; clear it when it is told."""
        return self.session.notices

    @property
    def max_layer_size(self) -> int | None:
        """Bytes that a layer may have uncompressed; None: the usual limit."""
        return self.session.max_layer_size

    @max_layer_size.setter
    def max_layer_size(self, size: int | None) -> None:
        self.session.max_layer_size = size

    @property
    def progress(self) -> ProgressCallback | None:
        """What is called with how far long methods are; it can be set between them."""
        return self.session.callback

    @progress.setter
    def progress(self, progress: ProgressCallback | None) -> None:
        if progress is not None and not callable(progress):
            raise TypeError(f"progress is called: {type(progress).__name__} cannot be")
        self.session.callback = progress

    def close(self) -> None:
        """Close the index; the store can be used again."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        """A copy, or what another process unpickles, is another Store of the same directory."""
        return _again, (type(self), self.session)

    def __repr__(self) -> str:
        return f"<casstore.Store {self.path!r}>"


def store_of(session: Session, kind: type[S]) -> S:
    """The store of a session that is there already."""
    store = kind.__new__(kind)
    store.session, store.parts = session, {}
    return store


def _again(kind: type[S], session: Session) -> S:
    return store_of(session.another(), kind)
