"""Files of images: looked at, read, compared."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

from casstore.errors import NotFound, Refused
from casstore.model.fileentry import DIRECTORY, FILE
from casstore.results.files import ImageFile
from casstore.rules.merge import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Self

    from casstore.files.treewriter import WrittenFiles
    from casstore.flows.imagestack import Stack
    from casstore.flows.imagetree import ImageTree
    from casstore.model.digest import Digest
    from casstore.model.parameters import StrPath
    from casstore.results.files import FileChange, LayerUse
    from casstore.store.session import Session


class Files:
    """Looking into images."""

    def __init__(self, session: Session) -> None:
        self._session: Session = session

    def files(self, image: str, *, platform: str | None = None) -> ImageFiles:
        """The files of an image, as a mapping of paths; close it, or use `with`.

        The first look at a layer reads it once; what is found is kept with the store.

        Args:
            image: a name, ID, ID prefix, or `repository@digest`; or the digest of a single layer.
            platform: `os/architecture[/variant]`, of an index. By default the only one that is
                there, else this machine's.

        Raises:
            NotFound: no such image, or it is not there for the platform.
            Unsupported: it is not an image, or a layer is encrypted.
            Refused: a layer is not a tar, or one that cannot be unpacked.
            Damaged, StorageError.
        """
        return ImageFiles(self._session, self._stack(image, platform))

    def layers(self, image: str, *, platform: str | None = None) -> list[LayerUse]:
        """What each layer of an image brings, bottom first, and what of that layers above hide.

        A layer's hidden files depend on the image: another one may show them.

        Args:
            image, platform: as for `files`.

        Raises: as `files`.
        """
        with self.files(image, platform=platform) as files:
            return files.layer_uses()

    def diff(
        self, before: str, after: str, *, platform: str | None = None, times: bool = False
    ) -> Iterator[FileChange]:
        """How the files of two images, or layers, differ: path by path, in the order of a walk.

        Args:
            before, after, platform: as `image` and `platform` of `files`.
            times: whether a file counts that differs in its modification time alone.

        Raises: as `files`.
        """
        with ExitStack() as opened:
            old, new = [
                opened.enter_context(ImageFiles(self._session, self._stack(image, platform)))
                for image in (before, after)
            ]
            return _compared(old, new, opened.pop_all(), times=times)

    def export(self, image: str, out: StrPath | BinaryIO, *, platform: str | None = None) -> None:
        """Write the files of an image as one tar, as a container would see them.

        The same files give the same bytes, however the image is cut into layers.

        Args:
            image, platform: as for `files`.
            out: a path (the file appears whole or not at all), or a stream.

        Raises: as `files`.
        """
        with self.files(image, platform=platform) as files:
            files.export(out)

    def unpack(
        self,
        image: str,
        directory: StrPath,
        *,
        force: bool = False,
        rootless: bool = False,
        keep_setid: bool = False,
        platform: str | None = None,
    ) -> WrittenFiles:
        """Write the files of an image to a directory, and nothing outside of it.

        The directory is there when it is whole; where it has to be written in place, a file
        `.casstore-partial` stands in it until then. Root keeps owners, devices, modes and extended
        attributes. Others keep modes, without set-user-ID and set-group-ID, and the attributes
        that they may set. Nothing waits for the disk.

        Args:
            image, platform: as for `files`.
            directory: new or empty.
            force: write to a directory that has files: over those of the same names.
            rootless: write as an ordinary user does, root too, and note owners in the extended
                attribute `user.rootlesscontainers`, as umoci does.
            keep_setid: keep set-user-ID and set-group-ID where owners are not kept.

        Returns:
            How many files there are, and what could not be kept.

        Raises:
            NotFound: also: there is no directory to make this one in.
            Refused: also: the directory is not empty.
            Others as `files`.
        """
        with self.files(image, platform=platform) as files:
            return files.unpack(directory, force=force, rootless=rootless, keep_setid=keep_setid)

    def copy_files(
        self,
        image: str,
        path: str | bytes,
        target: StrPath | BinaryIO,
        *,
        owners: bool = False,
        keep_setid: bool = False,
        follow_link: bool = False,
        platform: str | None = None,
    ) -> WrittenFiles | None:
        """Copy a file or directory of an image to a place of this machine, as docker cp would.

        Args:
            image, platform: as for `files`.
            path: links on the way to it are followed within the image; with `/.` at the end, the
                content of a directory.
            target: a directory to copy into, or the new name; or a stream for a tar.
            owners: keep owners, where root copies; else the copies are the caller's.
            keep_setid: keep set-user-ID and set-group-ID where owners are not kept.
            follow_link: copy what a link leads to that `path` itself is.

        Returns:
            What was written; None for a stream.

        Raises:
            NotFound: also: the path, or the directory to copy to, is not there.
            Refused: also: a directory is to replace a file, or the reverse.
            Others as `files`.
        """
        with self.files(image, platform=platform) as files:
            return files.copy(
                path, target, owners=owners, keep_setid=keep_setid, follow_link=follow_link
            )

    def _stack(self, image: str, platform: str | None) -> Stack:
        from casstore.flows.imagestack import image_stack, layer_stack
        from casstore.model.platform import parse_platform, this_machine

        wanted = parse_platform(platform) if platform is not None else None
        view, blobs = self._session.view(), self._session.backend.blobs
        layer = layer_stack(view, image)
        if layer is not None:
            return layer
        return image_stack(view, blobs, image, wanted, this_machine())


class ImageFiles(Mapping[str, ImageFile]):
    """The files of an image (`Store.files`): a mapping of paths, `/etc/passwd` say, to files.

    Its keys come in the order of a walk: a directory right before what is in it. Looking a path up
    follows no symbolic link; `resolve`, `open` and what reads follow them, within the image. Paths
    may be given as bytes, and without the first slash. The image is held against removal until this
    is closed.
    """

    def __init__(self, session: Session, stack: Stack) -> None:
        from casstore.flows.imagetree import ImageTree
        from casstore.store.settling import settle_some

        self._reported = session.reported
        self._blobs, self._stack = session.backend.blobs, stack
        self._held = ExitStack()
        backend = session.backend
        if stack.image is not None and backend.is_writable():
            from casstore.store.leases import Leases

            self._held.enter_context(Leases(session).hold(stack.image, name=f"files-{os.getpid()}"))
        try:
            settle = partial(settle_some, session)
            self._tree: ImageTree = session.reported(partial(ImageTree, backend, stack, settle))
        except BaseException:
            self._held.close()
            raise
        self._held.callback(self._tree.close)

    def __repr__(self) -> str:
        layers = "1 layer" if len(self.layers) == 1 else f"{len(self.layers)} layers"
        return f"<casstore files of {layers}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the image go; files that were opened stay readable."""
        self._held.close()

    @property
    def layers(self) -> tuple[Digest, ...]:
        """Blob digests of the layers, bottom first."""
        return tuple(layer.digest for layer in self._tree.layers)

    def layer_uses(self) -> list[LayerUse]:
        """What each layer brings, and what of that layers above hide; see `Store.layers`."""
        from casstore.flows.layeruse import layer_uses

        return layer_uses(self._blobs, self._stack, self._tree.files_of_layers())

    def __getitem__(self, path: str | bytes) -> ImageFile:
        found = self._tree.merged.lookup(_name(path))
        if found is None:
            raise KeyError(path)
        return self._tree.file(found)

    def __iter__(self) -> Iterator[str]:
        return (file.path for file in self._tree.walk(b""))

    def __len__(self) -> int:
        return sum(1 for _ in self._tree.walk(b""))

    def __contains__(self, path: object) -> bool:
        return isinstance(path, (str, bytes)) and self._tree.merged.lookup(_name(path)) is not None

    def walk(self, path: str | bytes = "/") -> Iterator[ImageFile]:
        """A directory, and all that is below it; links on the way to it are followed.

        Raises NotFound.
        """
        return self._tree.walk(self._tree.merged.resolve(_parts(path)).entry.name)

    def listdir(self, path: str | bytes = "/") -> Iterator[ImageFile]:
        """What is in a directory, without what is below that. Raises NotFound."""
        found = self._tree.merged.resolve(_parts(path))
        if found.entry.kind != DIRECTORY:
            raise NotFound(f"{shown(found.entry.name)} is not a directory")
        walk = self._tree.walk(found.entry.name, depth=1)
        next(walk)
        return walk

    def resolve(self, path: str | bytes, *, follow_last: bool = True) -> ImageFile:
        """What a path leads to, through symbolic links, none of which leads out of the image.

        Raises:
            NotFound: there is nothing.
            Refused: the links go round in a circle.
        """
        return self._tree.file(self._tree.merged.resolve(_parts(path), follow_last=follow_last))

    def open(self, path: str | bytes) -> BinaryIO:
        """The content of a file, for reading and seeking; close it.

        It is verified when it is read from its start to its end.

        Raises:
            NotFound: there is nothing.
            Refused: it is not a regular file.
            Damaged: now or by a read: the layer's blob is missing or wrong.
        """
        found = self._tree.merged.resolve(_parts(path))
        if found.entry.kind != FILE:
            article = "an" if found.entry.kind[0] in "aeiou" else "a"
            raise Refused(
                f"{shown(found.entry.name)} is {article} {found.entry.kind}, not a regular file"
            )
        return self._tree.open(found)

    def read_bytes(self, path: str | bytes) -> bytes:
        """The whole content of a file. Raises as `open`."""
        with self.open(path) as file:
            return file.read()

    def read_text(self, path: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole content of a file as text. Raises as `open`; UnicodeDecodeError."""
        with self.open(path) as file, io.TextIOWrapper(file, encoding, errors) as text:
            return text.read()

    def export(self, out: StrPath | BinaryIO) -> None:
        """Write all files as one tar, as a container would see them; see `Store.export`."""
        from casstore.flows.export import export_tree
        from casstore.model.arguments import path_or_file

        target = path_or_file(out)
        self._reported(lambda progress: export_tree(self._tree, target, progress=progress))

    def unpack(
        self,
        directory: StrPath,
        *,
        force: bool = False,
        rootless: bool = False,
        keep_setid: bool = False,
    ) -> WrittenFiles:
        """Write all files to a directory; see `Store.unpack`."""
        from casstore.flows.unpack import rights_for, unpack_tree
        from casstore.model.arguments import path_of

        target, rights = path_of(directory), rights_for(rootless=rootless, keep_setid=keep_setid)
        return self._reported(
            lambda progress: unpack_tree(self._tree, target, rights, force=force, progress=progress)
        )

    def copy(
        self,
        path: str | bytes,
        target: StrPath | BinaryIO,
        *,
        owners: bool = False,
        keep_setid: bool = False,
        follow_link: bool = False,
    ) -> WrittenFiles | None:
        """Copy a file or directory to a place of this machine; see `Store.copy_files`."""
        from casstore.flows.copyfiles import copy_files, copy_rights
        from casstore.model.arguments import path_or_file

        where, rights = path_or_file(target), copy_rights(owners=owners, keep_setid=keep_setid)
        return self._reported(
            lambda progress: copy_files(
                self._tree, _parts(path), where, rights, follow_link=follow_link, progress=progress
            )
        )

    def layer_contents(self, layer: int | Digest | str) -> Iterator[ImageFile]:
        """What one layer describes by itself, with its whiteouts, opaque markers and hard links.

        Args:
            layer: its number from 0 at the bottom, or its blob digest or diff ID.

        Raises:
            NotFound: the image has no such layer.
        """
        layers = self._tree.layers
        if isinstance(layer, int):
            number = layer if -len(layers) <= layer < len(layers) else None
        else:
            number = next(
                (i for i, one in enumerate(layers) if layer in (one.digest, one.diff_id)), None
            )
        if number is None and isinstance(layer, int):
            raise NotFound(f"the image has only {len(layers)} layers")
        if number is None:
            raise NotFound(f"the image has no layer {layer}")
        digest = layers[number].digest
        return (ImageFile(entry, digest) for entry in self._tree.contents(number))


def _compared(
    old: ImageFiles, new: ImageFiles, opened: ExitStack, *, times: bool
) -> Iterator[FileChange]:
    from casstore.queries.filechanges import changes_between

    with opened:
        yield from changes_between(old.walk(), new.walk(), times=times)


def _parts(path: str | bytes) -> bytes:
    """A path as bytes, with its `..`, which are worked out on the way."""
    if isinstance(path, str):
        return path.encode("utf-8", "surrogateescape")
    return path


def _name(path: str | bytes) -> bytes:
    """A path as the name of an entry."""
    from casstore.model.fileentry import normalised

    return normalised(_parts(path))
