"""Whatever a user hands to `load`, as images about to enter the store.

Looks what it is, has it read, and checks the parent links between the images in it. Nothing is
committed here: what has been staged when an archive is refused goes with the intake.
"""

from __future__ import annotations

from casstore.errors import Refused, StorageError, quote
from casstore.model.imageconfig import HistoryPrint, parse_config
from casstore.startup.value import Value
from casstore.transfer.archive import Archive, open_archive
from casstore.transfer.directoryarchive import DirectoryArchive
from casstore.transfer.formats import ARCHIVE, FOLDER, FORMATS, THIN_JSON, Loading

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import IO

    from casstore.model.digest import Digest
    from casstore.model.record import Arrival
    from casstore.ports.ingest import Intake
    from casstore.progress import Progress
    from casstore.transfer.compress import Compression
    from casstore.transfer.formats import Format
    from casstore.transfer.leftout import Settle

_HEAD = 64  # bytes, with the blanks before it, in which a file has to begin as it should


class Found(Value):
    """What an archive or a layout holds, and which form it has."""

    transport: str  # of its format
    arrivals: list[Arrival]
    notices: tuple[str, ...] = ()  # a line for each thing that is in it and does not come in


def read_images(
    where: str | os.PathLike[str] | IO[bytes],
    intake: Intake,
    *,
    compression: Compression,
    link: bool = False,
    progress: Progress | None = None,
) -> list[Arrival]:
    """The images alone that `find_images` finds."""
    found = find_images(where, intake, compression=compression, link=link, progress=progress)
    return found.arrivals


def find_images(
    where: str | os.PathLike[str] | IO[bytes],
    intake: Intake,
    *,
    compression: Compression,
    link: bool = False,
    progress: Progress | None = None,
    settle: Settle | None = None,
) -> Found:
    """Stage all images in an archive or a layout.

    Args:
        where: path of a file or a directory, `-` for standard input, or an open file.
        intake: where blobs are staged.
        compression: for layers that arrive as plain tars with no digest of their own to keep.
        link: take the blobs of a layout directory by hard link or reflink where possible.
        progress: is told of the bytes that are read.
        settle: reads layers that the store has as promises, where a thin archive needs them.

    Returns:
        The images in the archive's order, and its form. An image may stand in it several times;
        names are to be attached in this order, parents to be linked after all images are in.

    Raises:
        Refused, InvalidReference: the input is wrong; one line says what.
        NotFound, StorageError: it cannot be opened or read.
    """
    try:
        with open_archive(where, intake, progress) as archive:
            tell = None if progress is None else progress.tell
            thin = None
            if archive.has(THIN_JSON):
                from casstore.transfer.leftout import find_left_out
                from casstore.transfer.thin import read_thin

                thin = read_thin(archive)
                find_left_out(thin, archive, intake, compression, settle)
            found = _read(archive, Loading(intake, compression, link, [], tell, thin))
            if not found.arrivals:
                nothing = f"{quote(archive.label)} lists no images, so nothing was loaded"
                found = Found(found.transport, [], (*found.notices, nothing))
    except OSError as error:
        raise StorageError((error.strerror or str(error)).lower()) from error
    check_parents(found.arrivals, intake)
    return found


def check_parents(arrivals: list[Arrival], intake: Intake) -> None:
    """Hold the parent links among `arrivals` against dockerd's rule, and against cycles.

    Raises:
        Refused: `image sha256:P is not a valid parent for sha256:C`.
    """
    images = {arrival.image.id: arrival.image for arrival in arrivals}
    parents: dict[Digest, Digest] = {}
    histories: dict[Digest, HistoryPrint] = {}

    def history_of(image_id: Digest) -> HistoryPrint:
        if image_id not in histories:
            has_config = images[image_id].top.digest != image_id
            data = intake.read(image_id) if has_config else b""
            steps = parse_config(data, image_id).history if has_config else ()
            histories[image_id] = HistoryPrint.of(steps)
        return histories[image_id]

    for arrival in arrivals:
        child, parent = arrival.image.id, arrival.parent
        if parent is None or parent not in images:
            continue
        parents[child] = parent
        if not history_of(child).may_follow(history_of(parent)):
            raise _illegal(child, parent)
    _refuse_cycle(parents)


def _refuse_cycle(parents: dict[Digest, Digest]) -> None:
    done: set[Digest] = set()
    for start in parents:
        path: set[Digest] = set()
        image = start
        while image in parents and image not in done:
            path.add(image)
            if parents[image] in path:
                raise _illegal(image, parents[image])
            image = parents[image]
        done |= path


def _illegal(child: Digest, parent: Digest) -> Refused:
    return Refused(f"image {parent} is not a valid parent for {child}")


def fitting(archive: Archive) -> list[Format]:
    """The formats that an input is of, the one to read it by first; none, where it is of none.

    It is of a format if it has all files that tell so. Of several the one with most of them comes
    first, and of two that are told by the same files the one whose shape the input has. Where no
    format is told, a file that hints at one makes it of that, for the reader to say what is wrong.
    """
    shape = FOLDER if isinstance(archive, DirectoryArchive) else ARCHIVE
    found = [form for form in FORMATS if all(_has(archive, *file) for file in form.files)]
    found.sort(key=lambda form: (-len(form.files), form.shape != shape))
    return found or [
        form for form in reversed(FORMATS) if any(map(archive.has, form.hints.split()))
    ]


def _has(archive: Archive, name: str, head: str) -> bool:
    """Whether a file is there, and begins so where blanks do not count."""
    if not archive.has(name):
        return False
    if not head:
        return True
    with archive.open(name) as file:
        return file.read(_HEAD).lstrip().startswith(head.encode())


def _read(archive: Archive, loading: Loading) -> Found:
    found = fitting(archive)
    if not found:
        raise _of_no_format(archive)
    form, *others = found
    for other in others:
        if other.told != form.told and len(other.files) == len(form.files):
            raise Refused(
                f"{quote(archive.label)} can be read as {form.transport}: and as "
                f"{other.transport}:, and need not be the same image then"
            )
    arrivals = form.reader().read(archive, loading)
    return Found(form.transport, arrivals, tuple(loading.notices))


def _of_no_format(archive: Archive) -> Refused:
    from casstore.transfer.advice import advice_on

    files = dict.fromkeys(
        name
        for form in FORMATS
        for name in (form.files[0][0], *form.hints.split())
        if (name, "") not in form.files[1:]
    )
    return Refused(
        f"{quote(archive.label)} holds no images: it has neither {' nor '.join(files)}"
        f"{advice_on(archive)}"
    )
