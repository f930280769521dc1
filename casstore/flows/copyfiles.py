"""cp: a file or directory of an image, copied to where docker cp would put it.

Source: the page of docker container cp ("Corner cases" apart). What is copied goes by its last
name; `/.` at the end of the path, or the root, means the content of a directory.

| | to nothing | to a file | to a directory |
|---|---|---|---|
| a file | becomes it, unless `/` is at the end | replaces it | goes into it |
| a directory | becomes it | is refused | goes into it |
| the content of one | becomes it | is refused | goes into it |
"""

from __future__ import annotations

import os

from casstore.errors import NotFound, Refused, StorageError, UsageError, quote
from casstore.files.attributes import Rights
from casstore.files.durable import is_full
from casstore.files.trees import DIRECTORY as OPEN_DIRECTORY
from casstore.files.treewriter import TreeWriter, WrittenFiles
from casstore.flows.export import export_tree
from casstore.flows.filesout import FEW, scratch_in, write_image
from casstore.flows.unpack import unpack_tree
from casstore.model.fileentry import DIRECTORY, ROOT
from casstore.startup.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from casstore.flows.imagetree import ImageTree
    from casstore.progress import Progress

COPYING = "Copying"  # the task of a progress


class _Source(Value):
    """What is copied."""

    top: bytes  # the name in the image
    base: bytes  # what it is called at its destination; ROOT for the content of a directory
    is_directory: bool


def copy_rights(*, owners: bool, keep_setid: bool) -> Rights:
    """What this process keeps of what it copies. Root makes devices, whoever they belong to."""
    root = os.geteuid() == 0
    return Rights(owners=owners and root, devices=root, setid=keep_setid or (owners and root))


def copy_files(
    tree: ImageTree,
    path: bytes,
    target: str | BinaryIO,
    rights: Rights,
    *,
    follow_link: bool = False,
    progress: Progress | None = None,
) -> WrittenFiles | None:
    """Copy a file or directory of an image to a place of this machine, or as a tar to a stream.

    Args:
        path: in the image; links on the way to it are followed.
        target: a path, as the table above has it; or a stream, for a tar of names that begin with
            the last one of `path`.
        rights: what is kept of the files.
        follow_link: whether a link is followed that the path itself is.

    Returns:
        What was written; None for a stream.

    Raises:
        UsageError: no target is given.
        NotFound: the path, or the directory to copy to, is not there.
        Refused: a directory is to replace a file, or the reverse.
        Damaged, StorageError.
    """
    source = _source(tree, path, follow_link=follow_link)
    if not isinstance(target, str):
        export_tree(tree, target, top=source.top, renamed=source.base, few=FEW, progress=progress)
        return None
    if not target:
        raise UsageError("a destination is needed")
    try:
        return _copy_to(tree, source, target, rights, progress)
    except OSError as error:
        raise _failure(target, error) from None


def _source(tree: ImageTree, path: bytes, *, follow_link: bool) -> _Source:
    plain = path.rstrip(b"/")
    last = plain.rpartition(b"/")[2]
    must_be_directory = path.endswith(b"/") or last in (b"", b".", b"..")
    found = tree.merged.resolve(path, follow_last=follow_link or must_be_directory)
    entry = found.entry
    if must_be_directory and entry.kind != DIRECTORY:
        raise NotFound(f"{quote(entry.path)} is not a directory in the image")
    base = last if last not in (b"", b".", b"..") else entry.name.rpartition(b"/")[2]
    if last == b"." or not entry.name:
        base = ROOT
    return _Source(entry.name, base, entry.kind == DIRECTORY)


def _copy_to(
    tree: ImageTree, source: _Source, target: str, rights: Rights, progress: Progress | None
) -> WrittenFiles:
    if os.path.isdir(target):
        return _write_into(tree, source, target, rights, progress)
    exists = os.path.exists(target.rstrip("/") or "/")
    if source.is_directory:
        if exists:
            raise Refused(f"cannot copy a directory to the file {quote(target)}")
        return unpack_tree(
            tree, target, rights, top=source.top, few=FEW, doing=COPYING, progress=progress
        )
    if target.endswith("/"):
        if exists:
            raise Refused(f"{quote(target)} is not a directory")
        raise NotFound(f"there is no directory {quote(target)}")
    if exists and not os.path.isfile(target):
        raise Refused(f"{quote(target)} is not a regular file, which could be replaced")
    # a link at the destination is followed: it is the user's own
    directory, name = os.path.split(os.path.realpath(target))
    if not os.path.isdir(directory):
        raise NotFound(f"there is no directory {quote(os.path.dirname(target) or directory)}")
    named = source._replace(base=os.fsencode(name))
    return _write_into(tree, named, directory, rights, progress)


def _write_into(
    tree: ImageTree,
    source: _Source,
    directory: str,
    rights: Rights,
    progress: Progress | None,
) -> WrittenFiles:
    """Write to a directory that is there, over what has the same names."""
    task = progress.task(COPYING) if progress is not None else None
    descriptor = os.open(directory, OPEN_DIRECTORY & ~os.O_NOFOLLOW)
    try:
        where = directory.rstrip("/")
        over = b".casstore-partial-" + os.urandom(6).hex().encode()
        with TreeWriter(descriptor, rights, over=over, keep_top=True, where=where) as writer:
            write_image(
                tree,
                writer,
                scratch=scratch_in(f"/proc/self/fd/{descriptor}"),
                top=source.top,
                renamed=source.base,
                few=FEW,
                task=task,
            )
            written = writer.finish()
    finally:
        os.close(descriptor)
    if task is not None:
        task.finish()
    return written


def _failure(target: str, error: OSError) -> StorageError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return StorageError(f"cannot write to {quote(target)}: {reason}", full=is_full(error))
