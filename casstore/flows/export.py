"""export: the files of an image as one tar, as a container would see them."""

from __future__ import annotations

import os

from casstore.errors import quote
from casstore.files import durable
from casstore.files.output import replace_output
from casstore.files.pipes import widen
from casstore.flows.filesout import scratch_in, write_image
from casstore.model.fileentry import ROOT
from casstore.transfer.tarwriter import TarWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, BinaryIO

    from casstore.flows.imagetree import ImageTree
    from casstore.progress import Progress

EXPORTING = "Exporting"  # the task of a progress


def export_tree(
    tree: ImageTree,
    out: str | BinaryIO,
    *,
    top: bytes = ROOT,
    renamed: bytes = ROOT,
    few: int = 0,
    progress: Progress | None = None,
) -> None:
    """Write a tar of the image, or of a part of it, to a path or a stream.

    A file appears whole or not at all. `top`, `renamed` and `few` as for `write_image`.

    Raises:
        Refused: what the image has, no tar can say.
        Damaged: a layer is wrong; a stream that was written to is good for nothing.
        StorageError.
    """
    task = progress.task(EXPORTING) if progress is not None else None

    def write(stream: IO[bytes], directory: str | None) -> None:
        writer = TarWriter(stream)
        scratch = scratch_in(directory)
        write_image(tree, writer, scratch=scratch, top=top, renamed=renamed, few=few, task=task)
        writer.finish()
        if task is not None:
            task.finish()

    try:
        if not isinstance(out, str):
            widen(out)
            write(out, None)
        elif os.path.exists(out) and not os.path.isfile(out):
            with open(out, "wb") as device:  # /dev/stdout, a fifo: nothing to rename over
                widen(device)
                write(device, None)
        else:
            with replace_output(out) as new:
                write(new.file, os.path.dirname(os.path.abspath(out)))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = "standard output" if getattr(out, "name", "") == "<stdout>" else "the stream"
        if isinstance(out, str):
            where = quote(out)
        raise durable.storage_error(error, f"cannot write to {where}") from None
